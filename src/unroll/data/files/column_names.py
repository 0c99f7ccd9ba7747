"""Find the columns of a table that names, ranges such as x0..x59 and patterns such as x* stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from unroll.data.files.rows import require_columns
from unroll.errors import DataError, OptionError

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


def find_columns(
    wanted: Sequence[str], names: Sequence[str], where: str, without: Sequence[str] = ()
) -> tuple[str, ...]:
    """Find columns, in the order in which they are wanted.

    A range whose ends differ in a number only stands for all numbers between, as x0..x59; another, as mon..sun, for the
    columns between in the table. A pattern stands for all columns that it matches, in the table's order. A column's own
    name always stands for that column.

    Args:
        wanted: names, ranges and patterns.
        names: of all columns.
        where: the file or data set, for messages.
        without: columns that no pattern stands for.

    Raises:
        DataError: a column is missing, or none matches a pattern.
        OptionError: a range runs backwards, or a column is wanted twice.
    """
    found: list[str] = []
    for one in wanted:
        if one not in names and ".." in one:
            found += _range(one, names, where)
        elif one not in names and any(mark in one for mark in "*?["):
            matches = [name for name in names if fnmatchcase(name, one) and name not in without]
            if not matches:
                raise DataError(f"'{where}' has no column that matches '{one}'")
            found += matches
        else:
            require_columns(names, [one], where)
            found.append(one)
    twice = next((name for i, name in enumerate(found) if name in found[:i]), None)
    if twice is not None:
        raise OptionError(f"the column '{twice}' is named twice in {', '.join(wanted)}")
    return tuple(found)


def _range(text: str, names: Sequence[str], where: str) -> list[str]:
    first, last = text.split("..", 1)
    low, high = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(last)
    if low and high and (low[1], low[3]) == (high[1], high[3]):
        width = len(low[2]) if low[2].startswith("0") else 0
        every = [f"{low[1]}{i:0{width}d}{low[3]}" for i in range(int(low[2]), int(high[2]) + 1)]
        missing = next((name for name in every if name not in names), None)
        if missing is not None:
            raise DataError(f"'{where}' has no column '{missing}', which is in the range {text}")
    else:
        require_columns(names, [first, last], where)
        every = list(names[list(names).index(first) : list(names).index(last) + 1])
    if not every:
        raise OptionError(f"the range {text} runs backwards; it must be such as x0..x59")
    return every
