"""Parse numbers: decimal point or comma, thousands separators, any minus sign.

The notation of a column is detected from all its cells, and does not change the value: `1.234,5` and `1234.5` are the
same float64.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from unroll.data.options import Decimal
from unroll.data.values import is_missing
from unroll.errors import DataError

Mark = Literal["point", "comma"]

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nat", "<na>"})
"""Words for a missing number, in lower case; upper case is accepted too."""

_SPACES = " \u00a0\u2007\u2009\u202f"
_EXPONENT = r"(?:[eE][+-]?\d+)?"


def _grammar(point: str, group: str) -> str:
    """Build the pattern of a number: `point` is the decimal mark, `group` the allowed thousands separators."""
    grouped = rf"[1-9]\d{{0,2}}(?P<g>[{group}])\d{{3}}(?:(?P=g)\d{{3}})*"
    return rf"(?:{grouped}|\d+)(?:{point}\d+)?|{point}\d+"


_NO_POINTS = f"'\u2019{_SPACES}"
_INDIAN = r"[1-9]\d?(?:,\d\d)+,\d{3}(?:[.]\d+)?"
_POINT = re.compile(rf"[+-]?(?:{_grammar('[.]', ',' + _NO_POINTS)}|\d+[.]|{_INDIAN}){_EXPONENT}", re.ASCII)
_COMMA = re.compile(rf"[+-]?(?:{_grammar(',', '.' + _NO_POINTS)}){_EXPONENT}", re.ASCII)
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}([.,])\d{3}", re.ASCII)
_PLAIN = re.compile(r"[\d.eE+\-\s]*", re.ASCII)
_GROUPS = re.compile(f"[{_NO_POINTS}]")
_DECORATED = re.compile(
    r"(?:[$€£¥₹₩]|(?:USD|EUR|GBP|JPY|CNY|CHF|Rs\.?)\s)?\s*[+\-\u2212]?\s*[$€£¥₹₩]?\s*\d[\d.,'\u2019\s]*"
    r"(?:\s*(?:[%‰$€£¥₹₩元円]|USD|EUR|GBP|JPY|CNY|CHF)|[KMB])?"
)


@dataclass(frozen=True)
class NumericColumn:
    """Hold a column parsed as numbers.

    Attributes:
        values: (N,) float64, NaN where a cell is empty or no number.
        empty: (N,) bool, cells without a value.
        wrong: positions of cells that hold something else than a finite number.
        note: how the numbers are written, if not plainly.
        doubt: an ambiguous cell, one that can be read as two different numbers; "" where there is none.
        decorated: a cell that is a number with something around it, in a column of such cells; else "".
    """

    values: np.ndarray
    empty: np.ndarray
    wrong: np.ndarray
    note: str = ""
    doubt: str = ""
    decorated: str = ""

    @property
    def numeric(self) -> bool:
        """Whether this is a numeric column: more than half of its cells with a value are numbers."""
        filled = int((~self.empty).sum())
        return len(self.wrong) * 2 < filled


def number(text: str, mark: Mark = "point") -> float | None:
    """Parse one finite number with this decimal mark; None if the text is not one."""
    text = text.strip().replace("\u2212", "-")
    if not (_POINT if mark == "point" else _COMMA).fullmatch(text):
        return None
    text = _GROUPS.sub("", text)
    text = text.replace(",", "") if mark == "point" else text.replace(".", "").replace(",", ".")
    value = float(text)
    return value if np.isfinite(value) else None


def evidence(texts: Iterable[str]) -> tuple[int, int]:
    """Count texts that are numbers only with a decimal point, and those that are numbers only with a decimal comma."""
    points = commas = 0
    for text in texts:
        text = text.strip().replace("\u2212", "-")
        if "." in text or "," in text:
            point, comma = _POINT.fullmatch(text), _COMMA.fullmatch(text)
            points += bool(point and not comma)
            commas += bool(comma and not point)
    return points, commas


def read_numbers(
    cells: Sequence[Any], decimal: Decimal = "auto", others: Iterable[Sequence[Any]] = ()
) -> NumericColumn:
    """Read cells, texts or values, as numbers; booleans are 1 and 0.

    Args:
        cells: of one column.
        decimal: the `decimal` option, for texts.
        others: the cells of the other columns, which decide the mark where these allow both.
    """
    values = np.full(len(cells), np.nan)
    empty = np.zeros(len(cells), dtype=bool)
    texts: dict[int, str] = {}
    for i, cell in enumerate(cells):
        if isinstance(cell, str):
            text = cell.strip()
            if text.lower() in MISSING:
                empty[i] = True
            else:
                texts[i] = text
        elif is_missing(cell):
            empty[i] = True
        else:
            with suppress(TypeError, ValueError, OverflowError):
                values[i] = as_float(cell)
    note, doubt, decorated = "", "", ""
    if texts:
        numbers = _plain(list(texts.values())) if decimal == "auto" else None
        if numbers is None:
            mark, note, doubt = _mark(list(texts.values()), decimal, others)
            numbers = [number(text, mark) for text in texts.values()]
        values[list(texts)] = [np.nan if value is None else value for value in numbers]
        wrong = [text for text, value in zip(texts.values(), numbers, strict=True) if value is None]
        decorated = _decorated(wrong, len(texts))
    finite = np.isfinite(values)
    return NumericColumn(
        np.where(finite, values, np.nan), empty, np.flatnonzero(~finite & ~empty), note, doubt, decorated
    )


def as_float(value: Any) -> float:
    """Convert a value to float; a text is read with a decimal point.

    Raises:
        ValueError, TypeError, OverflowError: it is no number.
    """
    if isinstance(value, str):
        parsed = number(value)
        if parsed is None:
            raise ValueError("no number")
        return parsed
    if isinstance(value, complex | np.complexfloating | bytes | np.datetime64 | np.timedelta64):
        raise TypeError("no number")  # NumPy would leave an imaginary part out, and count days
    return float(value)


def read_targets(values: Sequence[Any], decimal: Decimal, where: str) -> tuple[list[Any], str]:
    """Convert the texts among target values to numbers, as CSV files have them; texts that are not numbers stay.

    Args:
        values: of one column.
        decimal: the `decimal` option.
        where: the column, for messages.

    Returns:
        The values, and a note on how the numbers are written ("" where plainly).

    Raises:
        DataError: the texts are ambiguous.
    """
    at = [i for i, value in enumerate(values) if isinstance(value, str)]
    column = read_numbers([values[i] for i in at], decimal)
    if column.doubt:
        raise DataError(f"{where}: {doubtful(column.doubt)}")
    read = list(values)
    for i, one in zip(at, column.values.tolist(), strict=True):
        if one == one:
            read[i] = one
    return read, column.note


def doubtful(cell: str) -> str:
    """Return the message for a column with an ambiguous cell."""
    return (
        f"{cell} may be a number with a decimal comma or one with digits in groups, and no cell tells which; give "
        "--decimal comma or --decimal point"
    )


def _plain(texts: list[str]) -> list[float | None] | None:
    """Parse the texts if all are plain numbers and the decimal mark is not in doubt; else return None."""
    if not _PLAIN.fullmatch(" ".join(texts)):
        return None
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return None
    pointed = [text for text in texts if "." in text]
    if pointed and all(_EITHER.fullmatch(text) for text in pointed):
        return None
    return [value if np.isfinite(value) else None for value in values]


def _mark(texts: list[str], decimal: Decimal, others: Iterable[Sequence[Any]]) -> tuple[Mark, str, str]:
    """Detect the decimal mark; also return a note on it, and an ambiguous cell if any."""
    points, commas = evidence(texts)
    either = {match[1]: text for text in reversed(texts) if (match := _EITHER.fullmatch(text.replace("\u2212", "-")))}
    shown = next((text for text in texts if number(text, "comma") is not None and "," in text), "")
    if decimal != "auto":
        return decimal, "", ""
    if points or commas:
        mark: Mark = "point" if points >= commas else "comma"
        return mark, _note(mark, texts), ""
    if not either:
        return "point", _note("point", texts), ""
    apart = [evidence(cell for cell in column if isinstance(cell, str)) for column in others]
    elsewhere = {"comma" if c else "point" for p, c in apart if bool(p) != bool(c)}
    if len(elsewhere) == 1:
        mark = "comma" if "comma" in elsewhere else "point"
        return mark, _note(mark, texts, " as other columns show"), ""
    if "," not in either:
        return "point", "", ""
    whole = [text for text in texts if text.isdecimal()]
    if whole and max(map(len, whole)) < 4 and "." not in either:
        return "point", _note("point", texts), ""
    return "point", "", either.get(",", shown)


def _note(mark: Mark, texts: list[str], why: str = "") -> str:
    if mark == "comma":
        shown = next((text for text in texts if "," in text), next((text for text in texts if "." in text), ""))
        return f"is written with decimal commas{why}, as {shown}" if shown else ""
    shown = next((text for text in texts if number(text) is not None and re.search(f"[,{_NO_POINTS}]", text)), "")
    return f"is written with digits in groups{why}, as {shown}" if shown else ""


def _decorated(wrong: list[str], total: int) -> str:
    around = [text for text in wrong if _DECORATED.fullmatch(text)]
    return around[0] if len(around) * 2 > total else ""
