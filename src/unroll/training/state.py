"""Keep the training state of a resumable run: counters, running sums and the best value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from unroll.data.batches import Batch, BatchSource
from unroll.errors import RunError

Stopped = Literal["", "finished", "early", "steps", "time", "cut"]


@dataclass
class TrainingState:
    """State of a training: counters, the sums of the current epoch, and the best value so far."""

    epoch: int = 0
    """Epochs that are over."""
    step: int = 0
    """Optimizer steps taken."""
    batch: int = 0
    """Batches of the epoch at hand that are behind it."""
    loss: float = 0.0
    """Sum over the epoch's batches so far of their loss times their weight."""
    weight: float = 0.0
    """Sum over the epoch's batches so far of their weight: rows, or what else the loss is a mean over."""
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
        """Return the epoch's mean loss so far."""
        return self.loss / self.weight if self.weight else 0.0

    def judge(self, value: float, better: Literal["min", "max"], min_delta: float) -> bool:
        """Return whether `value` is the best so far (NaN never is), and update the patience counter."""
        sign = 1.0 if better == "max" else -1.0
        comparable = not math.isnan(value)
        improved = comparable and (self.best_value is None or sign * value > sign * self.best_value)
        if improved:
            self.best_value, self.best_epoch = value, self.epoch + 1
        gained = comparable and (self.reference is None or sign * value > sign * self.reference + min_delta)
        if gained:
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        return improved

    def close_epoch(self, row: dict[str, float], *, whole: bool) -> None:
        """Append the row, replacing an earlier one of the same epoch; after a whole epoch start the next."""
        self.history = [r for r in self.history if r["epoch"] != row["epoch"]] + [row]
        if whole:
            self.epoch, self.batch = self.epoch + 1, 0
            self.loss, self.weight, self.norm = 0.0, 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return all fields."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def from_state(cls, state: Any) -> TrainingState:
        """Restore the training state from a `state_dict()`.

        Raises:
            RunError: the state has other fields, or a field of another kind.
        """
        if not isinstance(state, dict) or set(state) != set(_KINDS):
            raise RunError("the checkpoint is damaged, or of another version: its counters are not as written")
        for name, fits in _KINDS.items():
            if not fits(state[name]):
                raise RunError(f"the checkpoint is damaged: its counter '{name}' cannot be {state[name]!r:.80}")
        return cls(**state)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict) and {"epoch", "train_loss"} <= row.keys() and all(map(_number, row.values()))
        for row in value
    )


def _sentences(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


_KINDS = {
    **dict.fromkeys(("epoch", "step", "batch", "skipped", "best_epoch", "waited"), _count),
    **dict.fromkeys(("loss", "weight", "norm", "seconds"), _number),
    **dict.fromkeys(("best_value", "reference"), _number_or_none),
    "history": _rows,
    "stopped": lambda value: value in get_args(Stopped),
    "warnings": _sentences,
}


class Feed:
    """Iterate over the remaining batches of the current epoch, then over whole epochs."""

    def __init__(self, batches: BatchSource, course: TrainingState) -> None:
        self.batches = batches
        self._course = course

    def __len__(self) -> int:
        return len(self.batches) - self._course.batch

    def __iter__(self) -> Iterator[Batch]:
        self.batches.set_epoch(self._course.epoch)
        yield from self.batches
