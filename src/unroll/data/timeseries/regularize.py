"""Align a series to the grid of its frequency, and fill its gaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unroll.data.timeseries import calendar
from unroll.data.timeseries.frequency import STEPS, Frequency, parse
from unroll.data.timeseries.missing import align, fill, scatter
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.series import TimeSeries, called
from unroll.errors import DataError


@dataclass(frozen=True, eq=False)
class RawSeries:
    """Hold a series before alignment: n rows in order of time, NaN where a value is missing.

    Attributes:
        values: (n, K + P + known columns).
        rows: (n,) the rows of the table they come from, for messages; -1 for none.
    """

    name: str
    stamps: np.ndarray
    values: np.ndarray
    static: np.ndarray
    rows: np.ndarray


@dataclass
class FillCounts:
    """Count what was filled or left out in a series, for the notes."""

    stamps: int = 0
    values: int = 0
    leading: int = 0
    ahead: int = 0


def regularize(raw: RawSeries, layout: Schema, where: str = "") -> tuple[TimeSeries, FillCounts]:
    """Align a series to its grid, and fill gaps according to `layout.gaps`.

    Rows before every column has its first value are dropped, since there is nothing to fill them with. With known
    columns, rows after the last target are the future: they need no targets.

    Raises:
        DataError: missing times or values where gaps are an error, a column without any value, times off the grid.
    """
    whose = f"series '{raw.name}' of {where}" if raw.name and where else where or called(raw.name)
    K, P, frequency, clock = len(layout.target), len(layout.past), layout_frequency(layout), layout.clock
    stamps, values, rows = raw.stamps, raw.values, raw.rows
    done = FillCounts()
    if frequency is not None:
        grid = align(stamps, frequency, whose, clock.format_timestamp)
        if len(grid.missing) and layout.gaps == "error":
            remedy = "--gaps fill carries values on, --gaps interpolate draws a line, "
            if 2 * len(grid.missing) > len(grid.stamps):
                remedy = "most of them would be invented by filling: give the --frequency that the data has, or "
            raise DataError(
                f"{whose} lacks {len(grid.missing)} of {len(grid.stamps)} times of frequency {frequency}, the first "
                f"{clock.format_timestamp(grid.missing[0])}; {remedy}--frequency steps takes the rows as equal steps"
            )
        rows = np.full(len(grid.stamps), -1)
        rows[grid.places] = raw.rows
        stamps, values, done.stamps = grid.stamps, scatter(values, grid), len(grid.missing)
    empty = np.isnan(values)
    N = len(values)
    if layout.known:
        some = np.flatnonzero(~empty[:, :K].all(1))
        N = int(some[-1]) + 1 if len(some) else N
        done.ahead = len(values) - N
        empty[N:, : K + P] = False
    names = (*layout.target, *layout.past, *layout.known)
    none = empty[:N].all(0)
    if none.any():
        raise DataError(f"{whose} has no value in column '{names[none.argmax()]}'")
    missing = (rows >= 0)[:, None] & empty
    done.values = int(missing.sum())
    if done.values and layout.gaps == "error":
        t, c = np.argwhere(missing)[0]
        more = f"; {done.values} values are missing in all" if done.values > 1 else ""
        raise DataError(
            f"{whose}, row {rows[t] + 1} ({clock.format_timestamp(stamps[t])}): column '{names[c]}' is empty{more};"
            " --gaps fill carries the value before on, --gaps interpolate draws a line"
        )
    first = int((~empty).argmax(0).max(initial=0))
    done.leading = first
    known = fill(values[first:, K + P :], layout.gaps)
    if layout.calendar:
        known = np.concatenate([known, calendar.features(clock.local(stamps[first:]), layout.calendar)], axis=1)
    target, past = np.split(fill(values[first:N, : K + P], layout.gaps), [K], axis=1)
    observed, past_observed = np.split(~empty[first:N, : K + P], [K], axis=1)
    return TimeSeries(raw.name, stamps[first:N], target, past, known, raw.static, observed, past_observed), done


def layout_frequency(layout: Schema) -> Frequency | None:
    """Return the frequency of a layout; None where rows are equal steps, whatever their stamps."""
    if layout.frequency == STEPS:
        return Frequency(STEPS, layout.step) if layout.step else None
    return parse(layout.frequency)


def notes_of(done: Iterable[tuple[str, FillCounts]], gaps: str) -> list[str]:
    """Summarize what was filled and left out, over all series."""
    per_series: dict[str, list[tuple[str, int]]] = {}
    for name, filled in done:
        for what, count in vars(filled).items():
            if count:
                per_series.setdefault(what, []).append((name, count))
    how = "interpolated" if gaps == "interpolate" else "filled with the values before"
    texts = {
        "stamps": f"times that were missing and are {how}",
        "values": f"values that were missing and are {how}",
        "leading": "rows at the start left out, as some column has no value yet",
        "ahead": "rows after the last target, with known covariates only",
    }
    return [
        f"{text}: {sum(count for _, count in per_series[what])}{_in(per_series[what])}"
        for what, text in texts.items()
        if what in per_series
    ]


def _in(counts: list[tuple[str, int]]) -> str:
    names = [name for name, _ in counts if name]
    return f" (series {', '.join(map(repr, names[:3]))}{', ...' if len(names) > 3 else ''})" if names else ""
