"""A model whose weights are finite may still answer with what is no number: that is said, and not passed on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unroll.errors import RunError


def require_finite(*answers: Any) -> None:
    """Refuse answers, tensors or arrays, that hold NaN or an infinity.

    Raises:
        RunError: one does.
    """
    for answer in answers:
        if not bool(answer.isfinite().all() if isinstance(answer, torch.Tensor) else np.isfinite(answer).all()):
            raise RunError(
                "the model answers with a value that is not finite; its weights may be damaged, or the data is far from"
                " what it was trained on"
            )
