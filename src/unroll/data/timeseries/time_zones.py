"""Time zones: instants, and what a zone's own clock shows of them.

A run whose times have a zone counts hours and shorter steps as instants, so that a day of 23 or 25 hours has no gap and
no row twice, and days, weeks and months on the zone's own clock, so that its midnights are regular. What people read,
and the calendar's cycles, are of the clock.
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
    """The name of a zone: one of the IANA data base, an offset such as +08:00, or UTC.

    Raises:
        OptionError: there is none of that name; the nearest is named.
    """
    if name.upper() in ("Z", "UTC", "GMT", "ETC/UTC", "ETC/GMT"):
        return UTC
    if found := _OFFSET.fullmatch(name):
        hours, minutes = int(found[2]), int(found[3] or 0)
        if hours < 24 and minutes < 60:
            return UTC if not hours and not minutes else f"{found[1]}{hours:02d}:{minutes:02d}"
    if name in _names():
        return name
    city = name.strip().lower().replace(" ", "_")
    near = next((zone for zone in sorted(_names()) if zone.lower().rpartition("/")[2] == city), "")
    hint = f"; did you mean '{near}'?" if near else nearest(name, _names())
    raise OptionError(f"time_zone is {name!r:.60}{hint or '; it must be such as Europe/Berlin, UTC or +08:00'}")


@cache
def _names() -> frozenset[str]:
    # "localtime" is another zone on another machine
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}


def name_of(zone: datetime.tzinfo) -> str:
    """The canonical name of a zone of a column of times; "" for one that has none."""
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
    """How far ahead of UTC the clock of an offset such as +08:00 is."""
    return np.timedelta64(_tz(zone).utcoffset(None), "ns")


def to_local(instants: np.ndarray, zone: str) -> np.ndarray:
    """What the zone's clock shows at instants in UTC, (N,) datetime64[ns] both."""
    return _plain(_aware(instants, zone).tz_localize(None))


def to_instants(local: np.ndarray, zone: str) -> np.ndarray:
    """When the zone's clock shows these times: the first time of two, the next there is for one that it never shows."""
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
    """What the clock shows at the days of a series (N,), each at the time of day that most of them have.

    A day whose clocks went forward past that time, as at midnight in Sao Paulo, has a row at the next time there was.
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
    """When the zone's clock showed the times of one series (N,), in the order of its rows.

    Where the clock went back, rows in the order of time tell the first time that it showed an hour from the second.

    Returns:
        The instants, and for each position that has none, or might have either of two, what is wrong.
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
    """The zone of times, given those that they are written in.

    Args:
        found: the zones that the times are written in, none where they are written without any.
        zone: that of the option, or of the training.
        assumed: whether times without a zone are taken to be in it.
        trained: whether it is that of the training.
        what: what to call the column in messages.
        first: one of the times, as an example.

    Returns:
        The zone, whether times without one are taken to be in it, and what is to be said.

    Raises:
        DataError: the times are written in another way than can be used.
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
    """How the stamps of a run are counted, and what people read of them.

    Stamps of a run without a zone, and whole numbers, are what they are.

    Attributes:
        zone: canonical name; "" for none.
        days: whether stamps are days or longer apart: then they are times on the zone's clock, else instants in UTC.
    """

    zone: str = ""
    days: bool = False

    def count(self, instants: np.ndarray) -> np.ndarray:
        """The stamps of a series at instants in UTC, (N,) both."""
        return on_the_clock(instants, self.zone) if self.zone and self.days else instants

    def local(self, stamps: np.ndarray) -> np.ndarray:
        """What the clock shows at stamps (N,)."""
        if not self.zone or self.days or stamps.dtype.kind != "M":
            return stamps
        return to_local(stamps, self.zone)

    def stamp(self, local: np.datetime64) -> np.datetime64:
        """The stamp at which the clock first shows a time."""
        return local if not self.zone or self.days else to_instants(np.array([local]), self.zone)[0]

    def column(self, stamps: np.ndarray) -> np.ndarray | pd.DatetimeIndex:
        """Stamps (N,) as a column of a DataFrame has them: with the zone, if there is one."""
        if not self.zone or stamps.dtype.kind != "M":
            return stamps
        return _aware(to_instants(stamps, self.zone) if self.days else stamps, self.zone)

    def texts(self, stamps: np.ndarray) -> list[str]:
        """Stamps (N,), of a run with a zone, in ISO 8601 with the offset from UTC."""
        return [time.isoformat() for time in cast("Iterable[pd.Timestamp]", self.column(stamps))]

    def format_timestamp(self, stamp: Any) -> str:
        """A stamp for a person: no more digits than it needs, and the offset from UTC where stamps are instants."""
        if not self.zone or not isinstance(stamp, np.datetime64):
            return format_timestamp(stamp)
        one = np.array([stamp])
        text = format_timestamp(self.local(one)[0])
        if self.days:
            return text
        return text + ("" if ":" in text else " 00:00") + self.texts(one)[0][-6:]
