"""Parse a column of timestamps to `datetime64[ns]` or whole numbers.

How dates are written is decided by the column as a whole; where day and month could be exchanged in every row, nothing
is guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from unroll.data.files.memory_mapped import is_lean, iso_times
from unroll.data.timeseries import numeric_dates
from unroll.data.timeseries.date_parser import canonical_date, date_formats, in_words, is_missing, take_apart
from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.time_zones import UTC, canonical, name_of, offset_of
from unroll.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from unroll.data.timeseries.date_parser import Written

_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d*)?")
_LOOKED_AT = 200

Numbers = Literal["steps", "times", "dates"]
"""What whole numbers may be: steps and nothing else, steps or times, or also serial days of a spreadsheet."""


@dataclass(frozen=True)
class Timestamps:
    """A column of times.

    Attributes:
        values: (N,) datetime64[ns] or int64; of no meaning in wrong rows.
        wrong: position -> what is wrong with the cell.
        notes: what was understood that could have been understood otherwise.
        zones: the time zones that the cells are written in, by first appearance; where there are some, values are
            instants in UTC.
        format: how dates are written, in strptime's words; "" for ISO 8601 and what is no text.
    """

    values: np.ndarray
    wrong: dict[int, str]
    notes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    format: str = ""


def read_stamps(table: ColumnTable, name: str, *, date_format: str = "", numbers: Numbers = "dates") -> Timestamps:
    """Read the column `name` as stamps.

    Args:
        table: the rows.
        name: the column.
        date_format: how dates are written, in strptime's words: of whole cells, or of the dates in them.
        numbers: what whole numbers may be.

    Raises:
        DataError: day and month cannot be told apart, some times have a time zone and some have none, or dates are
            written in another way than `date_format`.
    """
    import pandas as pd

    column = table.column(name)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind == "M":
        column = pd.Series(pd.DatetimeIndex(pd.to_datetime(column.to_numpy(dtype=object, na_value=pd.NaT))))
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        zones = (name_of(column.dtype.tz) or UTC,)
        return replace(_checked(table, name, column.dt.tz_convert(None)), zones=zones)
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return _checked(table, name, column)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu" and np.can_cast(column.dtype, np.int64):
        return _numbered(table, name, column.to_numpy(dtype=np.int64), np.zeros(0, dtype=object), numbers)
    if not date_format and is_lean(column) and (times := iso_times(column)) is not None:
        return _checked(table, name, times)
    texts = table.texts(name)
    texts[:] = [None if is_missing(text) else text for text in texts]
    given = _as_given(table, name, texts, date_format) if date_format else None
    if given is not None and len(given.wrong) == sum(text is None for text in texts):
        return given
    some = [text for text in texts[:_LOOKED_AT] if text is not None]
    if some and sum(_NUMBER.fullmatch(text) is not None for text in some) * 2 >= len(some):
        return _numbered(table, name, _numbers(texts), texts, numbers)
    return _written(table, name, texts, date_format, given)


def looks_like_times(texts: np.ndarray) -> bool:
    """Whether more than half of these texts (N,) that are not empty are written times, other than numbers."""
    some = [text for text in texts if not is_missing(text)]
    written = [take_apart(text) for text in some if _NUMBER.fullmatch(text) is None]
    return sum(bool(one and date_formats(canonical_date(one.date))) for one in written) * 2 > len(some)


def _as_given(table: ColumnTable, name: str, texts: np.ndarray, way: str) -> Timestamps | None:
    """The texts by a format of whole cells; None where it does not fit any of them."""
    import pandas as pd

    cells = pd.Series(texts, dtype=object)
    try:
        times = pd.to_datetime(cells, format=way, errors="coerce", utc="%z" in way)
    except ValueError:
        return None
    if times.isna().all():
        return None
    if "%z" in way:
        return replace(_checked(table, name, times.dt.tz_localize(None)), zones=(UTC,), format=way)
    return replace(_checked(table, name, times), format=way)


def _numbers(texts: np.ndarray) -> np.ndarray:
    """Texts as numbers: int64 where all of them are whole, else float64 with NaN where they are none."""
    values = np.full(len(texts), np.nan)
    whole = np.zeros(len(texts), dtype=np.int64)
    exact = True
    for row, text in enumerate(texts):
        if text is not None and _NUMBER.fullmatch(text):
            values[row] = float(text)
            before, _, after = text.partition(".")
            exact = exact and not after.strip("0")
            whole[row] = int(before)
        else:
            exact = False
    return whole if exact else values


def _numbered(table: ColumnTable, name: str, values: np.ndarray, texts: np.ndarray, kind: Numbers) -> Timestamps:
    """Numbers as times, or as whole steps."""
    found = None if kind == "steps" else numeric_dates.as_times(values, serial=kind == "dates")
    if found is not None:
        return _checked(table, name, found.values, (f"column '{name}' was read as {found.how}",))
    if values.dtype.kind == "i":
        return Timestamps(values, {})
    wrong: dict[int, str] = {}
    whole = np.zeros(len(values), dtype=np.int64)
    for row, text in enumerate(texts):
        if text is None:
            wrong[row] = f"'{name}' is empty"
        elif values[row] % 1 != 0:
            wrong[row] = f"{table.shown(row, name)} in '{name}' is no whole number, as others in the column are"
        else:
            whole[row] = int(text.partition(".")[0])
    return Timestamps(whole, wrong)


def _written(table: ColumnTable, name: str, texts: np.ndarray, wanted: str, given: Timestamps | None) -> Timestamps:
    """Texts as times: the one format of dates that fits them all, with whatever time of day each has.

    `given` is what the wanted format made of whole cells, if it fits some.
    """
    import pandas as pd

    since = np.zeros(len(texts), dtype="timedelta64[ns]")
    offsets = np.zeros(len(texts), dtype="timedelta64[ns]")
    written = [take_apart(text) if text is not None else None for text in texts]
    codes, found = pd.factorize(pd.Series([one and one.date for one in written], dtype=object))
    kinds = [canonical_date(date) for date in found]
    formats = [date_formats(date) for date in kinds]
    # A date that no format may fit is none, though a format for another one might take it.
    readable = np.array([bool(ways) for ways in (*formats, ())])
    codes = np.where(readable, np.cumsum(readable) - 1, -1)[codes]
    kinds, formats = ([item for item, ways in zip(items, formats, strict=True) if ways] for items in (kinds, formats))
    zones: dict[str, str] = {}
    for row in np.flatnonzero(codes >= 0).tolist():
        one = cast("Written", written[row])
        since[row] = one.nanoseconds
        if one.clock and (zone := _same_kind_of_zone(table, name, row, one.zone, zones)):
            offsets[row] = offset_of(zone)
    candidates = tuple(dict.fromkeys(way for ways in formats[:_LOOKED_AT] for way in ways))
    if given is not None and not any(_order(f) == _order(wanted) for f in candidates):
        return given
    if not candidates:
        return _checked(table, name, np.full(len(texts), np.datetime64("NaT"), "M8[us]"))
    readings = {f: pd.to_datetime(pd.Series(kinds, dtype=object), format=f, errors="coerce") for f in candidates}
    chosen, why = _choose(table, name, readings, codes, wanted)
    days = np.append(readings[chosen].to_numpy().astype("M8[us]"), np.datetime64("NaT"))[codes]
    iso = chosen == "%Y-%m-%d" or chosen == "%Y-%m"
    notes = () if iso else (f"column '{name}' was read as {_words(chosen)}{why}",)
    stamps = _checked(table, name, days, notes, since - offsets)
    return replace(
        stamps, zones=tuple(dict.fromkeys(zone for zone in zones.values() if zone)), format="" if iso else chosen
    )


def _same_kind_of_zone(table: ColumnTable, name: str, row: int, own: str, zones: dict[str, str]) -> str:
    """The zone of a cell, where the cells before have one too, or have none either."""
    if zones and (own == "") != ("" in zones):
        has, have = ("has no time zone", "have one") if own == "" else (f"has the time zone {own}", "have none")
        raise DataError(
            f"{table.at(row, name)}: {table.shown(row, name)} {has}, but the rows before {have}; write all times in"
            " one way"
        )
    if own not in zones:
        zones[own] = canonical(own) if own else ""
    return zones[own]


def _choose(
    table: ColumnTable, name: str, readings: dict[str, pd.Series], codes: np.ndarray, wanted: str
) -> tuple[str, str]:
    """The format that fits most cells, and the reason where others fit some.

    Raises:
        DataError: two fit equally well and disagree, or the wanted one fits less than another.
    """
    weights = np.bincount(codes[codes >= 0], minlength=len(next(iter(readings.values()))))
    fits = {f: int(weights[times.notna().to_numpy()].sum()) for f, times in readings.items()}
    most = max(fits.values())
    best = [f for f in readings if fits[f] == most]
    known = next((f for f in readings if _order(f) == _order(wanted)), None)
    if known is not None:
        if fits[known] == most:
            return known, ""
        row = _row_where(readings[known].isna().to_numpy() & readings[best[0]].notna().to_numpy(), codes)
        raise DataError(
            f"{table.at(row, name)}: {table.shown(row, name)} is not {in_words(known)}, the format that was given or"
            f" trained on, but {in_words(best[0])}; write dates as year-month-day"
        )
    best = _without_far_fetched(best, readings, codes)
    for other in best[1:]:
        one, two = readings[best[0]], readings[other]
        apart = ((one != two) & one.notna() & two.notna()).to_numpy()
        first, second = ((one.notna() & two.isna()).to_numpy(), (two.notna() & one.isna()).to_numpy())
        if first.any() and second.any():
            rows = _row_where(first, codes), _row_where(second, codes)
            raise DataError(
                f"{table.at(rows[0], name)}: {table.shown(rows[0], name)} is {in_words(best[0])}, but"
                f" {table.shown(rows[1], name)} in row {rows[1] + 1} is {in_words(other)}; write all dates in one way"
            )
        if apart.any():
            row = _row_where(apart, codes)
            raise DataError(
                f"{table.at(row, name)}: {table.shown(row, name)} can be {in_words(best[0])} or {in_words(other)}, and"
                f" no row tells which; give --date-format '{best[0]}' or '{other}', or write dates as year-month-day"
            )
    others = [f for f in readings if f not in best and 0 < fits[f] < most]
    if others:
        row = _row_where(readings[others[0]].isna().to_numpy() & readings[best[0]].notna().to_numpy(), codes)
        return best[0], f", as {table.shown(row, name)} in row {row + 1} cannot be {in_words(others[0])}"
    return best[0], ""


def _order(way: str) -> str:
    """The order of a format's parts, without what stands between them."""
    return re.sub("[^a-z]", "", way.lower())


