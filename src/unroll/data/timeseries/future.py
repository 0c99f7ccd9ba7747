"""Append future values of known covariates to the series."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from unroll.data.files.rows import row_of
from unroll.data.timeseries import calendar
from unroll.data.timeseries.dataframe_index import with_index
from unroll.data.timeseries.frequency import STEPS
from unroll.data.timeseries.localize import moments
from unroll.data.timeseries.schema import Schema, with_times
from unroll.data.timeseries.series import TimeSeries, TimeSeriesSet, future_stamps
from unroll.data.timeseries.table import ColumnTable
from unroll.errors import DataError, OptionError, nearest

if TYPE_CHECKING:
    import pandas as pd


def with_known(frames: TimeSeriesSet, known: pd.DataFrame, where: str) -> TimeSeriesSet:
    """Extend the series' known covariates with the rows of `known`, up to the first gap.

    `known` has the columns of the times, of the series' names and the known ones, as in the training data. Rows at or
    before a series' last time are ignored. Without a column of times the rows follow the last.

    Raises:
        OptionError: the model has no known columns.
        DataError: a column is missing, a cell holds no number or no time, or a series is not among `frames`.
    """
    layout = frames.layout
    if not layout.known:
        raise OptionError("known covariates are given, but the model was trained without any")
    table = with_times(ColumnTable(with_index(known, where).rows, where), layout)
    for name in (layout.time, layout.series, *layout.known):
        if name and name not in table.names:
            raise DataError(f"{where} has no column '{name}'{nearest(name, table.names)}")
    values = np.stack([_numbers(table, name) for name in layout.known], axis=1)
    names = np.full(len(table), "", dtype=object)
    if layout.series:
        names = table.texts(layout.series)
    for row, name in enumerate(names):
        if name is None:
            raise DataError(f"{row_of(row, where)}: '{layout.series}' is empty")
        frames.named(name)
    stamps = None
    if layout.time:
        _, read = moments(table, layout, names, trained=True)
        if read.wrong:
            row, what = min(read.wrong.items())
            raise DataError(f"{row_of(row, where)}: {what}")
        stamps = read.values
    series = []
    for frame in frames:
        rows = np.flatnonzero(names == frame.name)
        series.append(
            _followed(frame, frames, values[rows], None if stamps is None else _counted(stamps[rows], layout))
        )
    return replace(frames, series=tuple(series))


def _counted(stamps: np.ndarray, layout: Schema) -> np.ndarray:
    return layout.clock.count(stamps) if len(stamps) else stamps


def _numbers(table: ColumnTable, name: str) -> np.ndarray:
    column = table.certain(name)
    bad = np.flatnonzero(np.isnan(column.values))
    if len(bad):
        what = "is empty" if column.empty[bad[0]] else f"{table.shown(int(bad[0]), name)} is no finite number"
        raise DataError(f"{table.at(int(bad[0]), name)}: {what}")
    return column.values


def _followed(frame: TimeSeries, frames: TimeSeriesSet, values: np.ndarray, stamps: np.ndarray | None) -> TimeSeries:
    """Append the values of stamps after the series' last, as long as they are consecutive."""
    N, cycles = len(frame), frames.layout.calendar
    if stamps is not None:
        later = np.flatnonzero(stamps > frame.stamps[-1])
        later = later[np.argsort(stamps[later], kind="stable")]
        if frames.frequency != STEPS or stamps.dtype.kind != "M":
            ahead = future_stamps(frame, frames.frequency, len(later), step=frames.layout.step)
            off = np.flatnonzero(stamps[later] != ahead)
            later = later[: off[0]] if len(off) else later
        values = values[later]
    if not len(values):
        return frame
    ahead = future_stamps(frame, frames.frequency, len(values), step=frames.layout.step)
    if cycles:
        values = np.concatenate([values, calendar.features(frames.layout.clock.local(ahead), cycles)], axis=1)
    return replace(frame, known=np.concatenate([frame.known[:N], values]))


def require_known(frames: TimeSeriesSet, horizon: int) -> None:
    """Check that the known covariates reach the horizon.

    Raises:
        DataError: they do not; the message names the missing times.
    """
    layout = frames.layout
    for frame in frames:
        given = len(frame.known) - len(frame)
        if layout.known and given < horizon:
            shown = layout.clock.format_timestamp
            lacking = future_stamps(frame, frames.frequency, horizon, step=layout.step)[given:]
            between = "" if len(lacking) == 1 else f" to {shown(lacking[-1])}"
            columns = ", ".join(repr(name) for name in layout.known)
            raise DataError(
                f"{frame.called}: a forecast of {horizon} steps needs the known columns {columns} at"
                f" {shown(lacking[0])}{between}, and {len(lacking)} of these times are missing; give them with"
                " --future-covariates, or as rows after the last with empty targets"
            )
