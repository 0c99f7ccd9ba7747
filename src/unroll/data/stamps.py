"""A column of times as numbers that can be counted: `datetime64[ns]`, or whole numbers.

ISO 8601 is taken as it is. Other ways of writing are tried one by one against the whole column; where day and month
could be exchanged in every row, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from unroll.data.cells import Table
from unroll.data.zones import UTC, canonical, name_of, offset_of
from unroll.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_ISO = re.compile(
    r"\d{4}-\d{2}(?:-\d{2}(?:[ T]\d{2}(?::?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)?)?\s?"
    r"(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?)?"
)
_QUARTER = re.compile(r"(?P<y>\d{4})[- ]?Q(?P<q>[1-4])|Q(?P<q2>[1-4])[- ](?P<y2>\d{4})")
_WHOLE = re.compile(r"[+-]?\d{1,18}(?:\.0*)?")
_DATES = (
    *(f"%{a}{sep}%{b}{sep}%Y" for sep in "/-" for a, b in ("dm", "md")),
    *("%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y-%m-%d", "%Y年%m月%d日", "%Y年%m月", "%Y/%m", "%m/%Y", "%m-%Y", "%m.%Y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y", "%b %Y", "%B %Y", "%b-%Y", "%Y %b", "%Y-%b"),
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S")
_LOOKED_AT = 20


@dataclass(frozen=True)
class Stamps:
    """A column of times.

    Attributes:
        values: (N,) datetime64[ns] or int64; of no meaning in wrong rows.
        wrong: position -> what is wrong with the cell.
        notes: what was understood that could have been understood otherwise.
        zones: the time zones that the cells are written in, by first appearance; where there are some, values are
            instants in UTC.
    """

    values: np.ndarray
    wrong: dict[int, str]
    notes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


def read_stamps(table: Table, name: str) -> Stamps:
    """The column `name` as stamps.

    Raises:
        DataError: day and month cannot be told apart, or some times have a time zone and some have none.
    """
    import pandas as pd

    column = table.column(name)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind == "M":
        column = pd.Series(column.array.to_numpy() if column.dt.tz is None else pd.DatetimeIndex(column))
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        zones = (name_of(column.dtype.tz) or UTC,)
        return replace(_checked(table, name, column.dt.tz_convert(None)), zones=zones)
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return _checked(table, name, column)
    whole = isinstance(column.dtype, np.dtype) and np.can_cast(column.dtype, np.int64)
    if whole and not column.between(18000101, 22001231).all():
        return Stamps(column.to_numpy(dtype=np.int64), {})
    texts = table.texts(name)
    first = _first(texts)
    if re.fullmatch(r"\d{8}", first) and all(text is None or re.fullmatch(r"\d{8}", text) for text in texts):
        days = pd.to_datetime(pd.Series(texts, dtype=object), format="%Y%m%d", errors="coerce")
        if days.isna().sum() == sum(text is None for text in texts) and days.dt.year.between(1800, 2200).all():
            return _checked(table, name, days, (f"column '{name}' was read as dates written %Y%m%d",))
    if _WHOLE.fullmatch(first):
        return _whole(table, name, texts)
    if _ISO.fullmatch(first):
        return _iso(table, name, texts)
    if _QUARTER.fullmatch(first):
        return _quarters(table, name, texts)
    return _written(table, name, texts, first)


def _first(texts: np.ndarray) -> str:
    """The first text that is a time or a whole number; failing that, the first."""
    some = [text for text in texts[: 10 * _LOOKED_AT] if text is not None][:_LOOKED_AT]
    return next((text for text in some if _WHOLE.fullmatch(text) or is_stamp(text)), some[0] if some else "")


def is_stamp(text: str) -> bool:
    """Whether a text is a time, other than a whole number."""
    return bool(_ISO.fullmatch(text) or _QUARTER.fullmatch(text) or next(_formats(text), None))


def _whole(table: Table, name: str, texts: np.ndarray) -> Stamps:
    values, wrong = np.zeros(len(texts), dtype=np.int64), {}
    for row, text in enumerate(texts):
        if text is not None and _WHOLE.fullmatch(text):
            values[row] = int(text.partition(".")[0])
        else:
            what = "is no whole number, as others in the column are"
            wrong[row] = f"'{name}' is empty" if text is None else f"{table.shown(row, name)} in '{name}' {what}"
    return Stamps(values, wrong)


def _iso(table: Table, name: str, texts: np.ndarray) -> Stamps:
    import pandas as pd

    plain = np.array(texts, dtype=object)
    offsets = np.zeros(len(texts), dtype="timedelta64[ns]")
    zones: dict[str, str] = {}
    for row, text in enumerate(texts):
        found = _ISO.fullmatch(text) if text is not None else None
        if found is None:
            continue
        own = found["zone"] or ""
        if zones and (own == "") != ("" in zones):
            has, have = ("has no time zone", "have one") if own == "" else (f"has the time zone {own}", "have none")
            raise DataError(
                f"{table.at(row, name)}: {table.shown(row, name)} {has}, but the rows before {have}; write all times"
                " in one way"
            )
        zone = zones.setdefault(own, canonical(own) if own else "")
        if zone:
            plain[row] = found.string[: found.start("zone")].strip()
            offsets[row] = offset_of(zone)
    times = pd.to_datetime(pd.Series(plain, dtype=object), format="ISO8601", errors="coerce") - offsets
    return replace(_checked(table, name, times), zones=tuple(dict.fromkeys(z for z in zones.values() if z)))


def _quarters(table: Table, name: str, texts: np.ndarray) -> Stamps:
    import pandas as pd

    months = []
    for text in texts:
        found = _QUARTER.fullmatch(text) if text is not None else None
        year, quarter = (found["y"] or found["y2"], int(found["q"] or found["q2"])) if found else ("", 0)
        months.append(f"{year}-{3 * quarter - 2:02d}" if found else None)
    times = pd.to_datetime(pd.Series(months, dtype=object), format="ISO8601", errors="coerce")
    return _checked(table, name, times, (f"quarters in column '{name}' stand at their first day",))


def _formats(text: str) -> Iterator[str]:
    """The ways of writing that fit one text."""
    import pandas as pd

    for date in _DATES:
        for clock in _CLOCKS:
            if not pd.isna(pd.to_datetime(text, format=date + clock, errors="coerce")):
                yield date + clock


def _written(table: Table, name: str, texts: np.ndarray, first: str) -> Stamps:
    import pandas as pd

    cells = pd.Series(texts, dtype=object)
    readings = {f: pd.to_datetime(cells, format=f, errors="coerce") for f in _formats(first)}
    if not readings:
        return _checked(table, name, pd.Series(np.full(len(texts), np.datetime64("NaT"), "M8[ns]")))
    unread = {f: int(times.isna().sum()) for f, times in readings.items()}
    fewest = min(unread.values())
    best = [f for f in readings if unread[f] == fewest]
    for other in best[1:]:
        apart = (readings[other] != readings[best[0]]) & cells.notna()
        if apart.any():
            row = int(apart.to_numpy().argmax())
            raise DataError(
                f"{table.at(row, name)}: {table.shown(row, name)} can be {_words(best[0])} or {_words(other)}, and no "
                "row tells which; write dates as year-month-day"
            )
    return _checked(table, name, readings[best[0]], (f"column '{name}' was read as dates written {best[0]}",))


def _words(way: str) -> str:
    return way.replace("%d", "day").replace("%m", "month").replace("%Y", "year").partition(" ")[0]


def _checked(table: Table, name: str, times: pd.Series, notes: tuple[str, ...] = ()) -> Stamps:
    """As `datetime64[ns]`, with the rows that have none and those beyond what it holds."""
    import pandas as pd

    values = times.to_numpy()
    wrong = {}
    least, most = pd.Timestamp.min.year + 1, pd.Timestamp.max.year
    years = times.dt.year.to_numpy()
    bad = np.isnat(values)
    beyond = ~bad & ((years < least) | (years >= most))
    unusable = np.flatnonzero(bad | beyond)
    texts = table.texts(name) if len(unusable) else np.empty(0)
    for row in unusable.tolist():
        empty = texts[row] is None
        what = "is no time" if bad[row] else f"is beyond the years {least} to {most - 1}"
        wrong[row] = f"'{name}' is empty" if empty else f"{table.shown(row, name)} in '{name}' {what}"
    values = np.where(bad | beyond, np.datetime64(0, "ns"), values)
    return Stamps(values.astype("datetime64[ns]"), wrong, notes)
