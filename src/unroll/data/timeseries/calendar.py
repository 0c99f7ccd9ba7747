"""Compute calendar features of timestamps: positions in cycles, as sine and cosine.

Each cycle gives two features, sin and cos of 2 pi p, where p, from 0 to below 1, is how much of it has passed:

    minute    of the hour, seconds counted
    hour      of the day, minutes and seconds counted
    weekday   of the week, Monday 0, in days
    day       of the month, in days of as many as the month has
    week      of the year, in weeks of 7 days from its first day
    month     of the year, in months
    quarter   of the year, in quarters
    year      of the year, in days of as many as the year has
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unroll.data.timeseries.frequency import STEPS, parse

_HOUR = 3600 * 10**9
_THURSDAY = 3
"""Weekday of 1970-01-01, with Monday as 0."""


def names(cycles: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features of these cycles, in order."""
    return tuple(f"{cycle}_{part}" for cycle in cycles for part in ("sin", "cos"))


def features(stamps: np.ndarray, cycles: Sequence[str]) -> np.ndarray:
    """Compute the features (N, 2 len(cycles)) of stamps (N,) datetime64."""
    points = np.zeros((len(stamps), 2 * len(cycles)))
    for i, cycle in enumerate(cycles):
        angle = 2 * np.pi * passed(stamps, cycle)
        points[:, 2 * i], points[:, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return points


def passed(stamps: np.ndarray, cycle: str) -> np.ndarray:
    """Compute the share of a cycle that has passed at each stamp (N,), float64."""
    stamps = stamps.astype("datetime64[ns]")
    days = stamps.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    years = days.astype("datetime64[Y]")
    month = months.astype(np.int64) % 12
    first_of_year = years.astype("datetime64[D]")
    day_of_year = (days - first_of_year).astype(np.int64)
    if cycle == "minute":
        return (stamps.astype(np.int64) % _HOUR) / _HOUR
    if cycle == "hour":
        return (stamps - days).astype(np.int64) / (24 * _HOUR)
    if cycle == "weekday":
        return (days.astype(np.int64) + _THURSDAY) % 7 / 7
    if cycle == "day":
        first = months.astype("datetime64[D]")
        return (days - first).astype(np.int64) / ((months + 1).astype("datetime64[D]") - first).astype(np.int64)
    if cycle == "week":
        return np.minimum(day_of_year // 7, 51) / 52
    if cycle == "month":
        return month / 12
    if cycle == "quarter":
        return month // 3 / 4
    return day_of_year / ((years + 1).astype("datetime64[D]") - first_of_year).astype(np.int64)


def automatic(frequency: str) -> tuple[str, ...]:
    """Choose the useful cycles for a frequency, all longer than its step; none for years and `steps`."""
    if frequency == STEPS:
        return ()
    step = parse(frequency)
    if step.unit in ("ns", "us", "ms", "s", "min"):
        longer = ("hour", "weekday", "year")
        return longer if step.unit == "min" else ("minute", *longer)
    chosen = {
        "h": ("hour", "weekday", "year"),
        "D": ("weekday", "day", "year"),
        "B": ("weekday", "day", "year"),
        "W": ("year",),
    }
    if step.months:
        return ("month",) if step.months < 12 and 12 % step.months == 0 else ()
    return chosen[step.unit]
