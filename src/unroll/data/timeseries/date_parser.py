"""Parse written times into a date, a time of day and a time zone.

    12-Feb-21            02/12/2021 3:05 PM     2020-W05-3          Mon, 03 Feb 2020 12:00:00 GMT
    20200203T1200Z       2020年1月2日            Q1 2020             2020-02-03 12-AM

Month names are English, in full or short. Two-digit years 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068, as in
POSIX. 24:00 is the end of its day.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from unroll.data import numbers

_MISSING = numbers.MISSING | {"-"}

READ = "2020-02-25, 25/02/2020, 02/25/20, 25-Feb-20, 25 Feb 2020, 2020-02, Feb 2020, 2020-W09, 2020Q1, 20200225"
"""Examples of readable dates, for messages; all except months, weeks and quarters may have a time of day."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH_NAMES = {**{m: m for m in _MONTHS}, **dict(zip(_FULL, _MONTHS, strict=True)), "sept": "sep"}

_WEEKDAY = r"(?:mon|tues?|wed|thur?s?|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_WEEKDAY_FIRST = re.compile(rf"^\(?{_WEEKDAY}\b\.?\)?[,\s]*")
_WEEKDAY_LAST = re.compile(rf"[,\s]*\(?\b{_WEEKDAY}\)?$")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
_WORD = re.compile(r"[a-z]{3,9}\.?")
_SPACES = re.compile(r"[\s\u00a0\u202f]+")
_CJK_DATE = re.compile(r"(\d{4})[年년]\s?(\d{1,2})[月월](?:\s?(\d{1,2})[日号일])?")
_CJK_CLOCK = re.compile(r"(\d{1,2})[时時点시](?:\s?(\d{1,2})[分분](?:\s?(\d{1,2})[秒초])?)?")

_ZONE = r"(?P<zone>z|utc|gmt|(?:utc|gmt)?[+-]\d{2}(?::?\d{2})?)?"
_COLONS = r"(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?:[.,:](?P<f>\d{1,9}))?)?"
_HALF = r"(?P<half>[ap]\.?m\.?)"
# The format of most files; the other patterns would give the same parts, more slowly.
_ISO = re.compile(rf"(?P<date>\d{{4}}-\d{{2}}(?:-\d{{2}})?)(?:[t ]{_COLONS}\s?{_ZONE})?", re.IGNORECASE | re.ASCII)
_CLOCK_LAST = re.compile(rf"(?P<date>.*?)(?:(?<=\d)t|[\s,_-]+){_COLONS}(?:\s?{_HALF})?\s?{_ZONE}")
_CLOCK_INSIDE = re.compile(rf"(?P<date>.*?[a-z].*?)\s{_COLONS}\s?{_ZONE}\s(?P<year>\d{{4}})")
_CLOCK_FIRST = re.compile(rf"{_COLONS}(?:\s?{_HALF})?[\s,]+(?P<date>\d.*)")
_HOUR_LAST = re.compile(rf"(?P<date>.*?)[\s,_-]+(?P<h>\d{{1,2}})\s?{_HALF}\s?{_ZONE}")
_COMPACT = re.compile(
    r"(?P<date>\d{8}|\d{4}-\d{2}-\d{2})[t ](?P<h>\d{2})(?:(?P<m>\d{2})(?:(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    + _ZONE
)
_SECOND = 10**9
_HYPHEN = re.compile(rf"-(?={_HALF}$)")
_CLOCK_ONLY = re.compile(rf"{_COLONS}(?:\s?{_HALF})?")


def is_missing(text: str | None) -> bool:
    """Tell whether a cell of a time column is missing: null, or a word for it."""
    return text is None or text.lower() in _MISSING


@dataclass(frozen=True)
class Written:
    """Hold the parts of a written time.

    Attributes:
        date: normalized, for `canonical_date` and `date_formats`.
        nanoseconds: since the start of the day.
        zone: as written, in upper case; "" for none.
        clock: whether there is a time of day.
    """

    date: str
    nanoseconds: int = 0
    zone: str = ""
    clock: bool = False


