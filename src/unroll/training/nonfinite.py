"""Find the first NaN or infinite value of a training step, and where it appeared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from unroll.data.batches import Batch
from unroll.training.objective import Objective


def first_unfinite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """Find the name of the first tensor with a NaN or infinite value, in one device synchronization."""
    seen = [(name, t.detach()) for name, t in named if t.is_floating_point() and t.numel()]
    if not seen:
        return None
    tensors = [t for _, t in seen]
    # the largest magnitude: infinite or NaN exactly if some number is, where a sum of squares could overflow
    sizes = torch._foreach_norm(tensors, math.inf)  # pyright: ignore[reportPrivateImportUsage]
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    values = torch.stack([s.to(dtype) for s in sizes]).tolist()
    return next((name for (name, _), v in zip(seen, values, strict=True) if not math.isfinite(v)), None)


_FIELDS = {"x": "the input has a NaN or an infinite number", "target": "a target is NaN or infinite"}


def blame(model: nn.Module, objective: Objective, batch: Batch, loss: float, data: str = "training") -> str:
    """Describe the first cause of a NaN or infinite loss or gradient, with advice; the weights must be finite.

    The search follows the computation: the batch's tensors, the modules' outputs (by running the batch once more),
    the loss, and finally the gradients, where the parameter closest to the output is named.
    """
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor) and field.name != "all_targets" and not _finite(value):
            what = _FIELDS.get(field.name, f"the batch's '{field.name}' has a NaN or an infinite number")
            return f"{what} ({_row(value, batch)}of the {data} data); clean the data"
    if not math.isfinite(loss):
        where = _first_module(model, objective, batch)
        at = f"it began in the output of '{where}'" if where else "the model's output is finite, the loss is not"
        return f"the loss became {loss}; {at}; try a smaller learning_rate or a smaller max_grad_norm"
    gradients = [(n, p.grad) for n, p in model.named_parameters() if p.grad is not None]
    bad = [n for n, g in gradients if not _finite(g)]
    if not bad:
        return "the gradient became too large to be summed; try a smaller learning_rate"
    return (
        f"the gradient became NaN or infinite, first in '{bad[-1]}' ({len(bad)} parameters are affected); "
        "try a smaller learning_rate, a smaller max_grad_norm, or standardized input"
    )


@torch.no_grad()
def blame_validation(
    model: nn.Module, objective: Objective, batches: Iterable[Batch], device: torch.device, value: str
) -> str:
    """Explain why the validation value named `value` is not finite although the weights are."""
    for batch in batches:
        there = batch.to(device)
        loss = float(objective.loss(objective.output(model, there), there))
        if not math.isfinite(loss):
            return f"{value} is not finite: {blame(model, objective, there, loss, 'validation')}"
    return f"{value} is not finite, though the loss of every batch is; look at the metric and the validation data"


def _finite(t: Tensor) -> bool:
    return first_unfinite([("", t)]) is None


def _row(value: Tensor, batch: Batch) -> str:
    """Name the first row that is not finite, as `row 5 `; empty if the tensor has no row dimension."""
    if value.dim() == 0 or len(value) != len(batch.rows):
        return ""
    wrong = (~torch.isfinite(value.reshape(len(value), -1))).any(1).cpu()
    return f"row {int(batch.rows[wrong][0])} "


def _tensors(value: Any) -> Iterator[Tensor]:
    """Iterate over the tensors of a nested output."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif dataclasses.is_dataclass(value):
        yield from _tensors([getattr(value, f.name) for f in dataclasses.fields(value)])


def _first_module(model: nn.Module, objective: Objective, batch: Batch) -> str | None:
    unfinite: list[str] = []

    def hook(name: str) -> Any:
        def look(module: nn.Module, args: Any, output: Any) -> None:
            if not all(_finite(t) for t in _tensors(output)):
                unfinite.append(name)

        return look

    hooks = [m.register_forward_hook(hook(n)) for n, m in model.named_modules() if n]
    try:
        with torch.no_grad():
            objective.output(model, batch)
    finally:
        for h in hooks:
            h.remove()
    return unfinite[0] if unfinite else None
