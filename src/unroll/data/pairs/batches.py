"""Encoded pairs of texts, and their batches: rows whose sides have similar lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unroll.data.batches import ON_CPU, Batch
from unroll.data.options import BatchOptions
from unroll.data.ragged import RaggedDataset
from unroll.data.sampler import EpochSampler


@dataclass(frozen=True)
class PairDataset:
    """Hold encoded pairs.

    Attributes:
        source: what the encoder reads: tokens, or features.
        target: the target's tokens, each row with the end token last.
        sources: the sources as texts; empty if they are none.
        references: all targets of each row, as texts.
    """

    source: RaggedDataset
    target: RaggedDataset
    sources: tuple[str, ...] = ()
    references: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.source)

    def subset(self, rows: np.ndarray) -> PairDataset:
        """Select `rows`, in that order."""
        at = rows.tolist()
        sources = tuple(self.sources[i] for i in at) if self.sources else ()
        references = tuple(self.references[i] for i in at)
        return PairDataset(self.source.subset(rows), self.target.subset(rows), sources, references)

    def join(self, other: PairDataset) -> PairDataset:
        """Put the rows of another dataset after these."""
        return PairDataset(
            self.source.join(other.source),
            self.target.join(other.target),
            self.sources + other.sources,
            self.references + other.references,
        )

    def fingerprint(self) -> Iterator[bytes]:
        """Yield the bytes of every row, for a hash."""
        yield from self.source.fingerprint()
        yield from self.target.fingerprint()


@dataclass(frozen=True)
class PairBatch(Batch):
    """Hold one process's part of a global batch of pairs.

    Attributes:
        x: (B, S) tokens, or (B, S, D) features, of the source.
        lengths: (B,) of the source.
        target: (B, U) int64 tokens, zero beyond each row's length.
        target_lengths: (B,) int64, the end token included.
        total: target tokens of the global batch.
    """

    target_lengths: Tensor = field(kw_only=True, metadata=ON_CPU)

    counts: ClassVar[str] = "target tokens"


class PairBatches(EpochSampler[PairBatch]):
    """Iterate over the batches of an epoch of pairs, any number of times.

    As `data.batches.Batches`; within a pool rows are sorted by the length of the target, then of the source.

    Args:
        pairs: the data.
        options: batch size, bucket and seed; the next overrides the first.
        shuffle: training order.
        batch_size: rows of a global batch.

    Raises:
        DataError: no rows.
    """

    def __init__(
        self, pairs: PairDataset, options: BatchOptions, *, shuffle: bool, batch_size: int | None = None
    ) -> None:
        size = options.batch_size if batch_size is None else batch_size
        super().__init__(len(pairs), size, shuffle=shuffle, seed=options.seed, what="pairs")
        self.pairs = pairs
        self.bucket = options.bucket_batches

    def _plan(self, bits: np.random.PCG64) -> list[np.ndarray]:
        order = self._permuted(bits)
        pool = self.batch_size * self.bucket if self.shuffle else self.size if self.bucket else 0
        if pool:
            source, target = self.pairs.source.lengths, self.pairs.target.lengths
            parts = np.split(order, range(pool, self.size, pool))
            order = np.concatenate([p[np.lexsort((source[p], target[p]))] for p in parts])
        batches = self._cut(order)
        if self.shuffle:
            batches = [batches[i] for i in np.argsort(bits.random_raw(len(batches)), kind="stable")]
        return batches

    def _make(self, number: int) -> PairBatch:
        every = self.plan()[number]
        rows = every[self.rank :: self.world]
        x, lengths = padded(self.pairs.source, rows)
        target, target_lengths = padded(self.pairs.target, rows)
        return PairBatch(
            x=x,
            lengths=lengths,
            target=target,
            rows=torch.from_numpy(rows),
            total=int(self.pairs.target.lengths[every].sum()),
            all_targets=None,
            target_lengths=target_lengths,
        )

    def padding_share(self) -> float:
        """Compute the share of padding among the targets of the epoch, over all processes."""
        lengths = self.pairs.target.lengths
        positions = sum(len(rows) * int(lengths[rows].max()) for rows in self.plan())
        return 1.0 - float(lengths.sum()) / positions

    def _settings(self) -> dict[str, int]:
        return {**super()._settings(), "bucket_batches": self.bucket}


def padded(examples: RaggedDataset, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Put rows side by side, zero beyond their lengths: (B, T, ...) and the lengths (B,)."""
    lengths = examples.lengths[rows]
    shape = (len(rows), max(1, int(lengths.max())), *examples.feature_shape)
    x = np.zeros(shape, dtype=np.float32 if examples.feature_shape else np.int64)
    for i, sequence in enumerate(examples.take(rows)):
        x[i, : len(sequence)] = sequence
    return torch.from_numpy(x), torch.from_numpy(lengths)


def with_end(rows: Sequence[np.ndarray], end: int) -> RaggedDataset:
    """Pack rows of token ids, each with the end token after its last."""
    return RaggedDataset.from_arrays([np.append(row, np.int32(end)).astype(np.int32) for row in rows])
