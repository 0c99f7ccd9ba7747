"""Report rows that cannot be used, so that a task can stop and list them, or skip them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unroll.errors import DataError

_LONGEST = 150

BadRow = tuple[int, str]
"""A row's position, from 0, and what is wrong with it."""


def describe(bad: Sequence[BadRow], total: int, where: str, shown: int = 5, names: Sequence[str] = ()) -> str:
    """Describe in one sentence how many rows are bad and why the first few are; rows are counted from 1.

    With `names` the rows are series, which have these names.
    """
    merged: dict[int, str] = {}
    for row, reason in sorted(bad):
        merged[row] = f"{merged[row]} and {reason}" if row in merged else reason
    named, told = "", 0
    for row, reason in list(merged.items())[:shown]:
        called = f"series '{names[row]:.40}'" if names else f"row {row + 1}"
        one = f"{called}: {reason[:_LONGEST]}{'...' if len(reason) > _LONGEST else ''}"
        if told and len(named) + len(one) > 2 * _LONGEST:
            break
        named, told = f"{named}; {one}" if told else one, told + 1
    more = f"; and {len(merged) - told} more" if len(merged) > told else ""
    return f"{len(merged)} of {total} {'series' if names else 'rows'} of {where} cannot be used ({named}{more})"


LEAVE_OUT = "--skip-bad-rows leaves them out"
"""The remedy for bad rows on the command line."""

LEAVE_OUT_HERE = "skip_bad_rows=True leaves them out"
"""The remedy in Python."""


def good_rows(
    bad: Sequence[BadRow],
    total: int,
    where: str,
    skip: bool,
    *,
    remedy: str = LEAVE_OUT,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Return the positions of the rows that can be used, int64.

    Args:
        bad: from the functions above, joined.
        total: number of rows looked at.
        where: file or data set, for the message.
        skip: leave bad rows out instead of raising.
        remedy: what a person can do about them; "" where there is nothing, as for rows that are in no file.
        names: of the rows, if they are series.

    Raises:
        DataError: there are bad rows and `skip` is false, or no good row is left.
    """
    if bad and not skip:
        raise DataError(describe(bad, total, where, names=names) + (f"; {remedy}" if remedy else ""))
    keep = np.ones(total, dtype=bool)
    keep[[row for row, _ in bad]] = False
    rows = np.flatnonzero(keep)
    if not len(rows):
        raise DataError(describe(bad, total, where, names=names) if bad else f"{where} has no rows")
    return rows
