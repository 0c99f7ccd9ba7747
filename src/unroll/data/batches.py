"""Batch rows of similar length (bucketing); the order depends only on the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from unroll.data.options import BatchOptions
from unroll.data.ragged import RaggedDataset
from unroll.data.sampler import EpochSampler

ON_CPU = {"on_cpu": True}
"""Declares a field of a batch that stays on the CPU, such as lengths: `field(metadata=ON_CPU)`."""


@dataclass(frozen=True)
class Batch:
    """Hold one process's part of a global batch. A task that needs more fields derives a dataclass from it.

    Lengths, rows and every other field declared `ON_CPU` are always on the CPU.

    Attributes:
        x: (B, T) int64 token ids or (B, T, D) float32, zero beyond each row's length; T is at least 1.
        lengths: (B,) int64.
        target: (B,) int64, (B, K) float32 of 0 and 1, or (B, K) float64 numbers; None where there are none.
        rows: (B,) int64, positions in the data, such as `RaggedDataset`.
        total: size of the global batch over all processes: its rows, or whatever `counts` names.
        all_targets: the global batch's targets, in the order of its rows.
        weights: (B,) float32, of each row in the loss; None where all rows count the same.
        all_weights: the global batch's weights, in the order of its rows.
    """

    x: Tensor
    lengths: Tensor = field(metadata=ON_CPU)
    target: Tensor | None
    rows: Tensor = field(metadata=ON_CPU)
    total: int
    all_targets: Tensor | None
    weights: Tensor | None = field(default=None, kw_only=True)
    all_weights: Tensor | None = field(default=None, kw_only=True)

    counts: ClassVar[str] = "rows"
    """Unit of `total`, for messages."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Move every tensor to `device`, except those declared `ON_CPU`."""
        moved = {
            f.name: value.to(device, non_blocking=non_blocking)
            for f in fields(self)
            if not f.metadata.get("on_cpu") and isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


class BatchSource(Protocol):
    """Iterate over the batches of each epoch of training; `Batches` is one such source.

    With several processes, `shard` gives each its part. All parts have the same number of batches, and batches
    number n of all parts are one global batch: they share its `total`.

    Attributes:
        epoch: the epoch whose batches come next, or are being handed out.
        position: batches of that epoch already handed out.
    """

    epoch: int
    position: int

    def __len__(self) -> int:
        """Return the number of batches in an epoch; the same for every epoch and every process."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the epoch, once from the position restored by `load_state_dict`, else from the first batch."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch to iterate next; a position restored for this epoch is kept."""
        ...

    def shard(self, rank: int, world: int) -> Self:
        """Return the part of process `rank` out of `world`, at the start of the first epoch.

        Raises:
            UserError: there is not enough data for that many processes.
        """
        ...

    def state_dict(self) -> dict[str, int]:
        """Return the position and the settings that the order depends on; the same in every process."""
        ...

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from the position in `state`.

        Raises:
            RunError: the state belongs to other data or other options, or is damaged.
        """
        ...


class Batches(EpochSampler[Batch]):
    """Iterate over the batches of an epoch, any number of times.

    With `shuffle` the rows are permuted by (seed, epoch), cut into pools of `bucket * batch_size` rows,
    sorted by length within a pool, cut into batches, and the batches put in random order; without it all rows
    are sorted by length, and `Batch.rows` says where each belongs. `bucket=0` does not group by length, and
    without `shuffle` then keeps the order of the data.

    Args:
        examples: the data.
        options: batch size, bucket and seed; the next two override them.
        shuffle: training order.
        seed: of the order.
        batch_size: rows of a global batch.

    Raises:
        DataError: no rows.
    """

    def __init__(
        self,
        examples: RaggedDataset,
        options: BatchOptions | None = None,
        *,
        shuffle: bool,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        options = options or BatchOptions()
        size = options.batch_size if batch_size is None else batch_size
        super().__init__(len(examples), size, shuffle=shuffle, seed=options.seed if seed is None else seed)
        self.examples = examples
        self.bucket = options.bucket_batches

    def _plan(self, bits: np.random.PCG64) -> list[np.ndarray]:
        n, lengths = self.size, self.examples.lengths
        order = self._permuted(bits)
        pool = self.batch_size * self.bucket
        if pool and not self.shuffle:
            pool = n
        if pool:
            order = np.concatenate(
                [p[np.argsort(lengths[p], kind="stable")] for p in np.split(order, range(pool, n, pool))]
            )
        batches = self._cut(order)
        if self.shuffle:
            batches = [batches[i] for i in np.argsort(bits.random_raw(len(batches)), kind="stable")]
        return batches

    def _make(self, number: int) -> Batch:
        return self._collate(self.plan()[number])

    def _collate(self, every: np.ndarray) -> Batch:
        rows = every[self.rank :: self.world]
        sequences = self.examples.take(rows)
        lengths = self.examples.lengths[rows]
        shape = (len(rows), max(1, int(lengths.max())), *self.examples.feature_shape)
        x = np.zeros(shape, dtype=np.float32 if self.examples.feature_shape else np.int64)
        for i, sequence in enumerate(sequences):
            x[i, : len(sequence)] = sequence
        targets, weights = self.examples.targets, self.examples.weights
        return Batch(
            x=torch.from_numpy(x),
            lengths=torch.from_numpy(lengths),
            target=None if targets is None else torch.from_numpy(targets[rows]),
            rows=torch.from_numpy(rows),
            total=len(every),
            all_targets=None if targets is None else torch.from_numpy(targets[every]),
            weights=None if weights is None else torch.from_numpy(weights[rows]),
            all_weights=None if weights is None else torch.from_numpy(weights[every]),
        )

    def padding_share(self) -> float:
        """Compute the share of padding among the epoch's positions, over all processes."""
        lengths = self.examples.lengths
        positions = sum(len(rows) * max(1, int(lengths[rows].max())) for rows in self.plan())
        return 1.0 - float(lengths.sum()) / positions

    def _settings(self) -> dict[str, int]:
        return {**super()._settings(), "bucket_batches": self.bucket}
