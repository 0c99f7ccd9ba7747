"""Rows as they are read, what stands for one that cannot be, and what messages call them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from unroll.errors import DataError

Row = dict[str, Any]


class Unreadable(Row):
    """Stands, without columns, for a row that could not be read; `reason` is the sentence for it."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def refused(reason: str, skip: bool) -> Unreadable:
    """What stands for a row that could not be read, if such rows are left out.

    Raises:
        DataError: they are not.
    """
    if not skip:
        raise DataError(reason)
    return Unreadable(reason)


def numbered(values: Iterable[Any], rows: np.ndarray | None = None, first: int = 0) -> Iterator[tuple[int, Any]]:
    """Pairs of a row's number, from 0, and its value.

    Args:
        values: one per row.
        rows: their row numbers (N,), where rows were left out or reordered.
        first: row number of the first where `rows` is not given; the others follow.
    """
    return zip(count(first) if rows is None else np.asarray(rows).tolist(), values, strict=False)


def row_of(row: int, where: str = "") -> str:
    """What to call the row with number `row` of the data `where`; people count from 1."""
    return f"row {row + 1} of {where}" if where else f"row {row + 1}"


def grouped(names: Iterable[Any]) -> tuple[np.ndarray, list[Any]]:
    """The number of each row's name, and the names, by first appearance."""
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    return codes, list(numbers)
