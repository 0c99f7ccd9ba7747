"""Read time series from wide or long tables into arrays without gaps.

    x.csv: date,load,temp      ->  one series, targets load and temp, one row per hour
    y.csv: shop,day,sales,open ->  one series per shop

Rows are sorted by time and aligned to the grid of their frequency. A missing time or value is an error, or is filled;
filled values are marked as such, so that they never count as truth.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unroll.data.files.memory_mapped import lean_table
from unroll.data.options import SourceOptions
from unroll.data.timeseries import calendar
from unroll.data.timeseries.from_table import parse_table
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.regularize import RawSeries, layout_frequency, regularize
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.series import TimeSeries, TimeSeriesSet, future_stamps
from unroll.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TimeSeries", "TimeSeriesSet", "append", "from_dataframe", "future_stamps", "read_frames"]


def read_frames(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | pd.DataFrame | pd.Series,
    options: TimeSeriesOptions | None = None,
    *,
    source: SourceOptions | None = None,
    encoding: str = "utf-8",
    skip_bad_rows: bool = False,
    where: str = "",
    layout: Schema | None = None,
) -> TimeSeriesSet:
    """Read series from files (anything that `unroll.data.files.dataset.read` takes) or a DataFrame.

    Args:
        data: where the rows are.
        options: which column is what.
        source: how files are written, and whether bad rows are skipped; replaces the next two.
        encoding: of text files.
        skip_bad_rows: skip invalid lines, and rows with an unreadable time, name or number, instead of raising an
            error; the resulting gaps are handled by `gaps`.
        where: what to call the data in messages.
        layout: of the model's training data; it replaces the columns, calendar and frequency in `options`.

    Raises:
        DataError: one sentence about the row, column or time.
        OptionError: a frequency or a cycle that is not possible.
    """
    import pandas as pd

    source = source or SourceOptions(encoding, skip_bad_rows=skip_bad_rows)
    skip = source.skip_bad_rows
    if isinstance(data, pd.DataFrame | pd.Series):
        return parse_table(data, options, layout, where or "the table", skip, source.decimal)
    from unroll.data.files.dataset import read

    paths = [data] if isinstance(data, str | os.PathLike) else list(data)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise DataError(
                f"series are a pandas DataFrame, or the path of a file or several; this holds {type(path).__name__}"
                f" {path!r:.40}"
            )
    where = where or ", ".join(f"'{os.fspath(path)}'" for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
    skipped: list[str] | None = [] if skip else None
    notes: list[str] = []
    table, numbers = lean_table(read(data, source=source, skipped=skipped, notes=notes), source.decimal)
    frames = parse_table(table, options, layout, where or "the table", skip, source.decimal, numbers)
    if skipped:
        note = f"{len(skipped)} line{'s' if len(skipped) > 1 else ''} left out, the first: {skipped[0]}"
        notes.append(note)
    return replace(frames, notes=(*notes, *frames.notes))


def from_dataframe(
    df: pd.DataFrame | pd.Series,
    options: TimeSeriesOptions | None = None,
    *,
    layout: Schema | None = None,
    where: str = "",
    skip_bad_rows: bool = False,
) -> TimeSeriesSet:
    """Read series from a DataFrame or a Series; an index of times is the column of times.

    Arguments and errors are those of `read_frames`.
    """
    return parse_table(df, options, layout, where or "the table", skip_bad_rows)


def append(frames: TimeSeriesSet, more: TimeSeriesSet) -> TimeSeriesSet:
    """Append the new observations of `more` to the series in `frames`; series without new rows are unchanged.

    Numbered rows (no column of times) follow the last. Gaps, within and between, are filled as in `frames`. Known
    covariates of `more` replace those that `frames` had for the same rows.

    Raises:
        DataError: other columns or another frequency, a series not in `frames`, a changed static value, times that
            `frames` already has, or a gap where gaps are an error.
    """
    for what in ("targets", "past", "known", "static", "frequency"):
        own, new = getattr(frames, what), getattr(more, what)
        if own != new:
            shown_own, shown_new = (", ".join(v) or "none" if isinstance(v, tuple) else v for v in (own, new))
            raise DataError(f"the new data has other {what}: {shown_new}, not {shown_own}")
    for frame in more:
        frames.named(frame.name)
    news = {frame.name: frame for frame in more}
    series = tuple(_appended(frame, news[frame.name], frames) if frame.name in news else frame for frame in frames)
    return replace(frames, series=series)


def _appended(frame: TimeSeries, new: TimeSeries, frames: TimeSeriesSet) -> TimeSeries:
    layout, shown = frames.layout, frames.layout.clock.format_timestamp
    if not np.array_equal(frame.static, new.static):
        raise DataError(f"{frame.called} has other static values in the new data")
    stamps = new.stamps
    last = frame.stamps[-1]
    if not layout.time:
        stamps = last + 1 + np.arange(len(new))
    elif stamps.dtype.kind != last.dtype.kind:
        raise DataError(
            f"{frame.called}: the new data's times are not of the kind that there is, such as {shown(last)}"
        )
    elif stamps[0] <= last:
        raise DataError(
            f"{frame.called}: the new data begins at {shown(stamps[0])}, but {shown(last)} is already there; leave out "
            "what is"
        )
    elif layout.gaps == "error" and layout_frequency(layout) is not None:
        following = future_stamps(frame, frames.frequency, 1, step=layout.step)[0]
        if stamps[0] > following:
            raise DataError(
                f"{frame.called}: the new data begins at {shown(stamps[0])}, but {shown(following)} follows "
                f"{shown(last)}; give what is between, or fill it with --gaps fill"
            )
    if layout.gaps == "error":
        layout = replace(layout, gaps="fill")  # only values that either part had filled are missing
    Q = len(layout.known)
    covariates, known = np.full((len(frame) + len(new), Q), np.nan), frame.known[:, :Q]
    covariates[: len(frame)], covariates[len(frame) :] = known[: len(frame)], new.known[: len(new), :Q]
    parts = [(f.target, f.observed, f.past, f.past_observed) for f in (frame, new)]
    values = [np.concatenate([np.where(o, t, np.nan), np.where(po, p, np.nan)], axis=1) for t, o, p, po in parts]
    merged = np.concatenate([np.concatenate(values), covariates], axis=1)
    raw = RawSeries(frame.name, np.concatenate([frame.stamps, stamps]), merged, frame.static, np.arange(len(merged)))
    whole, _ = regularize(raw, layout)
    return _with_ahead(whole, frame, new, layout, frames.frequency)


def _with_ahead(whole: TimeSeries, old: TimeSeries, new: TimeSeries, layout: Schema, frequency: str) -> TimeSeries:
    """Merge known covariates in gaps and after the last target from both parts; the new data takes precedence."""
    Q, gap = len(layout.known), len(whole) - len(new)
    known = whole.known.copy()
    given = min(gap, len(old.known))
    known[len(old) : given, :Q] = old.known[len(old) : given, :Q]
    ahead = np.concatenate([new.known[len(new) :, :Q], old.known[gap + len(new.known) :, :Q]])
    if layout.calendar:
        stamps = future_stamps(whole, frequency, len(ahead), step=layout.step)
        ahead = np.concatenate([ahead, calendar.features(layout.clock.local(stamps), layout.calendar)], axis=1)
    return replace(whole, known=np.concatenate([known, ahead]))
