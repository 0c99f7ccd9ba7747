"""Sample batches: resumable, shuffled by seed and epoch, sharded over processes."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, Self, TypeVar

import numpy as np

from unroll.errors import DataError, OptionError, RunError

B = TypeVar("B")


class ResumableBatches(ABC, Generic[B]):
    """Base class of resumable batch sources (see `unroll.data.batches.BatchSource`).

    A subclass makes a batch only from its number, the epoch and the process, so that an iteration can start at any
    batch.

    Args:
        size: number of rows, or of the units named by `what`.
        batch_size: rows of a global batch.
        what: unit of `size`, for messages.

    Attributes:
        epoch, position: as `BatchSource` has them.
        rank, world: index of this process, and number of processes.

    Raises:
        DataError: there is nothing.
        OptionError: a batch of no rows.
    """

    def __init__(self, size: int, batch_size: int, what: str = "rows") -> None:
        if not size:
            raise DataError(f"there are no {what}")
        if batch_size < 1:
            raise OptionError(f"batch_size is {batch_size}; it must be at least 1")
        self.size = size
        self.batch_size = batch_size
        self.what = what
        self.rank, self.world = 0, 1
        self.epoch = 0
        self.position = 0
        self._start = 0

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches in an epoch; the same for every epoch and every process."""

    @abstractmethod
    def _make(self, number: int) -> B:
        """Make this process's part of the epoch's global batch `number`."""

    @abstractmethod
    def _settings(self) -> dict[str, int]:
        """Return the settings that the batches depend on, apart from the epoch; error messages use their names."""

    def __iter__(self) -> Iterator[B]:
        """Iterate over the epoch, once from the position restored by `load_state_dict`, else from the first batch."""
        start, self._start = self._start, 0
        self.position = start
        for number in range(start, len(self)):
            batch = self._make(number)
            self.position = number + 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch to iterate next; a position restored for this epoch is kept."""
        if epoch != self.epoch:
            self.epoch, self.position, self._start = epoch, 0, 0

    def shard(self, rank: int, world: int) -> Self:
        """Shard the batches: rows `rank::world` of every global batch, in the same order, from the start.

        Raises:
            DataError: fewer rows than processes.
            OptionError: a batch of fewer rows than processes.
        """
        if not 0 <= rank < world:
            raise OptionError(f"rank is {rank!r}, but must be at least 0 and below world, which is {world!r}")
        if self.size < world:
            raise DataError(f"there are {self.size} {self.what}, but {world} processes need at least one each")
        if self.batch_size < world:
            raise OptionError(f"batch_size is {self.batch_size}, but {world} processes need at least a row each")
        part = copy.copy(self)
        part.rank, part.world = rank, world
        part.epoch = part.position = part._start = 0
        return part

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the number of batches already produced, and the settings they depend on."""
        return {"epoch": self.epoch, "position": self.position, **self._settings()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from `state`: the next iteration starts at its epoch and position.

        Raises:
            RunError: the state belongs to other data or other options, or is damaged.
        """
        settings = self._settings()
        if set(state) != {"epoch", "position", *settings} or not all(type(v) is int for v in state.values()):
            raise RunError(f"the saved position in the data is damaged: {state!r}")
        for name, value in settings.items():
            if state[name] != value:
                raise RunError(
                    f"cannot continue: {name} was {state[name]} when the checkpoint was written, now it is {value}"
                )
        if state["epoch"] < 0 or not 0 <= state["position"] <= len(self):
            raise RunError(f"the saved position in the data is damaged: {state!r}")
        self.epoch, self.position = state["epoch"], state["position"]
        self._start = self.position


class EpochSampler(ResumableBatches[B]):
    """Split N rows into batches, in order or shuffled.

    With `shuffle` the rows are permuted by (seed, epoch), else they keep their order; they are cut into batches of
    `batch_size`. A last batch of fewer rows than processes joins the one before it. The order is made from raw PCG64
    bits, which NumPy keeps the same in every version.

    Args:
        size: N.
        batch_size: rows of a global batch.
        shuffle: permute.
        seed: of the order.
        what: what the rows are, for messages.
    """

    def __init__(self, size: int, batch_size: int, *, shuffle: bool, seed: int, what: str = "rows") -> None:
        super().__init__(size, batch_size, what)
        self.shuffle = shuffle
        self.seed = seed
        self._planned: tuple[tuple[int, int], list[np.ndarray]] | None = None

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.batch_size)
        return max(1, full + (rest >= self.world and rest > 0))

    def plan(self) -> list[np.ndarray]:
        """Return the rows of every global batch of the epoch, in order."""
        made_for = (self.epoch if self.shuffle else 0, self.world)
        if self._planned is None or self._planned[0] != made_for:
            self._planned = (made_for, self._plan(np.random.PCG64(np.random.SeedSequence([self.seed, made_for[0]]))))
        return self._planned[1]

    def _plan(self, bits: np.random.PCG64) -> list[np.ndarray]:
        return self._cut(self._permuted(bits))

    def _permuted(self, bits: np.random.PCG64) -> np.ndarray:
        return np.argsort(bits.random_raw(self.size), kind="stable") if self.shuffle else np.arange(self.size)

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        batches = np.split(order, range(self.batch_size, self.size, self.batch_size))
        if len(batches) > 1 and len(batches[-1]) < self.world:
            batches[-2:] = [np.concatenate(batches[-2:])]
        return batches

    def _settings(self) -> dict[str, int]:
        return {"rows": self.size, "batch_size": self.batch_size, "seed": self.seed}
