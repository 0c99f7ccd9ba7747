"""Store ragged sequences and their targets, in memory or memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unroll.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

IN_MEMORY = 256 * 2**20
"""Bytes of source data up to which encoded rows are held in memory rather than in a file."""

ROWS_AT_ONCE = 1000


class Encoder(Protocol):
    """Interface of encoders that turn a list of values into arrays."""

    def encode(
        self, values: Sequence[Any], /, *, first: int = 0, rows: np.ndarray | None = None, where: str = ""
    ) -> list[np.ndarray]:
        """Return one array per value; row numbers (from `first` on, or `rows`) and `where` are for messages."""
        ...

    def to_json(self) -> str:
        """Return all settings that determine the result of `encode`."""
        ...

    @property
    def features(self) -> int:
        """Number of features D, or 0 where a step is a token id."""
        ...


class RaggedDataset:
    """Store N sequences of any length with N targets, and their weights in the loss if they have any.

    A chunk is `(offsets, values)`: row i of the chunk is `values[offsets[i]:offsets[i + 1]]`. The arrays may
    be views of a memory-mapped file: only the rows passed to `take` are read from disk.

    Args:
        chunks: pairs of offsets (n + 1,) and values (total,) or (total, D).
        targets: (N,) or (N, K), or None where there are none.

    Attributes:
        lengths: (N,) int64.
        targets: as given.
        weights: (N,) float32 of each row in the loss, or None where all rows count the same; None until it is set.
        unseen_labels: labels that the training data did not have; their numbers follow those of the labels that it had.
    """

    unseen_labels: tuple[str, ...] = ()

    def __init__(self, chunks: Sequence[tuple[np.ndarray, np.ndarray]], targets: np.ndarray | None = None) -> None:
        if not chunks:
            raise DataError("there are no rows")
        self._chunks = list(chunks)
        counts = [len(offsets) - 1 for offsets, _ in chunks]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._rows: np.ndarray | None = None
        self.lengths: np.ndarray = np.concatenate([np.diff(offsets) for offsets, _ in chunks]).astype(np.int64)
        self.feature_shape: tuple[int, ...] = chunks[0][1].shape[1:]
        if targets is not None and len(targets) != len(self.lengths):
            raise DataError(f"there are {len(self.lengths)} rows but {len(targets)} targets")
        self.targets = targets
        self.weights: np.ndarray | None = None

    @classmethod
    def from_arrays(cls, arrays: Sequence[np.ndarray], targets: np.ndarray | None = None) -> RaggedDataset:
        """Hold `arrays`, each (T,) or (T, D) of one dtype and one D, in memory."""
        if not len(arrays):
            raise DataError("there are no rows")
        return cls([_pack(arrays)], targets)

    @classmethod
    def from_dataset(cls, dataset: datasets.Dataset, column: str, targets: np.ndarray | None = None) -> RaggedDataset:
        """View a list column of numbers; nothing is copied, so a memory-mapped file stays on disk."""
        if dataset._indices is not None:
            dataset = dataset.flatten_indices()
        chunks = [_view(chunk) for chunk in dataset.data.column(column).chunks if len(chunk)]
        return cls(chunks, targets)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the sequences at `rows`, each (T,) or (T, D); views where possible, so do not modify them."""
        at = np.asarray(rows, dtype=np.int64)
        if self._rows is not None:
            at = self._rows[at]
        which = np.searchsorted(self._starts, at, side="right") - 1
        inside = at - self._starts[which]
        taken = []
        for c, i in zip(which.tolist(), inside.tolist(), strict=True):
            offsets, values = self._chunks[c]
            taken.append(values[offsets[i] : offsets[i + 1]])
        return taken

    def share_of(self, value: int) -> float:
        """Return the share of steps that equal `value`, by up to 2,000 rows."""
        rows = self.take(np.arange(min(len(self), 2000)))
        return sum(int((row == value).sum()) for row in rows) / max(1, sum(row.size for row in rows))

    def subset(self, rows: np.ndarray) -> RaggedDataset:
        """Select `rows`, in that order."""
        at = np.asarray(rows, dtype=np.int64)
        part = object.__new__(RaggedDataset)
        part._chunks, part._starts = self._chunks, self._starts
        part._rows = at if self._rows is None else self._rows[at]
        part.lengths = self.lengths[at]
        part.feature_shape = self.feature_shape
        part.targets = None if self.targets is None else self.targets[at]
        part.weights = None if self.weights is None else self.weights[at]
        return part

    def join(self, other: RaggedDataset) -> RaggedDataset:
        """Put the rows of another dataset, of the same kind, after these; nothing is copied but targets."""
        targets = None
        if self.targets is not None and other.targets is not None:
            targets = np.concatenate([self.targets, other.targets])
        joined = RaggedDataset([*self._chunks, *other._chunks])
        rows = [np.arange(part._starts[-1]) if part._rows is None else part._rows for part in (self, other)]
        joined = joined.subset(np.concatenate([rows[0], rows[1] + self._starts[-1]]))
        joined.targets = targets
        if self.weights is not None or other.weights is not None:
            given = (np.ones(len(part), np.float32) if part.weights is None else part.weights for part in (self, other))
            joined.weights = np.concatenate(list(given))
        return joined

    def fingerprint(self) -> Iterator[bytes]:
        """Yield the bytes of every row, target and weight, for a hash."""
        yield self.lengths.tobytes()
        yield b"" if self.targets is None else self.targets.tobytes()
        yield b"" if self.weights is None else self.weights.tobytes()
        for start in range(0, len(self), ROWS_AT_ONCE):
            for row in self.take(np.arange(start, min(start + ROWS_AT_ONCE, len(self)))):
                yield np.ascontiguousarray(row).tobytes()


