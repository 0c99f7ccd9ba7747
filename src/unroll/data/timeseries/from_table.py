"""Convert the rows of a table to series: group by series, sort by time, merge duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.bad_rows import BadRow, good_rows
from unroll.data.files.rows import grouped
from unroll.data.numbers import NumericColumn
from unroll.data.options import Decimal
from unroll.data.timeseries.dataframe_index import with_index
from unroll.data.timeseries.frequency import STEPS, Frequency, commonest_step, infer, parse
from unroll.data.timeseries.localize import moments
from unroll.data.timeseries.missing import format_timestamp
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.regularize import RawSeries, notes_of, regularize
from unroll.data.timeseries.schema import Schema, calendar_features, check_columns, infer_schema, with_times
from unroll.data.timeseries.series import TimeSeriesSet, called
from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.time_column import kind_of
from unroll.data.timeseries.time_zones import UTC, Clock, on_the_clock
from unroll.errors import DataError, OptionError, nearest

if TYPE_CHECKING:
    import pandas as pd


def parse_table(
    df: pd.DataFrame | pd.Series,
    options: TimeSeriesOptions | None,
    layout: Schema | None,
    where: str,
    skip: bool,
    decimal: Decimal = "auto",
    numbers: dict[str, NumericColumn] | None = None,
) -> TimeSeriesSet:
    """Parse a table to series; see `unroll.data.timeseries.reader.read_frames`; `numbers` are columns already read."""
    options = options or TimeSeriesOptions(gaps=layout.gaps if layout else "error")
    indexed = with_index(df, where)
    table = ColumnTable(indexed.rows, where, decimal, numbers)
    if not len(table):
        raise DataError(f"{where} has no rows")
    notes: list[str] = []
    trained = layout is not None
    if layout is None:
        layout, notes = infer_schema(table, options, indexed)
    table = with_times(table, layout)
    check_columns(table, layout)
    layout = replace(layout, gaps=options.gaps)
    layout, raws, said = _raws(table, layout, options, skip, trained)
    notes += said
    if not trained:
        layout, said = _timed(raws, layout, options, where)
        notes += said
        layout = replace(layout, categories=_categories(table, layout))
    statics = _statics(table, layout, raws)
    series, done = [], []
    for raw, static in zip(raws, statics, strict=True):
        raw = replace(raw, stamps=_rising(raw, layout), static=static)
        frame, filled = regularize(raw, layout, where)
        series.append(frame)
        done.append((raw.name, filled))
    notes += notes_of(done, layout.gaps)
    frames = TimeSeriesSet(
        tuple(series), layout.target, layout.past, layout.known_names, layout.static_names, layout.frequency, (), layout
    )
    keys = table.keys(layout.series) if layout.series else "text"
    return replace(frames, notes=(_summary(frames), *indexed.notes, *notes), keys=keys)


def _raws(
    table: ColumnTable, layout: Schema, options: TimeSeriesOptions, skip: bool, trained: bool
) -> tuple[Schema, list[RawSeries], list[str]]:
    """Return the layout with its time zone, and the rows of each series in order of time; series by first row.

    With a time zone, stamps are instants in UTC.
    """
    numeric = (*layout.target, *layout.past, *layout.known)
    notes: list[str] = []
    bad: list[BadRow] = []
    names = np.full(len(table), "", dtype=object)
    if layout.series:
        names = table.texts(layout.series)
        bad += [(row, f"'{layout.series}' is empty") for row, name in enumerate(names) if name is None]
    stamps = np.arange(len(table))
    if layout.time:
        if not trained:
            layout = replace(layout, zone=options.time_zone)
        layout, read = moments(table, layout, names, trained)
        stamps, notes = read.values, [*read.notes]
        bad += read.wrong.items()
    elif options.time_zone and not trained:
        raise OptionError(f"time_zone is {options.time_zone}, but {table.where} has no column of times")
    values = np.empty((len(table), len(numeric)), order="F")  # column-major, since it is filled by columns
    for i, name in enumerate(numeric):
        column = table.certain(name)
        values[:, i] = column.values
        table.forget(name)
        notes += [f"column '{name}' {column.note}"] if column.note else []
        bad += [(int(row), f"{table.shown(row, name)} in '{name}' is no finite number") for row in column.wrong]
    keep = good_rows(bad, len(table), table.where, skip)
    if len(keep) < len(table):
        notes.append(f"left out: {len(table) - len(keep)} of {len(table)} rows, which cannot be used")
    raws: list[RawSeries] = []
    unsorted, merged = 0, 0
    for name, members in _by_series(names[keep] if layout.series else None, len(keep)):
        rows = keep[members] if len(keep) < len(table) else members
        times = stamps[rows] if layout.time else np.arange(len(rows))
        if (times[1:] < times[:-1]).any():
            unsorted += 1
            by_time = np.argsort(times, kind="stable")
            rows, times = rows[by_time], times[by_time]
        raw = RawSeries(name, times, _rows_of(values, rows), np.zeros(0), rows)
        if len(times) > 1 and (times[1:] == times[:-1]).any():
            merged += int((times[1:] == times[:-1]).sum())
            raw = _single(raw, options.duplicates, table, layout)
        raws.append(raw)
    if unsorted:
        whose = f" of {unsorted} series" if layout.series else ""
        notes.append(f"the rows{whose} were not in the order of time and have been sorted")
    if merged:
        notes.append(f"merged: {merged} of {len(keep)} rows, at a time already there ({options.duplicates})")
    return layout, raws, notes


def _by_series(names: np.ndarray | None, rows: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each series' name and rows, ordered by first row; without names all rows are one series."""
    if names is None:
        yield "", np.arange(rows)
        return
    codes, series = grouped(names)
    order = np.argsort(codes, kind="stable")
    yield from zip(series, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True)


