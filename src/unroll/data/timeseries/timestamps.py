"""Parse a column of timestamps to `datetime64[ns]` or whole numbers.

The date format is detected from the whole column; if day and month could be swapped in every row, this is an error, not
a guess.
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
"""What whole numbers may be: only steps; steps or times; or also spreadsheet serial days."""


@dataclass(frozen=True)
class Timestamps:
    """Hold a parsed column of times.

    Attributes:
        values: (N,) datetime64[ns] or int64; undefined in wrong rows.
        wrong: position -> what is wrong with the cell.
        notes: how cells were read, where that is not obvious.
        zones: the time zones in the cells, by first appearance; if there are any, values are
            instants in UTC.
        format: strptime format of the dates; "" for ISO 8601 and cells that are not text.
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
        date_format: strptime format, of whole cells or of the dates in them.
        numbers: what whole numbers may be.

    Raises:
        DataError: day and month are ambiguous, some times have a time zone and some do not, or dates do not match
            `date_format`.
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
    """Tell whether more than half of the texts (N,) that are not empty are times, other than numbers."""
    some = [text for text in texts if not is_missing(text)]
    written = [take_apart(text) for text in some if _NUMBER.fullmatch(text) is None]
    return sum(bool(one and date_formats(canonical_date(one.date))) for one in written) * 2 > len(some)


def _as_given(table: ColumnTable, name: str, texts: np.ndarray, way: str) -> Timestamps | None:
    """Parse texts with a format of whole cells; None where it does not fit any of them."""
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
    """Convert texts to numbers: int64 where all of them are whole, else float64 with NaN for other texts."""
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
    """Convert numbers to times, or to whole steps."""
    converted = None if kind == "steps" else numeric_dates.as_times(values, serial=kind == "dates")
    if converted is not None:
        return _checked(table, name, converted.values, (f"column '{name}' was read as {converted.how}",))
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
    """Parse texts as times: one date format for all, and any time of day in each.

    `given` is the result of the wanted format for whole cells, if it fits some.
    """
    import pandas as pd

    since = np.zeros(len(texts), dtype="timedelta64[ns]")
    offsets = np.zeros(len(texts), dtype="timedelta64[ns]")
    written = [take_apart(text) if text is not None else None for text in texts]
    codes, dates = pd.factorize(pd.Series([one and one.date for one in written], dtype=object))
    kinds = [canonical_date(date) for date in dates]
    formats = [date_formats(date) for date in kinds]
    # A date that has no format of its own is invalid, even if the format of another date would parse it.
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


def _same_kind_of_zone(table: ColumnTable, name: str, row: int, zone: str, zones: dict[str, str]) -> str:
    """Return the zone of a cell; either all cells have a zone or none has."""
    if zones and (zone == "") != ("" in zones):
        has, have = ("has no time zone", "have one") if zone == "" else (f"has the time zone {zone}", "have none")
        raise DataError(
            f"{table.at(row, name)}: {table.shown(row, name)} {has}, but the rows before {have}; write all times in"
            " one way"
        )
    if zone not in zones:
        zones[zone] = canonical(zone) if zone else ""
    return zones[zone]


def _choose(
    table: ColumnTable, name: str, readings: dict[str, pd.Series], codes: np.ndarray, wanted: str
) -> tuple[str, str]:
    """Choose the format that fits most cells; also return the reason where others fit some.

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
    """Return the order of a format's parts, without separators."""
    return re.sub("[^a-z]", "", way.lower())


def _row_where(kinds: np.ndarray, codes: np.ndarray) -> int:
    """Return the first row with a date among the marked ones."""
    return int(np.flatnonzero((codes >= 0) & kinds[codes])[0])


_LEAP = 86400 * 10**9
"""Nanoseconds by which years differ."""


def _without_far_fetched(best: list[str], readings: dict[str, pd.Series], codes: np.ndarray) -> list[str]:
    """Choose between year-first and year-last formats with two-digit years that fit equally well.

    25/01/20 is a day of 2020 or of 2025. In the wrong format days become years: the right one is in order of time, or
    spans far less time; this cannot be decided where both are in order with even steps.
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
    """Convert to `datetime64[ns]`, and find rows without a time or out of its range.

    Args:
        table: the rows.
        name: the column.
        times: (N,), of any time unit.
        notes: notes for the user.
        since: (N,) timedelta64[ns] to add.
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