def take_apart(text: str) -> Written | None:
    """Split a written time into its parts; None where the text cannot be one."""
    if match := _ISO.fullmatch(text):
        return _parts(match) if match["h"] else Written(text)
    text = _SPACES.sub(" ", text.strip().lower())
    if not any(c.isdigit() for c in text):
        return None
    if not text.isascii():
        text = _CJK_DATE.sub(lambda m: "-".join(part for part in m.groups() if part) + " ", text)
        text = _CJK_CLOCK.sub(lambda m: ":".join([m[1], m[2] or "00", *([m[3]] if m[3] else [])]), text).strip()
    text = _HYPHEN.sub(" ", text)
    for pattern in (_CLOCK_LAST, _COMPACT, _CLOCK_INSIDE, _HOUR_LAST, _CLOCK_FIRST):
        if match := pattern.fullmatch(text):
            return _parts(match)
    date = _spelled(text)
    return Written(date) if date else None


def _parts(match: re.Match[str]) -> Written | None:
    """Convert the match of a pattern with a time of day; None where there is no such time."""
    parts = match.groupdict()
    since = _nanoseconds(parts)
    date = parts["date"] if match.re is _ISO else _spelled(" ".join(filter(None, (parts["date"], parts.get("year")))))
    if since is None or not date:
        return None
    return Written(date, since, (parts.get("zone") or "").upper(), True)


def is_clock(text: str) -> bool:
    """Tell whether the text is only a time of day, such as 17:24:00 or 5:24 PM."""
    found = _CLOCK_ONLY.fullmatch(_SPACES.sub(" ", text.strip().lower()))
    return found is not None and _nanoseconds(found.groupdict()) is not None


def _nanoseconds(parts: dict[str, str | None]) -> int | None:
    """Compute the time of day in nanoseconds; None where there is no such time."""
    hour, minute, second = (int(parts.get(name) or 0) for name in "hms")
    half = parts.get("half")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half[0] == "p" else 0)
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second)):
        return None
    return (hour * 3600 + minute * 60 + second) * _SECOND + int((parts.get("f") or "").ljust(9, "0"))


@functools.lru_cache(maxsize=1024)
def _spelled(date: str) -> str:
    """Normalize a date: no weekday, commas or ordinals, months of three letters."""
    date = _WEEKDAY_FIRST.sub("", date.strip(" ,"))
    date = _WEEKDAY_LAST.sub("", date)
    date = _ORDINAL.sub("", date).replace(",", " ")
    date = _WORD.sub(lambda m: _MONTH_NAMES.get(m[0].rstrip("."), m[0]), date)
    return _SPACES.sub(" ", date).strip(" -")


