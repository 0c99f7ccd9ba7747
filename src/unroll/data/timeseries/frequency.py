"""Frequencies of time series: parse, infer, and generate timestamps.

A frequency is a number and a unit, named as pandas names them: `ns us ms s min h D W` (fixed steps), `B` (Monday to
Friday), `MS ME QS QE YS YE` (months, quarters, years by their first or last day), `steps` (whole numbers). Weeks,
quarters and years are counted from the first stamp, so they have no anchors: `W` may start on any day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unroll.errors import DataError, OptionError, nearest

STEPS = "steps"

_TICKS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_DAY = 24 * _TICKS["h"]
_FIXED = {**_TICKS, "D": _DAY, "W": 7 * _DAY}
_MONTHS = {"MS": 1, "ME": 1, "QS": 3, "QE": 3, "YS": 12, "YE": 12}
_UNITS = (*_FIXED, "B", *_MONTHS)
_WORDS = {"hourly": "h", "daily": "D", "weekly": "W", "monthly": "MS", "quarterly": "QS", "yearly": "YS"} | {
    "H": "h",
    "T": "min",
    "S": "s",
    "d": "D",
    "M": "MS or ME",
    "Q": "QS or QE",
    "Y": "YS or YE",
    "A": "YS or YE",
}
_MOST = 10**6
_END = int((np.datetime64("2262-01-01") - np.datetime64("1970-01-01")).astype(np.int64))
_LONGEST = 36525 * _DAY
"""A hundred years; 64-bit nanoseconds cover 584 years."""


@dataclass(frozen=True)
class Frequency:
    """Step of `n` units from one stamp to the next.

    Attributes:
        unit: one of the module's names.
        n: number of units, at least 1.
    """

    unit: str
    n: int = 1

    def __str__(self) -> str:
        if self.unit == STEPS:
            return STEPS
        return self.unit if self.n == 1 else f"{self.n}{self.unit}"

    @property
    def months(self) -> int:
        """Months from a stamp to the next; 0 for units other than months, quarters and years."""
        return _MONTHS.get(self.unit, 0) * self.n

    @property
    def days(self) -> bool:
        """Whether the unit is whole days, which follow the local clock (23 to 25 hours)."""
        return self.unit in ("D", "W", "B", *_MONTHS)

    def elapsed(self) -> Frequency | None:
        """Convert to hours; None for months and business days, whose length varies, and for units below a day."""
        hours = _FIXED.get(self.unit, 0) // _TICKS["h"]
        return replace(self, unit="h", n=hours * self.n) if self.days and hours else None

    def index(self, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the grid positions of increasing stamps (N,).

        The grid contains the first stamp or, for fixed steps, as many stamps as possible.

        Returns:
            The stamps' positions (N,) int64, and whether each lies on the grid (N,) bool; a stamp off the grid has
            the position of the grid's stamp before it.
        """
        if self.unit == STEPS or self.unit in _FIXED:
            ticks = stamps.astype(np.int64)
            step = self.n * _FIXED.get(self.unit, 1)
            rest = ticks % step
            first = 0
            if (rest != rest[0]).any():
                kinds, counts = np.unique(rest, return_counts=True)
                first = int(np.argmax(rest == kinds[counts.argmax()]))
            on = rest == rest[first]
            ticks -= ticks[first]
            ticks //= step
            return ticks, on
        days = stamps.astype("datetime64[D]")
        on = stamps - days == stamps[0] - days[0]
        if self.unit == "B":
            at, first = days.astype(np.int64), days[0]
            count = np.where(at >= at[0], np.busday_count(first, days), 0)
            return count // self.n, on & np.is_busday(days) & (count % self.n == 0)
        months = stamps.astype("datetime64[M]")
        count = (months - months[0]).astype(np.int64)
        edge = _edge(months, self.unit)
        return count // self.months, on & (days == edge) & (count % self.months == 0)

    def stamps(self, origin: Any, numbers: np.ndarray) -> np.ndarray:
        """Return the stamps at these positions (N,) of the grid through `origin`, which is position 0.

        Raises:
            DataError: one lies after the year 2261, beyond the range of `datetime64[ns]`.
        """
        numbers = numbers.astype(np.int64) * self.n
        if self.unit == STEPS:
            return np.int64(origin) + numbers
        origin = np.asarray(origin)
        if self.unit in _FIXED:
            _check_end(origin.astype("datetime64[D]").astype(np.int64) + numbers * (_FIXED[self.unit] / _DAY))
            return origin.astype("datetime64[ns]") + (numbers * _FIXED[self.unit]).astype("timedelta64[ns]")
        day = origin.astype("datetime64[D]")
        clock = origin.astype("datetime64[ns]") - day
        if self.unit == "B":
            days = np.busday_offset(day, numbers, roll="backward")
        else:
            days = _edge(origin.astype("datetime64[M]") + numbers * _MONTHS[self.unit], self.unit)
        _check_end(days.astype(np.int64))
        return days.astype("datetime64[ns]") + clock