def _row_where(kinds: np.ndarray, codes: np.ndarray) -> int:
    """The first row whose date is among the marked ones."""
    return int(np.flatnonzero((codes >= 0) & kinds[codes])[0])


_LEAP = 86400 * 10**9
"""Nanoseconds by which years differ."""


def _without_far_fetched(best: list[str], readings: dict[str, pd.Series], codes: np.ndarray) -> list[str]:
    """Of formats that fit equally well, those that are left when year-first and year-last two-digit years compete.

    25/01/20 is a day of 2020 and one of 2025. Read in the wrong way days become years: the reading that is in the order
    of time, or spans less time by far, is the right one; not where both are in order with even steps.
    """
    first = [f for f in best if f.startswith("%y")]
    last = [f for f in best if f not in first]
    if not first or not last:
        return best

    def measured(formats: list[str]) -> tuple[bool, float, bool]:
        ordered, spans, even = False, [], False
        for f in formats:
            times = readings[f].to_numpy().astype("M8[ns]")[codes[codes >= 0]].astype(np.int64)
            steps = np.diff(times)
            ordered = ordered or bool((steps >= 0).all() or (steps <= 0).all())
            spans.append(float(times.max()) - float(times.min()) + 1)
            even = even or (bool(len(steps)) and float(np.ptp(np.abs(steps))) <= _LEAP)
        return ordered, min(spans), even

    (in_order, span, even), (other_in_order, other_span, other_even) = measured(first), measured(last)
    if in_order != other_in_order:
        return first if in_order else last
    if in_order and even and other_even:  # as the days of a month, or one day of several years
        return best
    if max(span, other_span) > 5 * min(span, other_span):
        return first if span < other_span else last
    return best