def _rows_of(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Select rows of values; a view where they are consecutive, to avoid copying large tables."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (rows[1:] > rows[:-1]).all():
        return values[rows[0] : rows[-1] + 1]
    return values[rows]


def _single(raw: RawSeries, how: str, table: ColumnTable, layout: Schema) -> RawSeries:
    """Merge rows with the same time; `raw.stamps` are sorted, with duplicates."""
    again = np.flatnonzero(raw.stamps[1:] == raw.stamps[:-1])
    if how == "error":
        t = int(again[0])
        hint = (
            "" if layout.series else f"; if the table holds several series, give --series-id{_perhaps(table, layout)}"
        )
        whose = f"{called(raw.name)} has " if raw.name else ""
        raise DataError(
            f"{table.where}: {whose}{Clock(layout.zone).format_timestamp(raw.stamps[t])} in rows {raw.rows[t] + 1} and"
            f" {raw.rows[t + 1] + 1} ({len(again)} such rows in all); --duplicates first, last or mean takes one{hint}"
        )
    starts = np.flatnonzero(np.append(True, raw.stamps[1:] != raw.stamps[:-1]))
    ends = np.append(starts[1:], len(raw.stamps)) - 1
    values = raw.values[starts if how == "first" else ends]
    if how == "mean":
        there = ~np.isnan(raw.values)
        total = np.add.reduceat(np.where(there, raw.values, 0.0), starts, axis=0)
        count = np.add.reduceat(there.astype(np.int64), starts, axis=0)
        values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    rows = raw.rows[ends if how == "last" else starts]
    return replace(raw, stamps=raw.stamps[starts], values=values, rows=rows)


def _perhaps(table: ColumnTable, layout: Schema) -> str:
    """Suggest the column that may name the series: the first text column without another role."""
    others = (n for n in table.names if n not in (layout.time, *layout.time_parts, *layout.static) and not kind_of(n))
    texts = (n for n in others if not table.numbers(n).numeric)
    found = next(texts, None)
    return " with the column that names them" if found is None else f" '{found}'"


def _timed(
    raws: Sequence[RawSeries], layout: Schema, options: TimeSeriesOptions, where: str
) -> tuple[Schema, list[str]]:
    """Return the layout with its frequency and calendar."""
    notes: list[str] = []
    if options.frequency:
        freq, step = parse(options.frequency), 0
        if freq.unit != STEPS and raws[0].stamps.dtype.kind != "M":
            raise DataError(
                f"{where}, column '{layout.time}' holds whole numbers, not dates, so the frequency cannot be {freq}; "
                f"leave it out, or give"
            )
    elif not layout.time:
        freq, step = parse(STEPS), 0
    else:
        votes: dict[str, int] = {}
        kinds = {}
        for raw in raws:
            inferred = _inferred(raw.stamps, layout.zone)
            if inferred is not None:
                kinds[repr(inferred)] = inferred
                votes[repr(inferred)] = votes.get(repr(inferred), 0) + len(raw.stamps)
        if not votes:
            raise _no_frequency(raws, layout, where)
        freq = kinds[max(votes, key=votes.__getitem__)]
        step = freq.n if freq.unit == STEPS else 0
        words = f"a step of {step}" if step else str(freq)
        notes.append(f"the frequency is {words}, inferred from the times")
    chosen, said = calendar_features(options, str(freq))
    return replace(layout, frequency=str(freq), step=step, calendar=chosen), notes + said


def _rising(raw: RawSeries, layout: Schema) -> np.ndarray:
    """Return the stamps of a series on the layout's clock, checked to be strictly increasing."""
    stamps = layout.clock.count(raw.stamps)
    again = np.flatnonzero(stamps[1:] <= stamps[:-1])
    if len(again):
        raise DataError(
            f"{called(raw.name)} has rows {raw.rows[again[0]] + 1} and {raw.rows[again[0] + 1] + 1} at"
            f" {format_timestamp(stamps[again[0]])} on the clock of {layout.zone}, which frequency {layout.frequency}"
            " counts as one"
        )
    return stamps


def _inferred(stamps: np.ndarray, zone: str) -> Frequency | None:
    """Infer the frequency of a series: in days where it has one on the local clock, else by elapsed time."""
    elapsed = infer(stamps)
    if not zone:
        return elapsed
    local = infer(on_the_clock(stamps, zone))
    if local is not None and local.days:
        return local
    return elapsed.elapsed() if elapsed is not None and elapsed.days else elapsed


def _no_frequency(raws: Sequence[RawSeries], layout: Schema, where: str) -> DataError:
    longest = max(raws, key=lambda raw: len(raw.stamps))
    whose = f"{called(longest.name)} of {where}" if longest.name else where
    if layout.zone:
        in_utc = infer(longest.stamps)
        if in_utc is not None and in_utc.days and layout.zone != UTC:
            return DataError(
                f"{whose}: the times in column '{layout.time}' have the frequency {in_utc} in UTC, but none on the"
                f" clock of {layout.zone}; give --time-zone UTC"
            )
        longest = replace(longest, stamps=on_the_clock(longest.stamps, layout.zone))
    if len(longest.stamps) < 2:
        return DataError(f"{whose} has one row, from which no frequency can be inferred; give it with --frequency")
    if day := _day_of_months(longest.stamps):
        return DataError(
            f"{whose}: the times in column '{layout.time}' are months apart, but on day {day}; put them on the first "
            f"or last day, or give --frequency {STEPS} to take rows as equal steps"
        )
    apart = np.diff(longest.stamps)
    kinds, counts = np.unique(apart, return_counts=True)
    t = int(np.flatnonzero(apart != kinds[counts.argmax()])[0]) + 1
    return DataError(
        f"{whose}: the times in column '{layout.time}' have no regular frequency; the most common step, "
        f"{commonest_step(longest.stamps)}, is {counts.max()} of {len(apart)}, the first other one ends at "
        f"{format_timestamp(longest.stamps[t])} (row {longest.rows[t] + 1}); resample the data, or give"
        f" --frequency {STEPS} to take rows as equal steps"
    )


def _day_of_months(stamps: np.ndarray) -> int:
    """Return the day of the month that all stamps share, each in another month; 0 where there is none."""
    if stamps.dtype.kind != "M":
        return 0
    months = stamps.astype("datetime64[M]")
    days = np.unique(stamps.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64) + 1
    return int(days[0]) if len(days) == 1 and (months[1:] != months[:-1]).all() else 0


def _categories(table: ColumnTable, layout: Schema) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """List the categories of each static column that is not numeric, sorted."""
    categories = []
    for name in layout.static:
        numbers = table.numbers(name)
        if len(numbers.wrong) or numbers.empty.all():
            categories.append((name, tuple(sorted({text for text in table.texts(name) if text is not None}))))
    return tuple(categories)


def _statics(table: ColumnTable, layout: Schema, raws: Sequence[RawSeries]) -> list[np.ndarray]:
    """Compute the static inputs of each series, (S,)."""
    columns: list[np.ndarray] = []
    categories = dict(layout.categories)
    for name in layout.static:
        cells: Any = table.texts(name) if name in categories else table.certain(name).values
        one: list[list[float]] = []
        for raw in raws:
            at = int(raw.rows[0])
            value = cells[at]
            other = np.flatnonzero(cells[raw.rows] != value)
            if value is None or value != value:
                raise DataError(f"{table.at(at, name)} is empty or no number; every series needs its static value")
            if len(other):
                row = int(raw.rows[other[0]])
                raise DataError(
                    f"{table.at(row, name)}: {table.shown(row, name)}, but {called(raw.name)} had "
                    f"{table.shown(at, name)} before; a static column never changes within a series"
                )
            known = categories.get(name)
            if known is not None and value not in known:
                raise DataError(
                    f"{table.at(at, name)}: {table.shown(at, name)} was not in the training data{nearest(value, known)}"
                )
            one.append([float(value)] if known is None else [float(value == c) for c in known])
        columns.append(np.array(one))
    if not columns:
        return [np.zeros(0)] * len(raws)
    return list(np.concatenate(columns, axis=1))


def _summary(frames: TimeSeriesSet) -> str:
    rows = [len(frame) for frame in frames]
    ends = [(frame.stamps[0], frame.stamps[-1]) for frame in frames]
    shown = frames.layout.clock.format_timestamp
    span = f"from {shown(min(a for a, _ in ends))} to {shown(max(b for _, b in ends))}"
    if len(rows) == 1:
        return f"one series of {rows[0]:,} rows, {span}"
    each = f"{rows[0]:,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    return f"{len(rows)} series of {each} rows, {span}"
