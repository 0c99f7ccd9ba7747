"""Where a training stands: everything that is a number and decides what comes next."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from unroll.errors import RunError

Stopped = Literal["", "finished", "early", "steps"]


@dataclass
class Course:
    """The counters, the sums of the epoch at hand, and the best value so far."""

    epoch: int = 0
    """Epochs that are over."""
    step: int = 0
    """Optimizer steps taken."""
    batch: int = 0
    """Batches of the epoch at hand that are behind it."""
    loss: float = 0.0
    """Sum over the epoch's rows so far of their batch's mean loss."""
    rows: int = 0
    """Rows of the epoch so far."""
    norm: float = 0.0
    """Sum over the epoch's batches of the gradient's norm."""
    skipped: int = 0
    """Steps in a row that half precision had to leave out."""
    seconds: float = 0.0
    """Time spent, all sittings together."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row per epoch."""
    best_epoch: int = 0
    best_value: float | None = None
    reference: float | None = None
    """The value that patience measures improvement against."""
    waited: int = 0
    """Epochs without improvement."""
    stopped: Stopped = ""
    """Why the training ended; empty while it has not."""
    warnings: dict[str, str] = field(default_factory=dict)
    """Named troubles, each with its sentence."""

    def mean_loss(self) -> float:
        """The epoch's loss so far."""
        return self.loss / max(1, self.rows)

    def judge(self, value: float, better: Literal["min", "max"], min_delta: float) -> bool:
        """Whether `value` is the best so far; also counts the epochs that patience waits."""
        sign = 1.0 if better == "max" else -1.0
        if math.isnan(value):
            value = -sign * math.inf
        improved = self.best_value is None or sign * value > sign * self.best_value
        if improved:
            self.best_value, self.best_epoch = value, self.epoch + 1
        gained = self.reference is None or sign * value > sign * self.reference + min_delta
        if gained:
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        return improved

    def close_epoch(self, row: dict[str, float], *, whole: bool) -> None:
        """Append the row (in place of an earlier one of the same epoch); a whole epoch leads to the next."""
        self.history = [r for r in self.history if r["epoch"] != row["epoch"]] + [row]
        if whole:
            self.epoch, self.batch = self.epoch + 1, 0
            self.loss, self.rows, self.norm = 0.0, 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """All fields."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Course:
        """The course that `state_dict()` described.

        Raises:
            RunError: the state has other fields.
        """
        if set(state) != {f.name for f in dataclasses.fields(cls)}:
            raise RunError("the checkpoint is damaged, or of another version: its counters are not as written")
        return cls(**state)