def _words(way: str) -> str:
    if " " in way and way.partition(" ")[0] in ("quarter", "week"):
        return f"{way.partition(' ')[0]}s, which stand at their first day"
    century = ", with years 69 to 99 as 1969 to 1999" if "%y" in way else ""
    return f"dates written {in_words(way)} ({way}){century}"


def _checked(
    table: ColumnTable, name: str, times: Any, notes: tuple[str, ...] = (), since: np.ndarray | None = None
) -> Timestamps:
    """As `datetime64[ns]`, with the rows that have none and those beyond what it holds.

    Args:
        table: the rows.
        name: the column.
        times: (N,), of whatever unit of time.
        notes: what is to be said.
        since: (N,) timedelta64[ns] to be added.
    """
    import pandas as pd

    values = np.asarray(times.to_numpy() if isinstance(times, pd.Series) else times)
    least, most = pd.Timestamp.min.year + 1, pd.Timestamp.max.year
    bad = np.isnat(values)
    beyond = ~bad & ((values < np.datetime64(str(least), "Y")) | (values >= np.datetime64(str(most), "Y")))
    unusable = np.flatnonzero(bad | beyond)
    texts = table.texts(name) if len(unusable) else np.empty(0)
    wrong = {}
    for row in unusable.tolist():
        what = "is no time" if bad[row] else f"is beyond the years {least} to {most - 1}"
        wrong[row] = f"'{name}' is empty" if is_missing(texts[row]) else f"{table.shown(row, name)} in '{name}' {what}"
    if len(unusable):
        values = np.where(bad | beyond, np.datetime64(0, "s"), values)
    values = values.astype("M8[ns]")
    return Timestamps(values if since is None else values + since, wrong, notes)
