"""Where a number first stopped being finite, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from unroll.data.batches import Batch
from unroll.training.finite import first_unfinite
from unroll.training.objective import Objective


def blame(model: nn.Module, objective: Objective, batch: Batch, loss: float, data: str = "training") -> str:
    """What is not finite, the first cause that can be named, and what to try; the weights are known to be finite.

    The order of the search is the order of the computation: input, target, the modules' outputs (by running
    the batch once more), the loss, and at last the gradients, where the parameter nearest the output is named.
    """
    if not _finite(batch.x):
        row = int(batch.rows[(~torch.isfinite(batch.x)).flatten(1).any(1).cpu()][0])
        return f"the input has a NaN or an infinite number (row {row} of the {data} data); clean the data"
    if batch.target is not None and not _finite(batch.target):
        row = int(batch.rows[(~torch.isfinite(batch.target.reshape(len(batch.rows), -1))).any(1).cpu()][0])
        return f"a target is NaN or infinite (row {row} of the {data} data); clean the data"
    if not math.isfinite(loss):
        where = _first_module(model, objective, batch)
        at = f"it began in the output of '{where}'" if where else "the model's output is finite, the loss is not"
        return f"the loss became {loss}; {at}; try a smaller learning_rate or a smaller clip_norm"
    gradients = [(n, p.grad) for n, p in model.named_parameters() if p.grad is not None]
    bad = [n for n, g in gradients if not _finite(g)]
    if not bad:
        return "the gradient became too large to be summed; try a smaller learning_rate"
    return (
        f"the gradient became NaN or infinite, first in '{bad[-1]}' ({len(bad)} parameters are affected); "
        "try a smaller learning_rate, a smaller clip_norm, or standardised input"
    )


@torch.no_grad()
def blame_validation(
    model: nn.Module, objective: Objective, batches: Iterable[Batch], device: torch.device, value: str
) -> str:
    """Why the number called `value` of a validation pass is not finite, though the weights are."""
    for batch in batches:
        there = batch.to(device)
        loss = float(objective.loss(objective.output(model, there), there))
        if not math.isfinite(loss):
            return f"{value} is not finite: {blame(model, objective, there, loss, 'validation')}"
    return f"{value} is not finite, though the loss of every batch is; look at the metric and the validation data"


def _finite(t: Tensor) -> bool:
    return first_unfinite([("", t)]) is None


def _first_module(model: nn.Module, objective: Objective, batch: Batch) -> str | None:
    found: list[str] = []

    def hook(name: str) -> Any:
        def look(module: nn.Module, args: Any, output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) and output else output
            if isinstance(first, Tensor) and not _finite(first):
                found.append(name)

        return look

    hooks = [m.register_forward_hook(hook(n)) for n, m in model.named_modules() if n]
    try:
        with torch.no_grad():
            objective.output(model, batch)
    finally:
        for h in hooks:
            h.remove()
    return found[0] if found else None