_SHAPES: tuple[tuple[re.Pattern[str], Callable[[str], tuple[str, ...]]], ...] = tuple(
    (re.compile(pattern), formats)
    for pattern, formats in (
        (r"\d{4}([-/. ])\d{1,2}\1\d{1,2}", lambda s: (f"%Y{s}%m{s}%d",)),
        (r"\d{1,2}([-/ ])\d{1,2}\1\d{4}", lambda s: (f"%d{s}%m{s}%Y", f"%m{s}%d{s}%Y")),
        (r"\d{1,2}(\.)\d{1,2}\.\d{4}", lambda s: ("%d.%m.%Y",)),
        (r"\d{1,2}([-/])\d{1,2}\1\d{2}", lambda s: (f"%d{s}%m{s}%y", f"%m{s}%d{s}%y")),
        (r"\d{1,2}(\.)\d{1,2}\.\d{2}", lambda s: ("%d.%m.%y",)),
        (r"\d{2}([-/.])\d{1,2}\1\d{1,2}", lambda s: (f"%y{s}%m{s}%d",)),
        (r"()\d{8}", lambda s: ("%Y%m%d",)),
        (r"\d{4}([-/ ])\d{1,2}", lambda s: (f"%Y{s}%m",)),
        (r"\d{4}(\.)\d{2}", lambda s: ("%Y.%m",)),
        (r"()\d{4}m\d{1,2}", lambda s: ("%Ym%m",)),
        (r"\d{1,2}([-/.])\d{4}", lambda s: (f"%m{s}%Y",)),
        (r"()\d{4}-\d{3}", lambda s: ("%Y-%j",)),
        (r"\d{1,2}([-/. ]?)[a-z]{3}\1\d{4}", lambda s: (f"%d{s}%b{s}%Y",)),
        (r"\d{1,2}([-/. ]?)[a-z]{3}\1\d{2}", lambda s: (f"%d{s}%b{s}%y",)),
        (r"[a-z]{3}([-/. ])\d{1,2}\1\d{4}", lambda s: (f"%b{s}%d{s}%Y",)),
        (r"[a-z]{3}([-/. ])\d{1,2}\1\d{2}", lambda s: (f"%b{s}%d{s}%y",)),
        (r"\d{4}([-/. ]?)[a-z]{3}\1\d{1,2}", lambda s: (f"%Y{s}%b{s}%d",)),
        (r"[a-z]{3}([-/. ]?)\d{4}", lambda s: (f"%b{s}%Y",)),
        (r"\d{4}([-/. ]?)[a-z]{3}", lambda s: (f"%Y{s}%b",)),
        (r"[a-z]{3}([-/'])\d{2}", lambda s: (f"%b{s}%y",)),
    )
)
_QUARTER = re.compile(
    r"(?P<y>\d{4})[-: /]?q(?P<q>[1-4])|(?:q(?P<q2>[1-4])|(?P<q3>[1-4])q)[-: /]?(?P<y2>\d{4})"
    r"|q(?P<q4>[1-4])[-' /](?P<y3>\d{2})"
)
_WEEK = re.compile(r"(?P<y>\d{4})[- ]?w(?P<w>\d{2})(?:-?(?P<d>[1-7]))?|w(?P<w2>\d{1,2})[- /](?P<y2>\d{4})")
QUARTERS, WEEKS = "quarter %Y-%m", "week %G-%V-%u"
"""The formats of quarters and weeks, as `canonical_date` writes them."""


def canonical_date(date: str) -> str:
    """Convert a date for the formats of `date_formats`: quarters to their first month, weeks to their first day."""
    if match := _QUARTER.fullmatch(date):
        year = match["y"] or match["y2"] or str((1900 if int(match["y3"]) > 68 else 2000) + int(match["y3"]))
        quarter = int(match["q"] or match["q2"] or match["q3"] or match["q4"])
        return f"quarter {year}-{3 * quarter - 2:02d}"
    if match := _WEEK.fullmatch(date):
        return f"week {match['y'] or match['y2']}-{int(match['w'] or match['w2']):02d}-{match['d'] or 1}"
    return date


def date_formats(date: str) -> tuple[str, ...]:
    """List the strptime formats that may fit a canonical date."""
    for kind in (QUARTERS, WEEKS):
        if date.startswith(kind.partition(" ")[0] + " "):
            return (kind,)
    formats: list[str] = []
    for shape, ways in _SHAPES:
        if found := shape.fullmatch(date):
            formats += ways(found[1])
    return tuple(formats)


def in_words(way: str) -> str:
    """Describe a format in a message: %d/%m/%y is day/month/year."""
    for kind in (QUARTERS, WEEKS):
        if way == kind:
            return kind.partition(" ")[0]
    if re.search(r"%[a-zA-Z]%", way):
        short = {"%d": "dd", "%m": "mm", "%b": "mon", "%Y": "yyyy", "%y": "yy", "%H": "hh", "%M": "mm", "%S": "ss"}
        return re.sub("%[a-zA-Z]", lambda m: short.get(m[0], m[0]), way)
    words = {
        "%d": "day",
        "%m": "month",
        "%b": "month",
        "%Y": "year",
        "%y": "year",
        "%j": "day of the year",
        "%H": "hour",
    }
    words |= {"%M": "minute", "%S": "second"}
    return re.sub("%[a-zA-Z]", lambda m: words.get(m[0], m[0]), way)
