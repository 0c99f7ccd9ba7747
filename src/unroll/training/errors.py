"""How a training can end before its time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from unroll.errors import UserError


class TrainingError(UserError):
    """The training cannot go on: the loss, a gradient or a weight is no longer a finite number."""


class Interrupted(KeyboardInterrupt):
    """A person stopped the training (Ctrl-C or SIGTERM).

    As Python's own `KeyboardInterrupt` it is no `Exception`, so that whoever runs many trainings and goes on
    after a failed one, such as a search over options, stops too.

    Attributes:
        epoch: the epoch that was being trained, from 1; 0 if that is not known.
        step: optimizer steps taken since the start.
        saved: whether the checkpoint to resume from is of this very step.
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
    """An `Interrupted` within Lightning's loop, which answers a `KeyboardInterrupt` by ending the process."""

    def __init__(self, epoch: int, step: int, saved: bool) -> None:
        super().__init__(epoch, step, saved)
        self.interrupted = Interrupted(epoch, step, saved)


@contextlib.contextmanager
def halting() -> Iterator[None]:
    """A `Halt` leaves the context as the `Interrupted` that it stands for."""
    try:
        yield
    except Halt as halt:
        raise halt.interrupted from None
