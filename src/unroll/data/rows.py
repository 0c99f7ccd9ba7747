"""Which row of a person's data a value is, for messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np


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
