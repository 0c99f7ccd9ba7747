"""Schema of a table of series: the role of each column, given or inferred, and saved with a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args

from unroll.atomic_write import read_document
from unroll.data.timeseries import calendar
from unroll.data.timeseries.dataframe_index import Indexed
from unroll.data.timeseries.frequency import STEPS, parse
from unroll.data.timeseries.options import CALENDAR, Gaps, TimeSeriesOptions
from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.time_column import find_times, is_part_of_date, kind_of, numbers_the_rows
from unroll.data.timeseries.time_parts import joined
from unroll.data.timeseries.time_zones import Clock, canonical
from unroll.errors import DataError, OptionError, RunError, nearest

FORMAT = "unroll.layout/2"


@dataclass(frozen=True)
class Schema:
    """Roles of the columns of a table of series. Tables for a trained model are read with the schema of its training.

    Attributes:
        time: column of the times; "" where there is none and rows are numbered.
        time_parts: columns that make up the times, where no single column holds them.
        date_format: strptime format of the training data's dates; "" for ISO 8601 and numbers.
        series: column of the series' names; "" where the table is one series.
        target, past, known, static: columns.
        categories: for each static column of texts, its name and its categories.
        calendar: cycles of the calendar that are inputs.
        frequency: step from one stamp to the next, as named in `unroll.data.timeseries.frequency`.
        gaps: how missing times and values are handled.
        step: with frequency `steps`, difference of consecutive whole numbers; 0: rows are steps, whatever their times.
        zone: time zone of the times; "" where they have none.
        zone_assumed: whether times without a zone are assumed to be in it.
    """

    time: str = ""
    time_parts: tuple[str, ...] = ()
    date_format: str = ""
    series: str = ""
    target: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    categories: tuple[tuple[str, tuple[str, ...]], ...] = ()
    calendar: tuple[str, ...] = ()
    frequency: str = STEPS
    step: int = 0
    gaps: Gaps = "error"
    zone: str = ""
    zone_assumed: bool = False

    @property
    def clock(self) -> Clock:
        """Clock of the stamps: time zone, and whether they are days."""
        return Clock(self.zone, parse(self.frequency).days)

    @property
    def known_names(self) -> tuple[str, ...]:
        """Names of the known inputs: columns, then two features for each cycle of the calendar."""
        return (*self.known, *calendar.names(self.calendar))

    @property
    def static_names(self) -> tuple[str, ...]:
        """Names of the static inputs: numeric columns, and one-hot `column=category` for text columns."""
        categories = dict(self.categories)
        names: list[str] = []
        for column in self.static:
            names += [f"{column}={category}" for category in categories.get(column, ())] or [column]
        return tuple(names)

    def to_json(self) -> str:
        """Return a JSON document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read what `to_json` wrote.

        Raises:
            RunError: the document is damaged.
        """
        document = read_document(text, FORMAT, "the layout")
        del document["format"]
        if set(document) != {f.name for f in fields(cls)}:
            raise RunError("the layout is damaged: keys are missing or unknown")
        try:
            layout = cls(**{name: _frozen(value) for name, value in document.items()})
            layout._check()
        except (TypeError, ValueError) as error:
            raise RunError(f"the layout is damaged: {error}") from None
        return layout

    def _check(self) -> None:
        for name in ("time", "date_format", "series", "frequency", "zone"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is no text")
        for name in ("time_parts", "target", "past", "known", "static", "calendar"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise TypeError(f"{name} is no list of texts")
        every = (*self.target, *self.past, *self.known, *self.static)
        if not self.target or len(set(every)) < len(every):
            raise ValueError("there is no target, or a column is listed twice")
        for item in self.categories if isinstance(self.categories, tuple) else ("",):
            if not (isinstance(item, tuple) and len(item) == 2 and item[0] in self.static and _texts(item[1])):
                raise ValueError("categories are not lists of texts for static columns")
        if not set(self.calendar) <= set(CALENDAR):
            raise ValueError(f"calendar is {list(self.calendar)}")
        if type(self.step) is not int or not 0 <= self.step < 2**62:
            raise ValueError(f"step is {self.step!r:.40}")
        if self.gaps not in get_args(Gaps):
            raise ValueError(f"gaps is {self.gaps!r:.40}")
        parse(self.frequency)
        if type(self.zone_assumed) is not bool:
            raise TypeError("zone_assumed is not true or false")
        if self.zone and canonical(self.zone) != self.zone:
            raise ValueError(f"zone is {self.zone!r:.40}")


def _texts(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(isinstance(item, str) for item in value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def infer_schema(table: ColumnTable, options: TimeSeriesOptions, indexed: Indexed) -> tuple[Schema, list[str]]:
    """Infer the role of each column; frequency, calendar and categories are inferred later.

    Args:
        table: the rows.
        options: the user's options.
        indexed: the DataFrame's index.

    Returns:
        The layout, and notes on what was inferred.

    Raises:
        DataError: a column is missing, there is no target, or no column of times can be found or read.
    """
    given = (
        options.series_id,
        *options.target,
        *options.past_covariates,
        *options.future_covariates,
        *options.static_covariates,
    )
    _require(table, given)
    times = find_times(table, options.time, indexed, given, options.series_id)
    notes = list(times.notes)
    time, parts = "".join(times.columns[:1]), ()
    if len(times.columns) > 1:
        parts = times.columns
        time = next(name for name in ("time", "datetime", "time of the row") if name not in table.names)
    if not time and options.frequency not in ("", STEPS):
        raise DataError(
            f"{table.where or 'the table'} has no column of times, but the frequency is to be {options.frequency}; "
            f"name the column with --time, or give --frequency {STEPS}"
        )
    target = options.target
    if not target:
        target, said = _targets(table, {time, *parts, *given, indexed.order})
        notes += said
    layout = Schema(
        time, parts, options.date_format, options.series_id, target, options.past_covariates, options.future_covariates
    )
    return replace(layout, static=options.static_covariates), notes


def with_times(table: ColumnTable, layout: Schema) -> ColumnTable:
    """Add the column of times, where the layout combines it from several others."""
    if not layout.time_parts or layout.time in table.names:
        return table
    _require(table, layout.time_parts)
    return table.with_column(layout.time, joined(table, layout.time_parts))


def _targets(table: ColumnTable, taken: set[str]) -> tuple[tuple[str, ...], list[str]]:
    """Choose the numeric columns without another role as targets; also return notes on what is left out."""
    free = [name for name in table.names if name not in taken]
    numeric = [name for name in free if table.numbers(name).numeric]
    counting = [name for name in numeric if numbers_the_rows(table, name)]
    dated = [name for name in numeric if is_part_of_date(name) or kind_of(name) in ("time", "date")]
    target = tuple(name for name in numeric if name not in counting and name not in dated)
    others = [name for name in free if name not in numeric]
    for name in others:
        if around := table.numbers(name).decorated:
            raise DataError(
                f"{table.where or 'the table'}: column '{name}' holds numbers with something around them, as "
                f"'{around:.40}'; write plain numbers, or name the columns to forecast with --target"
            )
    if not target:
        left = f" ({_listed(others)} not of numbers)" if others else ""
        left = left or (f" ({_listed(counting + dated)} of times or row numbers)" if counting + dated else "")
        raise DataError(
            f"{table.where or 'the table'} has no column of numbers to forecast{left}; name one with --target"
        )
    notes = [f"{'targets are' if len(target) > 1 else 'the target is'} {_quoted(target)}"]
    if counting:
        notes.append(f"{_listed(counting)} left out, as it numbers the rows")
    if dated:
        notes.append(f"{_listed(dated)} left out, as named like a time; --target takes it")
    if others:
        notes.append(f"{_listed(others)} not of numbers and left out")
    return target, notes


def check_columns(table: ColumnTable, layout: Schema) -> None:
    """Check that a table has the columns of a layout.

    Raises:
        DataError: one is missing; the message suggests the nearest name.
    """
    _require(table, (layout.time, layout.series, *layout.target, *layout.past, *layout.known, *layout.static))


def calendar_features(options: TimeSeriesOptions, frequency: str) -> tuple[tuple[str, ...], list[str]]:
    """Choose the calendar cycles that are inputs at this frequency; also return notes on them.

    Raises:
        OptionError: with frequency `steps` the dates of the future are not known.
    """
    if not options.calendar:
        return (), []
    if options.calendar == ("auto",):
        chosen = calendar.automatic(frequency)
        return chosen, [f"calendar features are {', '.join(chosen) or 'none'}, for frequency {frequency}"]
    if frequency == STEPS:
        raise OptionError(
            f"calendar is {', '.join(options.calendar)}, but with the frequency {STEPS} the dates of the future are "
            "not known"
        )
    return options.calendar, []


def _require(table: ColumnTable, names: Iterable[str]) -> None:
    for name in names:
        if name and name not in table.names:
            raise DataError(f"{table.where or 'the table'} has no column '{name}'{nearest(name, table.names)}")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _listed(names: list[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {_quoted(names[:5])}{', ...' if len(names) > 5 else ''} " + (
        "are" if len(names) > 1 else "is"
    )
