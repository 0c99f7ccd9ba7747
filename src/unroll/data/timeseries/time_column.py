"""Find the time column of a table: given by the user, or detected by its name and content.

A column that is named like a time but cannot be read is an error: rows are numbered in their order only if the user
says that this is the order of time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from unroll.data.timeseries import date_parser, numeric_dates
from unroll.data.timeseries.date_parser import is_clock
from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.time_parts import PARTS, column_key, part_of
from unroll.data.timeseries.timestamps import Numbers, looks_like_times
from unroll.errors import DataError

if TYPE_CHECKING:
    from unroll.data.timeseries.table import Indexed

NONE = "none"
"""Value of `--time` for rows in order of time without times."""

Kind = Literal["", "steps", "time", "date", "part"]

_STEPS = frozenset({"t", "step", "steps", "time_idx", "timestep", "time_step"})
_TIMES = frozenset(
    [
        "time",
        "timestamp",
        "timestamps",
        "ts",
        "ds",
        "datetime",
        "date_time",
        "utc",
        "epoch",
        "unix",
        "unixtime",
        "zeit",
        "zeitpunkt",
        "zeitstempel",
        "时间",
        "時間",
        "시간",
        "tijd",
        "hora",
        "created_at",
        "updated_at",
    ]
)
_DATES = frozenset(["date", "dates", "when", "datum", "fecha", "日期", "날짜", "日時", "time_period", "period", "jour"])
_DERIVED = frozenset(
    ["weekday", "dayofweek", "day_of_week", "dow", "dayofyear", "day_of_year", "doy", "weekofyear", "week_of_year"]
)
_LAST_WORDS = {
    "date": "date",
    "datum": "date",
    "fecha": "date",
    "time": "time",
    "timestamp": "time",
    "datetime": "time",
}
_ZONES = frozenset(["utc", "gmt", "local", "cet", "cest", "est", "pst", "iso", "ms", "s", "stamp"])
_NUMBERS_ROWS = frozenset({"no", "no.", "nr", "nr.", "id", "index", "row", "row_id", "#", "obs", "unnamed: 0", ""})
_LOOKED_AT = 200


@dataclass(frozen=True)
class TimeColumns:
    """Hold the columns of the times.

    Attributes:
        columns: one; several that together make a time; none where rows are numbered.
        notes: what was detected, for the user.
    """

    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()


def kind_of(name: str) -> Kind:
    """Classify a column by its name: the kind of time it suggests."""
    lower = column_key(name)
    if lower in _STEPS:
        return "steps"
    if lower in _TIMES:
        return "time"
    if lower in _DATES:
        return "date"
    if lower in PARTS:
        return "part"
    words = [w.lower() for w in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]
    if len(words) > 1:
        if words[-1] in _LAST_WORDS:
            return "date" if _LAST_WORDS[words[-1]] == "date" else "time"
        if words[0] in _LAST_WORDS and (words[0] not in ("time", "date") or words[1] in _ZONES):
            return "date" if _LAST_WORDS[words[0]] == "date" else "time"
    return ""


def numbers_of(name: str) -> Numbers:
    """Return what whole numbers in a column with that name may be."""
    kind = kind_of(name)
    if kind == "steps" or (kind == "part" and part_of(name) == "year"):
        return "steps"
    return "dates" if kind in ("date", "part") else "times"


def is_part_of_date(name: str) -> bool:
    """Tell whether a column is named like a part of a date, such as a month or a weekday."""
    lower = column_key(name)
    return lower in PARTS or lower in _DERIVED


def numbers_the_rows(table: ColumnTable, name: str) -> bool:
    """Tell whether a column is just a row number."""
    lower = name.strip().lower()
    if lower not in _NUMBERS_ROWS and not re.fullmatch(r"__index_level_\d+__", lower):
        return False
    values = np.sort(table.numbers(name).values)
    return len(values) > 1 and bool((np.diff(values) == 1).all())


def find_times(table: ColumnTable, said: str, indexed: Indexed, taken: Sequence[str], series: str) -> TimeColumns:
    """Find the column of the times.

    Args:
        table: the rows.
        said: the `time` option: a column, several separated by commas, or `NONE`.
        indexed: the DataFrame's index.
        taken: columns with another role.
        series: column of the series' names.

    Raises:
        DataError: there is no such column, or it is ambiguous or unreadable.
    """
    where = table.where or "the table"
    if said and said in table.names:
        return TimeColumns((said,))
    if said == NONE:
        return TimeColumns((), ("rows are numbered in the order they stand",))
    if said:
        return _said_parts(table, [part.strip() for part in said.split(",")], said)
    free = [name for name in table.names if name not in taken]
    if indexed.time in free:
        return TimeColumns((indexed.time,), (f"time is the index, as column '{indexed.time}'",))
    ranks: dict[int, list[str]] = {}
    for name in free:
        rank = _rank(table, name)
        if rank is not None:
            ranks.setdefault(rank, []).append(name)
    for rank in sorted(ranks):
        if rank == _LAST_RANK and (parts := _date_parts(table, free)):
            return _together(parts)
        name = _the_one(table, ranks[rank])
        clock = _clock_beside(table, name, free, series)
        return _together((name, clock)) if clock else TimeColumns((name,), (f"time is column '{name}'",))
    if parts := _date_parts(table, free):
        return _together(parts)
    unread = _unread(table, free)
    if unread:
        raise DataError(_cannot_be_read(table, unread))
    if indexed.order in free:
        return TimeColumns((indexed.order,), (f"time is the index, as column '{indexed.order}'",))
    if indexed.ordered:
        return TimeColumns((), ("there are no times: the rows are taken to be in the order of time, and numbered",))
    raise DataError(
        f"{where} has no column of times; name it with --time, or give --time {NONE} if the rows stand in the order of"
        " time"
    )


_LAST_RANK = 4


def _rank(table: ColumnTable, name: str) -> int | None:
    """Rank how likely a column is the time, 0 the likeliest; None where it cannot be."""
    import pandas as pd

    kind = kind_of(name)
    dtype = table.column(name).dtype
    if dtype.kind == "M" or isinstance(dtype, pd.PeriodDtype):
        return 0 if kind in ("time", "date") else 2
    texts = table.texts(name, _LOOKED_AT)
    if looks_like_times(texts):
        # the whole column, as the first rows may be empty or a note
        return {"time": 0, "date": 0, "part": _LAST_RANK}.get(kind, 3)
    if not kind:
        return None
    numbers = table.numbers(name)
    some = numbers.values[~numbers.empty]
    if not len(some) or len(numbers.wrong) * 2 >= len(some):
        return None
    values = numbers.values
    if kind != "steps" and numeric_dates.as_times(values, serial=numbers_of(name) == "dates") is not None:
        return _LAST_RANK if kind == "part" else 0
    whole = bool((values[~np.isnan(values)] % 1 == 0).all())
    if kind == "part" and part_of(name) == "year":
        return _LAST_RANK if whole and bool(((some > 1000) & (some < 3000)).all()) else None
    return _LAST_RANK if whole and kind in ("steps", "time") and name.strip().lower() in _STEPS | _TIMES else None


def _the_one(table: ColumnTable, names: list[str]) -> str:
    """Choose among equally likely columns the first, if all hold the same times.

    Raises:
        DataError: they do not.
    """
    if len(names) > 1:
        from unroll.data.timeseries.timestamps import read_stamps

        first = read_stamps(table, names[0], numbers=numbers_of(names[0])).values
        for other in names[1:]:
            values = read_stamps(table, other, numbers=numbers_of(other)).values
            if values.dtype != first.dtype or (values != first).any():
                raise DataError(
                    f"{table.where or 'the table'} has the times '{names[0]}' and '{other}', which differ; name the"
                    f" one that is meant, as in --time '{names[0]}'"
                )
    return names[0]


def _clock_beside(table: ColumnTable, name: str, free: Sequence[str], series: str) -> str:
    """Find the time-of-day column that belongs to a date column, where a date has several rows."""
    by = [name, series] if series in table.names else [name]
    beside = _clock(table, name, free)
    return beside if beside and table.frame.duplicated(by).any() else ""


def _clock(table: ColumnTable, name: str, free: Sequence[str]) -> str:
    """Find the first other column of times of day."""
    import pandas as pd

    for other in free:
        if other == name or kind_of(other) not in ("time", "part"):
            continue
        if part_of(other) == "hour" and _whole_between(table, other, 0, 24):
            return other
        texts = [text for text in table.texts(other, _LOOKED_AT) if text is not None]
        kinds = pd.api.types.infer_dtype(table.column(other), skipna=True)
        if texts and (kinds == "time" or all(is_clock(text) for text in texts)):
            return other
    return ""


def _date_parts(table: ColumnTable, free: Sequence[str]) -> tuple[str, ...]:
    """Find the columns with the parts of a date, from the year on; none without a year and month, quarter or week."""
    named: dict[str, str] = {}
    for name in free:
        if part := part_of(name):
            named.setdefault(part, name)
    if "year" not in named or not _whole_between(table, named["year"], 1000, 2999):
        return ()
    second = next((part for part in ("month", "quarter", "week") if part in named), "")
    if not second:
        return ()
    parts = [named["year"], named[second]]
    if second == "month":
        for part in ("day", "hour", "minute", "second"):
            if part not in named:
                break
            parts.append(named[part])
    return tuple(parts)


def _whole_between(table: ColumnTable, name: str, least: int, most: int) -> bool:
    numbers = table.numbers(name)
    some = numbers.values[~np.isnan(numbers.values)]
    return len(some) * 2 > len(numbers.values) and bool(
        (some % 1 == 0).all() and (some >= least).all() and (some <= most).all()
    )


def _together(parts: tuple[str, ...]) -> TimeColumns:
    return TimeColumns(parts, (f"time is columns {', '.join(repr(part) for part in parts)} together",))


def _said_parts(table: ColumnTable, parts: list[str], said: str) -> TimeColumns:
    from unroll.errors import nearest

    for part in parts:
        if part not in table.names:
            raise DataError(f"{table.where or 'the table'} has no column '{part}'{nearest(part, table.names)}")
    dated = _date_parts(table, parts) or tuple(parts)
    if set(dated) != set(parts) or not 1 < len(parts) < 7:
        raise DataError(
            f"time is '{said}', which is neither a date and its time of day nor year, month, day, hour, ..."
        )
    return TimeColumns(dated)


def _unread(table: ColumnTable, free: Iterable[str]) -> str:
    """Find a column that is named like times, or looks somewhat like them."""
    named = [name for name in free if kind_of(name)]
    for name in sorted(named, key=lambda name: ("date", "time", "part", "steps").index(kind_of(name))):
        return name
    for name in free:
        texts = [text for text in table.texts(name, _LOOKED_AT) if text is not None]
        half = sum(bool(re.search(r"\d[-/.:]\d|(19|20)\d\d", text)) for text in texts)
        if not table.numbers(name).numeric and half * 2 > len(texts):
            return name
    return ""


def _cannot_be_read(table: ColumnTable, name: str) -> str:
    texts = table.texts(name, _LOOKED_AT)
    cell = next((text for text in texts if text is not None), "")
    number = re.fullmatch(r"[+-]?\d+(\.\d*)?", cell)
    formats = f"numbers that are {numeric_dates.READ}" if number else f"dates such as {date_parser.READ}"
    is_time = f"is named like times, but '{cell:.40}'" if kind_of(name) else f"looks like times, but '{cell:.40}'"
    return (
        f"{table.where or 'the table'}: column '{name}' {is_time} is not read as one; {formats} are, and --date-format"
        f" says how others are written; name another column with --time, or give --time {NONE} if the rows stand in the"
        " order of time"
    )
