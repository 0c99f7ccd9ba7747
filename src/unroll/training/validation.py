"""Compute the loss and the metrics of a validation pass, and check its outputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unroll.data.batches import Batch
from unroll.training.diagnostics import OutputMonitor
from unroll.training.objective import Objective, batch_weight, watched_output


class Validation:
    """Accumulate the loss and the metrics of a validation pass on the device.

    Args:
        objective: loss and metrics.
        outputs: detects dead outputs.
    """

    def __init__(self, objective: Objective, outputs: OutputMonitor) -> None:
        self._objective = objective
        self._outputs = outputs

    def start(self, device: torch.device) -> None:
        """Start a new pass."""
        self._metrics = self._objective.metrics().to(device)
        self._loss = torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu")
        self._weight: float | Tensor = 0.0
        self._outputs.start()

    def step(self, model: nn.Module, batch: Batch) -> None:
        """Add one batch."""
        output = self._objective.output(model, batch)
        weight = batch_weight(self._objective, batch)
        if isinstance(weight, Tensor):
            weight = weight.to(self._loss)
        self._loss += self._objective.loss(output, batch).to(self._loss) * weight
        self._weight += weight
        self._objective.update(self._metrics, output, batch)
        seen = watched_output(self._objective, output, batch)
        if seen is not None:
            self._outputs.update(*seen)

    def numbers(self, world: int) -> dict[str, float]:
        """Compute valid_loss and valid_<metric> for each metric, over all `world` processes."""
        if world > 1:
            torch.distributed.all_reduce(self._loss)
        weight = float(self._weight)
        found = {"valid_loss": self._loss.item() / weight if weight else 0.0}
        return found | {f"valid_{name}": float(v) for name, v in self._metrics.compute().items()}

    def troubles(self, world: int) -> list[tuple[str, str]]:
        """Return the problems of the outputs, as (name, sentence)."""
        extremes = self._outputs.extremes()
        if world > 1 and extremes is not None:
            torch.distributed.all_reduce(extremes, op=torch.distributed.ReduceOp.MAX)
        return self._outputs.finish(extremes)


def unfinite(numbers: dict[str, float]) -> str | None:
    """Find the name of the first number that is not finite, without valid_."""
    wrong = next((name for name, v in numbers.items() if not math.isfinite(v)), None)
    return None if wrong is None else wrong.removeprefix("valid_")
