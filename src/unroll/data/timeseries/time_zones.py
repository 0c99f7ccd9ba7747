"""Convert between UTC instants and local times of a time zone.

A run with a time zone counts hours and shorter steps as instants, so that a day of 23 or 25 hours has neither gaps nor
duplicate rows, and days, weeks and months in local time, so that midnights are regular. Displayed times and calendar
features are in local time.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from unroll.data.timeseries.missing import format_timestamp
from unroll.errors import DataError, OptionError, nearest

if TYPE_CHECKING:
    import pandas as pd

UTC = "UTC"
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_HOUR = np.timedelta64(3600 * 10**9, "ns")


def canonical(name: str) -> str:
    """Normalize the name of a time zone: an IANA name, an offset such as +08:00, or UTC.

    Raises:
        OptionError: there is no such zone; the message suggests the nearest.
    """
    if name.upper() in ("Z", "UTC", "GMT", "ETC/UTC", "ETC/GMT"):
        return UTC
    if offset := _OFFSET.fullmatch(name):
        hours, minutes = int(offset[2]), int(offset[3] or 0)
        if hours < 24 and minutes < 60:
            return UTC if not hours and not minutes else f"{offset[1]}{hours:02d}:{minutes:02d}"
    if name in _names():
        return name
    city = name.strip().lower().replace(" ", "_")
    near = next((zone for zone in sorted(_names()) if zone.lower().rpartition("/")[2] == city), "")
    hint = f"; did you mean '{near}'?" if near else nearest(name, _names())
    raise OptionError(f"time_zone is {name!r:.60}{hint or '; it must be such as Europe/Berlin, UTC or +08:00'}")


@cache
def _names() -> frozenset[str]:
    # "localtime" differs between machines
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}


def name_of(zone: datetime.tzinfo) -> str:
    """Return the canonical name of a `tzinfo`; "" for one that has none."""
    offset = zone.utcoffset(None)
    file = str(getattr(zone, "_filename", "")).partition("zoneinfo/")[2]  # dateutil's zones know only their file
    for name in (getattr(zone, "key", None), getattr(zone, "zone", None), file, _offset_name(offset)):
        try:
            if name:
                return canonical(str(name))
        except OptionError:
            continue
    return ""


def _offset_name(offset: datetime.timedelta | None) -> str:
    if offset is None or offset.total_seconds() % 60:
        return ""
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _tz(zone: str) -> datetime.tzinfo:
    if zone == UTC:
        return datetime.UTC
    if found := _OFFSET.fullmatch(zone):
        size = datetime.timedelta(hours=int(found[2]), minutes=int(found[3]))
        return datetime.timezone(-size if found[1] == "-" else size)
    return zoneinfo.ZoneInfo(zone)


def offset_of(zone: str) -> np.timedelta64:
    """Return the difference from UTC of an offset such as +08:00."""
    return np.timedelta64(_tz(zone).utcoffset(None), "ns")


def to_local(instants: np.ndarray, zone: str) -> np.ndarray:
    """Convert UTC instants to local times, (N,) datetime64[ns] both."""
    return _plain(_aware(instants, zone).tz_localize(None))


def to_instants(local: np.ndarray, zone: str) -> np.ndarray:
    """Convert local times to UTC instants: the first if ambiguous, the next valid one for nonexistent times."""
    first = np.ones(len(local), dtype=bool)
    index = _index(local).tz_localize(_tz(zone), ambiguous=first, nonexistent="shift_forward")
    return _plain(index.tz_convert(None))


def _aware(instants: np.ndarray, zone: str) -> pd.DatetimeIndex:
    return _index(instants).tz_localize(UTC).tz_convert(_tz(zone))


def _index(stamps: np.ndarray) -> pd.DatetimeIndex:
    import pandas as pd

    return pd.DatetimeIndex(stamps.astype("datetime64[ns]"))


def _plain(index: pd.DatetimeIndex) -> np.ndarray:
    return index.to_numpy().astype("datetime64[ns]")


def on_the_clock(instants: np.ndarray, zone: str) -> np.ndarray:
    """Convert instants of a daily series to local times (N,), each at the series' usual time of day.

    Where a clock change skips that time, as at midnight in Sao Paulo, the row at the next valid time is moved to it.
    """
    local = to_local(instants, zone)
    days = local.astype("datetime64[D]")
    times = local - days
    kinds, counts = np.unique(times, return_counts=True)
    usual = kinds[counts.argmax()] if len(times) > 1 else np.timedelta64(0, "ns")
    odd = np.flatnonzero(times != usual)
    if len(odd):
        wanted = days[odd] + usual
        next_one = to_instants(wanted, zone)
        never = to_local(next_one, zone) != wanted
        here = never & ((next_one == instants[odd]) | (local[odd] - wanted == _HOUR))
        local[odd[here]] = wanted[here]
    return local


def told_apart(local: np.ndarray, zone: str) -> tuple[np.ndarray, dict[int, str]]:
    """Convert local times of one series (N,) to UTC instants, using the order of its rows.

    Where the clock went back, the order of rows tells the first occurrence of an hour from the second.

    Returns:
        The instants, and what is wrong at each position with no instant or two possible ones.
    """
    index, tz = _index(local), _tz(zone)
    first = index.tz_localize(tz, ambiguous=np.ones(len(local), dtype=bool), nonexistent="NaT").tz_convert(None)
    second = index.tz_localize(tz, ambiguous=np.zeros(len(local), dtype=bool), nonexistent="NaT").tz_convert(None)
    early, late = _plain(first), _plain(second)
    never = np.isnat(early)
    twice = ~never & (early != late)
    wrong = dict.fromkeys(
        np.flatnonzero(never).tolist(), f"was never on the clock of {zone}, which went forward past it"
    )
    if not twice.any():
        return early, wrong
    steps = np.diff(local).astype(np.int64)
    backwards = int((steps < 0).sum()) > int((steps > 0).sum())
    order = np.arange(len(local))[::-1] if backwards else np.arange(len(local))
    falls = np.append(False, np.diff(local[order]).astype(np.int64) <= 0)
    within = twice[order] & np.append(False, twice[order][:-1])
    sorted_else = not (falls & ~within).any()
    starts = np.flatnonzero(twice[order] & ~within)
    for start in starts.tolist():
        stop = start + 1
        while stop < len(order) and within[stop]:
            stop += 1
        fall = np.flatnonzero(falls[start:stop])
        rows = order[start:stop]
        if sorted_else and len(fall) == 1:
            early[rows[fall[0] :]] = late[rows[fall[0] :]]
            continue
        for row in rows.tolist():
            wrong[row] = (
                f"was on the clock of {zone} twice, as it went back, and the rows do not tell which is meant; write it"
                " with its offset from UTC"
            )
    return early, wrong


def settled(
    found: Sequence[str], zone: str, assumed: bool, trained: bool, what: str, first: str
) -> tuple[str, bool, tuple[str, ...]]:
    """Determine the time zone of a column from the data and the options.

    Args:
        found: the zones in the data, none for times without a zone.
        zone: from the option, or from the training data.
        assumed: whether times without a zone are assumed to be in it.
        trained: whether `zone` is from the training data.
        what: name of the column in messages.
        first: one of the times, as an example.

    Returns:
        The zone, whether times without one are assumed to be in it, and notes.

    Raises:
        DataError: the zones in the data do not match the training data, or differ without a zone to convert to.
    """
    if trained and not zone and found:
        raise DataError(
            f"{what} has the time zone {_listed(found)} ({first}), but the times of the training had none; write them"
            " without one, or train with --time-zone"
        )
    if trained and zone and not found and not assumed:
        raise DataError(
            f"{what} has no time zone ({first}), but the times of the training are in {zone}; write them with it, or"
            f" train with --time-zone {zone}, which takes times without one to be in it"
        )
    if not zone and len(found) > 1:
        raise DataError(
            f"{what} has the time zones {_listed(found)}, as a place with summer time writes them; name the place with"
            " --time-zone, such as Europe/Berlin, or give --time-zone UTC"
        )
    if not zone:
        note = (f"the times of {what} are in zone {found[0]}",) if found else ()
        return "".join(found), False, note
    if not found:
        return zone, assumed, () if trained else (f"the times of {what} are taken to be in zone {zone}",)
    of = ", the zone of the training" if trained else ""
    note = (f"the times of {what} have the zone {_listed(found)} and are converted to {zone}{of}",)
    return zone, assumed, () if tuple(found) == (zone,) else note


def _listed(zones: Sequence[str]) -> str:
    return " and ".join(zones[:2]) + (", ..." if len(zones) > 2 else "")


@dataclass(frozen=True)
class Clock:
    """Convert between UTC instants, the stamps of a run, and local times.

    Stamps of a run without a zone, and whole numbers, are unchanged.

    Attributes:
        zone: canonical name; "" for none.
        days: whether stamps are days or longer apart: then they are times on the zone's clock, else instants in UTC.
    """

    zone: str = ""
    days: bool = False

    def count(self, instants: np.ndarray) -> np.ndarray:
        """Convert UTC instants to the stamps of a series, (N,) both."""
        return on_the_clock(instants, self.zone) if self.zone and self.days else instants

    def local(self, stamps: np.ndarray) -> np.ndarray:
        """Convert stamps (N,) to local times."""
        if not self.zone or self.days or stamps.dtype.kind != "M":
            return stamps
        return to_local(stamps, self.zone)

    def stamp(self, local: np.datetime64) -> np.datetime64:
        """Convert a local time to a stamp, the first of two if ambiguous."""
        return local if not self.zone or self.days else to_instants(np.array([local]), self.zone)[0]

    def column(self, stamps: np.ndarray) -> np.ndarray | pd.DatetimeIndex:
        """Convert stamps (N,) to a DataFrame column, with the time zone if there is one."""
        if not self.zone or stamps.dtype.kind != "M":
            return stamps
        return _aware(to_instants(stamps, self.zone) if self.days else stamps, self.zone)

    def texts(self, stamps: np.ndarray) -> list[str]:
        """Format stamps (N,) of a run with a zone in ISO 8601 with the offset from UTC."""
        return [time.isoformat() for time in cast("Iterable[pd.Timestamp]", self.column(stamps))]

    def format_timestamp(self, stamp: Any) -> str:
        """Format a stamp with no more digits than needed, and with the offset from UTC where stamps are instants."""
        if not self.zone or not isinstance(stamp, np.datetime64):
            return format_timestamp(stamp)
        one = np.array([stamp])
        text = format_timestamp(self.local(one)[0])
        if self.days:
            return text
        return text + ("" if ":" in text else " 00:00") + self.texts(one)[0][-6:]
