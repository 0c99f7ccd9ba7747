"""An epoch's batches from where the training stands."""

from __future__ import annotations

from collections.abc import Iterator

from unroll.data.batches import Batch, BatchSource
from unroll.training.state import TrainingState


class Feed:
    """What is left of the epoch at hand; the epochs after it whole."""

    def __init__(self, batches: BatchSource, course: TrainingState) -> None:
        self.batches = batches
        self._course = course

    def __len__(self) -> int:
        return len(self.batches) - self._course.batch

    def __iter__(self) -> Iterator[Batch]:
        self.batches.set_epoch(self._course.epoch)
        yield from self.batches
