"""Convert numbers to times: 202001, 20200131, unix seconds to nanoseconds, spreadsheet serial days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unroll.data.timeseries.date_parser import in_words

READ = "yyyymm, yyyymmdd, unix seconds, milliseconds, microseconds or nanoseconds, or serial days of a spreadsheet"
"""Numbers that are read as times, for messages."""

_UNIX = (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
_SERIAL = (20000, 80000)
_ORIGIN = np.datetime64("1899-12-30", "ns")
"""Day 0 of spreadsheets, shifted by a day because their day 60, 29 February 1900, never existed."""


@dataclass(frozen=True)
class Numbered:
    """Hold numbers converted to times.

    Attributes:
        values: (N,) datetime64[ns], NaT where there was no number.
        how: what the numbers were taken as.
    """

    values: np.ndarray
    how: str


def as_times(numbers: np.ndarray, *, serial: bool) -> Numbered | None:
    """Convert numbers (N,), int64 or float64 with NaN, to times, if all of them can be one.

    Args:
        numbers: values of the column.
        serial: whether they may be spreadsheet serial days.

    Returns:
        None where they are not times.
    """
    there = np.isfinite(numbers.astype(np.float64))
    some = numbers[there]
    if not len(some):
        return None
    if (some % 1 == 0).all() and (np.abs(some) < 2.0**63).all():
        whole = some.astype(np.int64)
        for digits, way in ((6, "%Y%m"), (8, "%Y%m%d"), (10, "%Y%m%d%H"), (12, "%Y%m%d%H%M"), (14, "%Y%m%d%H%M%S")):
            if dates := _written(whole, digits, way):
                return Numbered(_spread(dates.values, there), dates.how)
    for name, ticks in _UNIX:
        if (some >= 1e8 * ticks).all() and (some < 4.2e9 * ticks).all():
            return Numbered(_spread(_from_unix(some, 10**9 // ticks), there), f"unix {name}")
    if serial and (some >= _SERIAL[0]).all() and (some < _SERIAL[1]).all():
        # Spreadsheets store days as float64, with a resolution of about a microsecond.
        since = np.round(some.astype(np.float64) * 86400 * 10**3).astype(np.int64) * 10**6
        return Numbered(_spread(_ORIGIN + since.astype("timedelta64[ns]"), there), "serial days of a spreadsheet")
    return None


def _written(whole: np.ndarray, digits: int, way: str) -> Numbered | None:
    import pandas as pd

    least, most = 1800 * 10 ** (digits - 4), 2201 * 10 ** (digits - 4)
    if not ((whole >= least) & (whole < most)).all():
        return None
    times = pd.to_datetime(pd.Series(whole.astype(str), dtype=object), format=way, errors="coerce")
    if times.isna().any():
        return None
    return Numbered(times.to_numpy().astype("datetime64[ns]"), f"dates written {in_words(way)}")


def _from_unix(some: np.ndarray, scale: int) -> np.ndarray:
    if some.dtype.kind in "iu" or (some % 1 == 0).all():
        return (some.astype(np.int64) * scale).astype("datetime64[ns]")
    # float64 resolves today's seconds to a quarter of a microsecond
    return (np.round(some * (scale / 1000)).astype(np.int64) * 1000).astype("datetime64[ns]")


def _spread(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    full = np.full(len(there), np.datetime64("NaT"), dtype="datetime64[ns]")
    full[there] = values
    return full
