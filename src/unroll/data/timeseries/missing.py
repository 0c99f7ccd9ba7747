"""Align rows to a regular grid and fill missing values.

Filling never leaks future values. `fill` repeats the last observed value. `interpolate` draws a line to the next
value, which rows before that value must not see: `as_known_at` gives an array as it was known at a row, where a gap
that reaches that row is forward-filled instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unroll.data.timeseries.frequency import STEPS, Frequency
from unroll.errors import DataError

_MOST_ADDED = 10


@dataclass(frozen=True)
class TimeGrid:
    """Regular grid of stamps.

    Attributes:
        stamps: (N,) every stamp from the first to the last.
        places: (n,) position of each given stamp on the grid.
        missing: (m,) the stamps of the grid that were not given.
    """

    stamps: np.ndarray
    places: np.ndarray
    missing: np.ndarray


def format_timestamp(stamp: Any) -> str:
    """Format a stamp with no more digits than needed."""
    if not isinstance(stamp, np.datetime64):
        return str(int(stamp))
    text = str(stamp.astype("datetime64[ns]"))
    for zeros in (".000000000", ":00", "T00:00"):
        text = text.removesuffix(zeros)
    return text.replace("T", " ")


def align(
    stamps: np.ndarray, frequency: Frequency, called: str, shown: Callable[[Any], str] = format_timestamp
) -> TimeGrid:
    """Align strictly increasing stamps (n,) to a grid; `shown` formats a stamp for messages.

    Raises:
        DataError: stamps lie off the grid (how many, and the first), or the grid would be far longer than the data.
    """
    number, on = frequency.index(stamps)
    if not on.all():
        off = int((~on).sum())
        name = "the grid of equal steps" if frequency.unit == STEPS else f"frequency {frequency}"
        raise DataError(
            f"{called}: {off} of {len(stamps)} times {'does' if off == 1 else 'do'} not lie on {name}, the first is "
            f"{shown(stamps[~on][0])}; correct them, resample the data, or give --frequency steps to take rows as "
            "equal steps"
        )
    size = int(number[-1] - number[0]) + 1
    if size > 1000 + _MOST_ADDED * len(stamps):
        raise DataError(
            f"{called}: {len(stamps)} rows stand on a grid of {size:,} times of frequency {frequency}; give the "
            "--frequency the data has, or --frequency steps to take rows as equal steps"
        )
    if size == len(stamps):
        return TimeGrid(stamps, np.arange(size), stamps[:0])
    places = number - number[0]
    grid = frequency.stamps(stamps[0], np.arange(size))
    given = np.zeros(size, dtype=bool)
    given[places] = True
    return TimeGrid(grid, places, grid[~given])


def scatter(values: np.ndarray, grid: TimeGrid) -> np.ndarray:
    """Scatter values (n, C) to the grid (N, C), NaN in between; the same array where nothing is missing."""
    if not len(grid.missing):
        return values
    full = np.full((len(grid.stamps), *values.shape[1:]), np.nan)
    full[grid.places] = values
    return full


def last_seen(observed: np.ndarray) -> np.ndarray:
    """Return for every row and column (N, C) the last observed row up to it, (N, C) int64; -1 for none."""
    rows = np.arange(len(observed)).reshape(-1, *[1] * (observed.ndim - 1))
    return np.maximum.accumulate(np.where(observed, rows, -1), axis=0)


def fill(values: np.ndarray, how: str) -> np.ndarray:
    """Fill missing values (N, C) by `fill` or `interpolate`; the first row must have none, final gaps are carried on.

    Returns the same array where nothing is missing.
    """
    empty = np.isnan(values)
    if not empty.any():
        return values
    seen = last_seen(~empty)
    filled = np.take_along_axis(values, np.maximum(seen, 0), axis=0)
    if how == "interpolate":
        rows = np.arange(len(values))
        for c in np.flatnonzero(empty.any(0)):
            there = np.flatnonzero(~empty[:, c])
            # np.interp repeats the last value at the end.
            filled[:, c] = np.interp(rows, there, values[there, c])
    return filled


def as_known_at(values: np.ndarray, observed: np.ndarray, row: int) -> np.ndarray:
    """Return the first `row` rows of filled values (N, C) as known then: nothing in them comes from later rows."""
    known = values[:row].copy()
    if row and not observed[:row].all():
        rows = np.arange(row)[:, None]
        seen = np.maximum(last_seen(observed[:row])[-1], 0)
        known = np.where(rows > seen, known[seen, np.arange(known.shape[1])], known)
    return known
