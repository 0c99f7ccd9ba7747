"""Exceptions that end a training early."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from unroll.errors import UserError


class TrainingError(UserError):
    """Raised when the training cannot continue: the loss, a gradient or a weight is NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """Raised when the user stops the training (Ctrl-C or SIGTERM).

    Like Python's `KeyboardInterrupt` it is not an `Exception`, so a program that runs many trainings and continues
    after a failed one, such as a hyperparameter search, stops too.

    Attributes:
        epoch: the epoch that was being trained, from 1; 0 if that is not known.
        step: optimizer steps taken since the start.
        saved: whether the checkpoint to resume from is of exactly this step.
    """

    def __init__(self, epoch: int, step: int, saved: bool) -> None:
        super().__init__(epoch, step, saved)
        self.epoch = epoch
        self.step = step
        self.saved = saved

    def __str__(self) -> str:
        where = f"stopped in epoch {self.epoch} at step {self.step}" if self.epoch else "stopped"
        if self.saved:
            return f"{where}; everything so far is in the checkpoint, and a resumed run goes on exactly here"
        return f"{where} at once; a resumed run goes on from the last checkpoint that was written"


class Halt(BaseException):
    """Carries an `Interrupted` through Lightning's loop, which on a `KeyboardInterrupt` would end the process."""

    def __init__(self, epoch: int, step: int, saved: bool) -> None:
        super().__init__(epoch, step, saved)
        self.interrupted = Interrupted(epoch, step, saved)


@contextlib.contextmanager
def halting() -> Iterator[None]:
    """Re-raise a `Halt` from the context as its `Interrupted`."""
    try:
        yield
    except Halt as halt:
        raise halt.interrupted from None
