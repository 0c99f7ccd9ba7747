"""Which column of a table is what: said by a person, found where they did not say, and kept with a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from unroll.data import calendar
from unroll.data.cells import Table
from unroll.data.frequency import STEPS, parse
from unroll.data.series_options import CALENDAR, FrameOptions, Gaps
from unroll.data.stamps import is_stamp
from unroll.errors import DataError, OptionError, RunError, nearest
from unroll.files import read_document

FORMAT = "unroll.layout/1"

_STEP_NAMES = ("time", "timestamp", "t", "ds", "step", "time_idx")
_CALENDAR_NAMES = ("date", "datetime", "month", "day", "week", "quarter", "year", "period")
TIME_NAMES = (*_STEP_NAMES, *_CALENDAR_NAMES, "日期", "时间", "時間", "月份")


@dataclass(frozen=True)
class Layout:
    """What the columns of a table of series are. A table for a trained model is read by the layout of its training.

    Attributes:
        time: column of the times; "" where there is none and rows are numbered.
        series: column of the series' names; "" where the table is one series.
        target, past, known, static: columns.
        categories: for each static column of texts, its name and its categories.
        calendar: cycles of the calendar that are inputs.
        frequency: from a stamp to the next, as `unroll.data.frequency` names it.
        gaps: what is done with missing times and values.
        step: with the frequency `steps`, how far apart whole numbers are; 0: rows are steps, whatever their times.
    """

    time: str = ""
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

    @property
    def known_names(self) -> tuple[str, ...]:
        """The known inputs: columns, then two features for each cycle of the calendar."""
        return (*self.known, *calendar.names(self.calendar))

    @property
    def static_names(self) -> tuple[str, ...]:
        """The static inputs: a column of numbers is one, of texts as many as it has categories, `column=category`."""
        categories = dict(self.categories)
        names: list[str] = []
        for column in self.static:
            names += [f"{column}={category}" for category in categories.get(column, ())] or [column]
        return tuple(names)

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Layout:
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
        for name in ("time", "series", "frequency"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} is no text")
        for name in ("target", "past", "known", "static", "calendar"):
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


def _texts(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(isinstance(item, str) for item in value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def settle(table: Table, options: FrameOptions, index: str = "") -> tuple[Layout, list[str]]:
    """Which column is what; the frequency, the calendar and the categories are still to be found out.

    Args:
        table: the rows.
        options: what the person said.
        index: column that was the DataFrame's index of times, if it had one.

    Returns:
        The layout, and what was found without being said.

    Raises:
        DataError: a column is not there, or there is no target.
    """
    notes = []
    given = (options.time, options.series, *options.target, *options.past, *options.known, *options.static)
    _require(table, given)
    time = options.time
    if not time:
        taken = set(given)
        time = index or next((name for name in _time_columns(table) if name not in taken), "")
        notes.append(f"time is column '{time}'" if time else "no column of times was found: rows are numbered")
        if not time and options.frequency not in ("", STEPS):
            raise DataError(
                f"{table.where or 'the table'} has no column of times, but the frequency is to be {options.frequency}; "
                f"name the column with --time, or give --frequency {STEPS}"
            )
    target = options.target
    if not target:
        taken = {time, *given}
        numeric = [name for name in table.names if name not in taken and table.numbers(name).numeric]
        target = tuple(numeric)
        others = [name for name in table.names if name not in taken and name not in target]
        if not target:
            left = f" ({_listed(others)} not of numbers)" if others else ""
            comma = any(re.fullmatch(r"-?\d+,\d+", text or "") for n in others for text in table.texts(n, 20))
            remedy = "numbers are written with a point, as 1.5" if comma else "name one with --target"
            raise DataError(f"{table.where or 'the table'} has no column of numbers to forecast{left}; {remedy}")
        notes.append(f"{'targets are' if len(target) > 1 else 'the target is'} {_quoted(target)}")
        if others:
            notes.append(f"{_listed(others)} not of numbers and left out")
    return Layout(time, options.series, target, options.past, options.known, options.static), notes


def require(table: Table, layout: Layout) -> None:
    """Check that a table has the columns of a layout.

    Raises:
        DataError: one is missing; the nearest is named.
    """
    _require(table, (layout.time, layout.series, *layout.target, *layout.past, *layout.known, *layout.static))


def cycles(options: FrameOptions, frequency: str) -> tuple[tuple[str, ...], list[str]]:
    """The calendar's cycles that are inputs at this frequency, and what is to be said of them.

    Raises:
        OptionError: the times of the future are not known, so neither is their place in the calendar.
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


def _time_columns(table: Table) -> Iterable[str]:
    """Columns that may be the time, the likeliest first."""
    import pandas as pd

    for name in table.names:
        dtype = table.column(name).dtype
        if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
            yield name
    lower = {name: name.strip().lower() for name in table.names}
    for name in sorted(table.names, key=lambda name: lower[name] not in TIME_NAMES):
        text = next((text for text in table.texts(name, 200) if text is not None), "")
        if is_stamp(text) and not table.numbers(name).numeric:
            yield name
    parts = {"month", "quarter", "week", "day"} & set(lower.values())
    for name in table.names:
        if lower[name] in TIME_NAMES:
            numbers = table.numbers(name)
            values = numbers.values[~numbers.empty]
            whole = len(values) > 0 and not len(numbers.wrong) and bool((values % 1 == 0).all())
            days = lower[name] == "date" and bool(((values > 18000100) & (values < 22001232)).all())
            years = lower[name] == "year" and not parts and bool(((values > 1000) & (values < 3000)).all())
            if whole and (days or years or lower[name] in _STEP_NAMES):
                yield name


def _require(table: Table, names: Iterable[str]) -> None:
    for name in names:
        if name and name not in table.names:
            raise DataError(f"{table.where or 'the table'} has no column '{name}'{nearest(name, table.names)}")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _listed(names: list[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {_quoted(names[:5])}{', ...' if len(names) > 5 else ''} " + (
        "are" if len(names) > 1 else "is"
    )
