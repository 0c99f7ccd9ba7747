"""How a training can end before its time."""

from __future__ import annotations

from unroll.errors import UserError


class TrainingError(UserError):
    """The training cannot go on: the loss or a gradient is no longer a finite number."""


class Interrupted(Exception):  # noqa: N818 - a person asked for it, so it is no error
    """A person stopped the training (Ctrl-C or SIGTERM).

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
