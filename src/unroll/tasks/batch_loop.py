"""Run a network over batches, and check its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import nn

    from unroll.data.batches import Batch

B = TypeVar("B", bound="Batch")


def run_batches(network: nn.Module, batches: Iterable[B]) -> Iterator[B]:
    """Yield batches on the network's device, with the network in evaluation mode and without gradients."""
    import torch

    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        for batch in batches:
            yield batch.to(device)


def require_finite(*answers: Any) -> None:
    """Check that answers (numbers, tensors or arrays) have no NaN or infinity.

    Raises:
        RunError: one does.
    """
    import numpy as np
    import torch

    from unroll.errors import RunError

    for answer in answers:
        if not bool(answer.isfinite().all() if isinstance(answer, torch.Tensor) else np.isfinite(answer).all()):
            raise RunError(
                "the model answers with a value that is not finite; its weights may be damaged, or the data is far from"
                " what it was trained on"
            )
