"""Which rows an epoch's batches hold, from the seed and the epoch alone."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np

from unroll.errors import DataError, OptionError, RunError


class Order:
    """The order of N rows in batches, and where an iteration over them stands.

    With `shuffle` the rows are permuted by (seed, epoch), else they keep their order; they are cut into batches of
    `batch_size`. The order is made from raw PCG64 bits, which NumPy keeps the same in every version.

    Args:
        rows: N.
        batch_size: rows of a global batch.
        shuffle: permute.
        seed: of the order.
        what: what the rows are, for messages.

    Raises:
        DataError: no rows.
        OptionError: a batch of no rows.
    """

    def __init__(self, rows: int, batch_size: int, *, shuffle: bool, seed: int, what: str = "rows") -> None:
        if not rows:
            raise DataError(f"there are no {what}")
        if batch_size < 1:
            raise OptionError(f"batch_size is {batch_size}; it must be at least 1")
        self.size = rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.what = what
        self.rank, self.world = 0, 1
        self.epoch = 0
        self.position = 0
        self._start = 0
        self._planned: tuple[int, np.ndarray] | None = None

    def shard(self, rank: int, world: int) -> Self:
        """The same for one of several processes: rows `rank::world` of every global batch, from the start.

        A last batch of fewer rows than processes joins the one before it.

        Raises:
            DataError: fewer rows than processes.
            OptionError: a batch of fewer rows than processes.
        """
        if not 0 <= rank < world:
            raise OptionError(f"rank is {rank!r}, but must be at least 0 and below world, which is {world!r}")
        if self.batch_size < world:
            raise OptionError(f"batch_size is {self.batch_size}, but {world} processes need at least a row each")
        if self.size < world:
            raise DataError(f"there are {self.size} {self.what}, but {world} processes need at least one each")
        part = copy.copy(self)
        part.rank, part.world = rank, world
        part.epoch = part.position = part._start = 0
        return part

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.batch_size)
        return max(1, full + (rest >= self.world and rest > 0))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; a position restored for this very epoch is kept."""
        if epoch != self.epoch:
            self.epoch, self.position, self._start = epoch, 0, 0

    def begin(self) -> int:
        """The batch that an iteration starts with: the restored one, once, else the first."""
        start, self._start = self._start, 0
        self.position = start
        return start

    def batch(self, number: int) -> np.ndarray:
        """The rows of the epoch's global batch of that number."""
        stop = self.size if number == len(self) - 1 else (number + 1) * self.batch_size
        start = number * self.batch_size
        if not self.shuffle:
            return np.arange(start, stop)
        if self._planned is None or self._planned[0] != self.epoch:
            bits = np.random.PCG64(np.random.SeedSequence([self.seed, self.epoch]))
            self._planned = (self.epoch, np.argsort(bits.random_raw(self.size), kind="stable"))
        return self._planned[1][start:stop]

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands, and what the order depends on."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "rows": self.size,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken.

        Raises:
            RunError: the state belongs to other data or other options, or is damaged.
        """
        own = self.state_dict()
        if set(state) != set(own) or not all(type(v) is int for v in state.values()):
            raise RunError(f"the saved position in the data is damaged: {state!r}")
        for name in ("rows", "batch_size", "seed"):
            if state[name] != own[name]:
                raise RunError(
                    f"cannot continue: {name} was {state[name]} when the checkpoint was written, now it is {own[name]}"
                )
        if state["epoch"] < 0 or not 0 <= state["position"] <= len(self):
            raise RunError(f"the saved position in the data is damaged: {state!r}")
        self.epoch, self.position = state["epoch"], state["position"]
        self._start = self.position
