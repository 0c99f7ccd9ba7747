"""Rows of similar length together, in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from unroll.data.examples import Examples
from unroll.data.options import BatchOptions
from unroll.errors import DataError, OptionError, RunError


@dataclass(frozen=True)
class Batch:
    """One process's part of one global batch. A task that needs more than this derives a dataclass from it.

    Attributes:
        x: (B, T) int64 token ids or (B, T, D) float32, zero beyond each row's length; T is at least 1.
        lengths: (B,) int64, always on the CPU.
        target: (B,) int64, (B, K) float32 of 0 and 1, or (B, K) float64 numbers; None where there are none.
        rows: (B,) int64, positions in the data, such as `Examples`; always on the CPU.
        total: what the global batch counts, over all processes: its rows, or what `counts` names.
        all_targets: the global batch's targets, in the order of its rows.
    """

    x: Tensor
    lengths: Tensor
    target: Tensor | None
    rows: Tensor
    total: int
    all_targets: Tensor | None

    counts: ClassVar[str] = "rows"
    """What `total` is a number of, for a person to read."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same batch with every tensor on `device` but lengths and rows, which stay on the CPU."""
        moved = {
            f.name: value.to(device, non_blocking=non_blocking)
            for f in fields(self)
            if f.name not in ("lengths", "rows") and isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


class BatchSource(Protocol):
    """What a training iterates, epoch after epoch; `Batches` is one.

    With several processes, `shard` gives each its part. All parts have the same number of batches, and batches
    number n of all parts are one global batch: they share its `total`.

    Attributes:
        epoch: the epoch whose batches come next, or are being handed out.
        position: batches of that epoch already handed out.
    """

    epoch: int
    position: int

    def __len__(self) -> int:
        """Batches of an epoch; the same for every epoch and every process."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """The epoch's batches, once from the position that `load_state_dict` restored, else from the first."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next; a position restored for this very epoch is kept."""
        ...

    def shard(self, rank: int, world: int) -> Self:
        """Process number `rank`'s part, of `world`, at the start of the first epoch.

        Raises:
            UserError: there is not enough data for so many.
        """
        ...

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands, and what the order depends on; the same in every process."""
        ...

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken.

        Raises:
            RunError: the state belongs to other data or other options, or is damaged.
        """
        ...


class Batches:
    """An epoch's batches, iterated any number of times.

    With `shuffle` the rows are permuted by (seed, epoch), cut into pools of `bucket * batch_size` rows,
    sorted by length within a pool, cut into batches, and the batches put in random order; without it all rows
    are sorted by length, and `Batch.rows` says where each belongs. `bucket=0` does not group by length, and
    without `shuffle` then keeps the order of the data.

    The order is made from raw PCG64 bits, which NumPy keeps the same in every version.

    Args:
        examples: the data.
        options: batch size and bucket; `batch_size` overrides the former.
        batch_size: rows of a global batch.
        shuffle: training order.
        seed: of the order.
        rank: this process; it takes rows `rank::world` of every global batch.
        world: number of processes. A last batch of fewer rows than processes joins the one before it.

    Raises:
        DataError: no rows, or fewer rows than processes.
        OptionError: a batch of fewer rows than processes.
    """

    def __init__(
        self,
        examples: Examples,
        options: BatchOptions | None = None,
        *,
        shuffle: bool,
        seed: int | None = None,
        batch_size: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        options = options or BatchOptions()
        if batch_size is not None:
            options = replace(options, batch_size=batch_size)
        if seed is not None:
            options = replace(options, seed=seed)
        if not len(examples):
            raise DataError("there are no rows")
        if not 0 <= rank < world:
            raise OptionError(f"rank is {rank!r}, but must be at least 0 and below world, which is {world!r}")
        if options.batch_size < world:
            raise OptionError(f"batch_size is {options.batch_size}, but {world} processes need at least a row each")
        if len(examples) < world:
            raise DataError(f"there are {len(examples)} rows, but {world} processes need at least a row each")
        self.examples = examples
        self.options = options
        self.shuffle = shuffle
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.position = 0
        self._start = 0
        self._planned: tuple[int, list[np.ndarray]] | None = None

    @property
    def batch_size(self) -> int:
        """Rows of a global batch."""
        return self.options.batch_size

    def __len__(self) -> int:
        n, size = len(self.examples), self.options.batch_size
        full, rest = divmod(n, size)
        return max(1, full + (rest >= self.world and rest > 0))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; a position restored for this very epoch is kept."""
        if epoch != self.epoch:
            self.epoch, self.position, self._start = epoch, 0, 0

    def shard(self, rank: int, world: int) -> Batches:
        """Rows `rank::world` of every global batch of the same data in the same order, from the start."""
        return Batches(self.examples, self.options, shuffle=self.shuffle, rank=rank, world=world)

    def plan(self) -> list[np.ndarray]:
        """The rows of every global batch of the epoch, in order."""
        epoch = self.epoch if self.shuffle else 0
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._make_plan(epoch))
        return self._planned[1]

    def _make_plan(self, epoch: int) -> list[np.ndarray]:
        n, size, lengths = len(self.examples), self.options.batch_size, self.examples.lengths
        bits = np.random.PCG64(np.random.SeedSequence([self.options.seed, epoch]))
        order = np.argsort(bits.random_raw(n), kind="stable") if self.shuffle else np.arange(n)
        pool = size * self.options.bucket
        if pool and not self.shuffle:
            pool = n
        if pool:
            order = np.concatenate(
                [p[np.argsort(lengths[p], kind="stable")] for p in np.split(order, range(pool, n, pool))]
            )
        batches = np.split(order, range(size, n, size))
        if len(batches) > 1 and len(batches[-1]) < self.world:
            batches[-2:] = [np.concatenate(batches[-2:])]
        if self.shuffle:
            batches = [batches[i] for i in np.argsort(bits.random_raw(len(batches)), kind="stable")]
        return batches

    def __iter__(self) -> Iterator[Batch]:
        start, self._start = self._start, 0
        plan = self.plan()
        self.position = start
        for at in range(start, len(plan)):
            batch = self._collate(plan[at])
            self.position = at + 1
            yield batch

    def _collate(self, every: np.ndarray) -> Batch:
        rows = every[self.rank :: self.world]
        sequences = self.examples.take(rows)
        lengths = self.examples.lengths[rows]
        shape = (len(rows), max(1, int(lengths.max())), *self.examples.feature_shape)
        x = np.zeros(shape, dtype=np.float32 if self.examples.feature_shape else np.int64)
        for i, sequence in enumerate(sequences):
            x[i, : len(sequence)] = sequence
        targets = self.examples.targets
        return Batch(
            x=torch.from_numpy(x),
            lengths=torch.from_numpy(lengths),
            target=None if targets is None else torch.from_numpy(targets[rows]),
            rows=torch.from_numpy(rows),
            total=len(every),
            all_targets=None if targets is None else torch.from_numpy(targets[every]),
        )

    def padding_share(self) -> float:
        """Share of the epoch's positions (all processes as one) that are padding."""
        lengths = self.examples.lengths
        positions = sum(len(rows) * max(1, int(lengths[rows].max())) for rows in self.plan())
        return 1.0 - float(lengths.sum()) / positions

    def state_dict(self) -> dict[str, int]:
        """Where the iteration stands: the epoch, the batches already handed out, and what the order depends
        on.
        """
        return {
            "epoch": self.epoch,
            "position": self.position,
            "rows": len(self.examples),
            "batch_size": self.options.batch_size,
            "bucket": self.options.bucket,
            "seed": self.options.seed,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken: the next iteration starts at its epoch and position.

        Raises:
            RunError: the state belongs to other data or other options, or is damaged.
        """
        own = self.state_dict()
        if set(state) != set(own) or not all(type(v) is int for v in state.values()):
            raise RunError(f"the saved position in the data is damaged: {state!r}")
        for name in ("rows", "batch_size", "bucket", "seed"):
            if state[name] != own[name]:
                raise RunError(
                    f"cannot continue: {name} was {state[name]} when the checkpoint was written, now it is {own[name]}"
                )
        if state["epoch"] < 0 or not 0 <= state["position"] <= len(self):
            raise RunError(f"the saved position in the data is damaged: {state!r}")
        self.epoch, self.position = state["epoch"], state["position"]
        self._start = self.position