def _check_end(days: np.ndarray) -> None:
    """Reject days, counted from 1970, beyond the range of `datetime64[ns]`, which would wrap around to 1677."""
    if days.size and days.max() >= _END:
        raise DataError("times are counted up to the year 2261, and these would go beyond; give a shorter horizon")


def _edge(months: np.ndarray, unit: str) -> np.ndarray:
    """Return the first or the last day of each month."""
    if unit.endswith("S"):
        return months.astype("datetime64[D]")
    return (months + 1).astype("datetime64[D]") - 1


def parse(text: str) -> Frequency:
    """Parse the name of a frequency.

    Raises:
        OptionError: there is no such frequency; the message suggests the nearest.
    """
    if text == STEPS:
        return Frequency(STEPS)
    match = re.fullmatch(r"(\d{0,7})([A-Za-z]+)(-[A-Za-z]{3})?", text)
    number = int(match[1] or 1) if match else 0
    if match and match[2] in _UNITS and 0 < number <= _MOST:
        months = _MONTHS.get(match[2], 0)
        if number * _FIXED.get(match[2], months * _LONGEST / 1200 or _DAY) > _LONGEST:
            raise OptionError(f"frequency is {text!r}; a step is at most a hundred years")
        if match[3]:
            raise OptionError(f"frequency is {text!r}; give '{match[1]}{match[2]}', the day or month is the data's own")
        return Frequency(match[2], number)
    unit = match[2] if match else text
    hint = f"; did you mean {match[1]}{_WORDS[unit]}?" if match and unit in _WORDS else nearest(unit, (*_UNITS, STEPS))
    raise OptionError(f"frequency is {text!r:.60}{hint or '; it must be such as 15min, h, D, B, W, MS, YS or steps'}")


def infer(stamps: np.ndarray) -> Frequency | None:
    """Infer the most common frequency of strictly increasing stamps (N,).

    Stamps may be missing, and some may lie off the grid: `Frequency.index` tells which.

    Returns:
        None for fewer than two stamps, and where at most half of the stamps would lie on the grid of the most common
        step.
    """
    if len(stamps) < 2:
        return None
    common = _commonest(stamps)
    _, on = common.index(stamps)
    return common if on.mean() > 0.5 else None


def commonest_step(stamps: np.ndarray) -> str:
    """Return the most common step as text, whether or not the stamps fit its grid."""
    return str(_commonest(stamps)) if stamps.dtype.kind == "M" else str(_mode(np.diff(stamps)))


def _commonest(stamps: np.ndarray) -> Frequency:
    if stamps.dtype.kind != "M":
        return Frequency(STEPS, _mode(np.diff(stamps)))
    days = stamps.astype("datetime64[D]")
    clocks = stamps - days
    if (clocks == clocks[0]).all():
        months = stamps.astype("datetime64[M]")
        apart = _mode(np.diff(months).astype(np.int64))
        if apart:
            for edge in ("S", "E"):
                if (days == _edge(months, "M" + edge)).all():
                    unit, length = next((u, m) for u, m in (("Y", 12), ("Q", 3), ("M", 1)) if apart % m == 0)
                    return Frequency(unit + edge, apart // length)
        step = _mode(np.diff(days).astype(np.int64))
        if step == 1 and days[-1] - days[0] >= np.timedelta64(7) and np.is_busday(days).all():
            return Frequency("B")
        return Frequency("W", step // 7) if step % 7 == 0 else Frequency("D", step)
    step = _mode(np.diff(stamps).astype(np.int64))
    unit = next(u for u in reversed(_TICKS) if step % _TICKS[u] == 0)
    return Frequency(unit, step // _TICKS[unit])


def _mode(values: np.ndarray) -> int:
    """Return the most common number; the smallest of equally common ones."""
    kinds, counts = np.unique(values, return_counts=True)
    return int(kinds[counts.argmax()])


def season_length(frequency: str) -> int:
    """Return the usual season length of a frequency, in steps; 1 where there is none.

    A day for minutes and hours (h 24, 15min 96), an hour for seconds, a week for days (D 7, 24h 7, B 5), a year for
    weeks (52), months (12) and quarters (4); 1 for years, for `steps`, and where the step does not divide the cycle.
    """
    freq = parse(frequency)
    if freq == Frequency("h", 24):
        freq = Frequency("D")
    if freq.unit in ("h", "min"):
        cycle, step = _DAY, freq.n * _TICKS[freq.unit]
    elif freq.unit == "s":
        cycle, step = _TICKS["h"], freq.n * _TICKS["s"]
    elif freq.months:
        cycle, step = 12, freq.months
    else:
        cycle, step = {"D": 7, "B": 5, "W": 52}.get(freq.unit, 1), freq.n
    return cycle // step if cycle % step == 0 else 1
