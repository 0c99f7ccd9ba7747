"""Localize a column of times to the time zone of a layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unroll.data.files.rows import grouped
from unroll.data.timeseries.frequency import STEPS, parse
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.time_column import numbers_of
from unroll.data.timeseries.time_zones import canonical, settled, to_instants, told_apart
from unroll.data.timeseries.timestamps import Timestamps, read_stamps
from unroll.errors import DataError, OptionError


def moments(table: ColumnTable, layout: Schema, names: np.ndarray, trained: bool) -> tuple[Schema, Timestamps]:
    """Read the column of times, as instants in UTC where the layout has a time zone.

    Args:
        table: the rows.
        layout: that of the training data, or one with the zone from the options.
        names: the name of each row's series, None where it has none.
        trained: whether the layout is that of the training data.

    Returns:
        The layout with the zone and whether it is assumed, and the times.

    Raises:
        DataError: the times have another kind of zone, or another type than in the training data.
        OptionError: there is a zone, but the times are whole numbers.
    """
    steps = trained and bool(layout.step)
    numbers = "steps" if steps else numbers_of(layout.time)
    read = read_stamps(table, layout.time, date_format=layout.date_format, numbers=numbers)
    if not trained:
        layout = replace(layout, date_format=layout.date_format or read.format)
    dates, what = read.values.dtype.kind == "M", f"column '{layout.time}'"
    where = f"{table.where}, " if table.where else ""
    if not dates:
        if trained and layout.frequency != STEPS:
            raise DataError(f"{where}{what} holds whole numbers, but the times of the training are dates")
        if layout.zone and not trained:
            raise OptionError(f"time_zone is {layout.zone}, but {where}{what} holds whole numbers, not dates")
        return layout, read
    if trained and layout.step:
        raise DataError(f"{where}{what} holds dates, but the times of the training are whole numbers")
    first = next((row for row in range(len(table)) if row not in read.wrong), None)
    if first is None:
        return layout, read
    zone, assumed, notes = settled(
        read.zones,
        canonical(layout.zone) if layout.zone else "",
        layout.zone_assumed if trained else bool(layout.zone),
        trained,
        where + what if trained or len(read.zones) > 1 else what,
        table.shown(first, layout.time),
    )
    values, wrong = read.values, dict(read.wrong)
    if zone and not read.zones:
        days = parse(layout.frequency).days if trained else _one_time_of_day(values, wrong)
        if days:
            values = to_instants(values, zone)
        else:
            values, more = _told_apart(values, names, wrong, zone)
            wrong |= {row: f"{table.shown(row, layout.time)} in '{layout.time}' {why}" for row, why in more.items()}
    return replace(layout, zone=zone, zone_assumed=assumed), replace(
        read, values=values, wrong=wrong, notes=(*read.notes, *notes)
    )


def _one_time_of_day(values: np.ndarray, wrong: dict[int, str]) -> bool:
    """Tell whether all rows, at least two, have the same time of day: then they are days or longer apart."""
    own = np.delete(values, list(wrong))
    times = own - own.astype("datetime64[D]")
    return len(np.unique(own)) > 1 and bool((times == times[0]).all())


def _told_apart(
    values: np.ndarray, names: np.ndarray, wrong: dict[int, str], zone: str
) -> tuple[np.ndarray, dict[int, str]]:
    """Convert local times to instants, series by series; also return the rows that have none."""
    usable = np.array([name is not None for name in names])
    usable[list(wrong)] = False
    rows = np.flatnonzero(usable)
    codes, _ = grouped(names[rows])
    order = rows[np.argsort(codes, kind="stable")]
    instants, more = values.copy(), {}
    for members in np.split(order, np.cumsum(np.bincount(codes))[:-1]):
        instants[members], reasons = told_apart(values[members], zone)
        more |= {int(members[at]): why for at, why in reasons.items()}
    return instants, more
