"""Rows as they are read, placeholders for unreadable rows, and row names for messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np

from unroll.errors import DataError, nearest

Row = dict[str, Any]


class Unreadable(Row):
    """Placeholder without columns for a row that could not be read; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def refused(reason: str, skip: bool) -> Unreadable:
    """Return a placeholder for a row that could not be read, if such rows are skipped.

    Raises:
        DataError: they are not.
    """
    if not skip:
        raise DataError(reason)
    return Unreadable(reason)


def require_columns(dataset_or_names: Any, wanted: Sequence[str], where: str) -> None:
    """Check that all `wanted` columns are there.

    Args:
        dataset_or_names: a `datasets.Dataset`, or the columns' names.
        wanted: names that are needed.
        where: the file or data set, for the message.

    Raises:
        DataError: one is not, with the name nearest to it.
    """
    names = list(getattr(dataset_or_names, "column_names", dataset_or_names))
    for name in wanted:
        if name not in names:
            raise DataError(f"'{where}' has no column '{name}'{nearest(name, names)}")


def numbered(values: Iterable[Any], rows: np.ndarray | None = None, first: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield pairs of a row's number, from 0, and its value.

    Args:
        values: one per row.
        rows: their row numbers (N,), where rows were left out or reordered.
        first: row number of the first where `rows` is not given; the others follow.
    """
    return zip(count(first) if rows is None else np.asarray(rows).tolist(), values, strict=False)


def row_of(row: int, where: str = "") -> str:
    """Name row number `row` of the data `where` in messages, which count from 1."""
    return f"row {row + 1} of {where}" if where else f"row {row + 1}"


def grouped(names: Iterable[Any]) -> tuple[np.ndarray, list[Any]]:
    """Number the distinct names by first appearance; return each row's number, and the names."""
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    return codes, list(numbers)