def _pack(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    shapes = {a.shape[1:] for a in arrays}
    if len(shapes) > 1:
        raise DataError(f"sequences disagree on the number of features: {sorted(shapes)}")
    offsets = np.zeros(len(arrays) + 1, dtype=np.int64)
    np.cumsum([len(a) for a in arrays], out=offsets[1:])
    return offsets, np.concatenate(arrays)


def _view(chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa

    if not pa.types.is_list(chunk.type) and not pa.types.is_large_list(chunk.type):
        raise DataError(f"a list column is needed, but this one holds {chunk.type}")
    if chunk.null_count:
        raise DataError(f"{chunk.null_count} rows are null")
    offsets = chunk.offsets.to_numpy(zero_copy_only=True)
    inner = chunk.values
    width = ()
    if pa.types.is_fixed_size_list(inner.type):
        # `.values` of a fixed-size list disregards its own offset, which is a row count here.
        size = inner.type.list_size
        inner, width = inner.values.slice(inner.offset * size, len(inner) * size), (size,)
    values = inner.to_numpy(zero_copy_only=True)
    return offsets, values.reshape(-1, *width) if width else values


def iter_column(dataset: datasets.Dataset, column: str, rows: np.ndarray | None = None) -> Iterator[Any]:
    """Iterate over the values of one column, for all rows or for `rows`, reading a few at a time."""
    total = len(dataset) if rows is None else len(rows)
    only = dataset.select_columns([column])
    for start in range(0, total, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, total)
        part = only[start:stop] if rows is None else only[np.asarray(rows[start:stop]).tolist()]
        yield from part[column]


def encode_to_examples(
    dataset: datasets.Dataset,
    column: str,
    encoder: Encoder,
    targets: np.ndarray | None = None,
    *,
    in_memory: bool | None = None,
    progress: Callable[[int], None] | None = None,
    rows: np.ndarray | None = None,
    where: str = "",
) -> RaggedDataset:
    """Encode one column of a dataset, in memory if it is small, else in the `datasets` cache on disk.

    The cached file is reused for the same data and the same encoder.

    Args:
        dataset: the rows.
        column: name of the column.
        encoder: converts the values to arrays.
        targets: (N,) or (N, K), if there are any.
        in_memory: whether to hold the arrays in memory; None decides by size.
        progress: called with the number of rows done.
        rows: the rows' numbers (N,) in the data they were taken from, for messages.
        where: what to call that data in messages.
    """
    if not len(dataset):
        raise DataError("there are no rows")
    if in_memory is None:
        in_memory = dataset.data.nbytes <= IN_MEMORY
    if in_memory:
        packed = []
        for start in range(0, len(dataset), ROWS_AT_ONCE):
            values = dataset.select_columns([column])[start : start + ROWS_AT_ONCE][column]
            row_numbers = None if rows is None else rows[start : start + ROWS_AT_ONCE]
            packed.append(_pack(encoder.encode(values, first=start, rows=row_numbers, where=where)))
            if progress:
                progress(start + len(values))
        return RaggedDataset(packed, targets)
    numbers = np.arange(len(dataset)) if rows is None else np.asarray(rows)
    encoded = _encode_to_disk(dataset, column, encoder, numbers, where, progress)
    return RaggedDataset.from_dataset(encoded, "sequence", targets)


def _encode_to_disk(
    dataset: datasets.Dataset,
    column: str,
    encoder: Encoder,
    numbers: np.ndarray,
    where: str,
    progress: Callable[[int], None] | None,
) -> datasets.Dataset:
    import pyarrow as pa

    from unroll.data.files.cache import writing
    from unroll.data.files.dataset import quiet_datasets

    def step(table: pa.Table, rows: list[int]) -> pa.Table:
        arrays = encoder.encode(table.column(column).to_pylist(), rows=numbers[rows], where=where)
        offsets, values = _pack(arrays)
        inner = pa.array(values.reshape(-1))
        if encoder.features:
            inner = pa.FixedSizeListArray.from_arrays(inner, values.shape[1])
        if progress:
            progress(rows[-1] + 1)
        return pa.table({"sequence": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner)})

    # Named by hand: hashing the encoder as an object would pickle it.
    key = "\n".join([dataset._fingerprint, column, encoder.to_json()])
    with quiet_datasets(), writing():
        return dataset.with_format("arrow").map(
            step,
            batched=True,
            with_indices=True,
            batch_size=ROWS_AT_ONCE,
            remove_columns=dataset.column_names,
            new_fingerprint=hashlib.sha256(key.encode()).hexdigest()[:32],
        )
