"""Finding the rows that cannot be used, so that a task can stop and name them, or leave them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from unroll.data.labels import label_name
from unroll.data.numbers import as_float
from unroll.data.options import TextOptions
from unroll.data.sequences import as_array
from unroll.data.values import HALF_CHARACTER, has_half_character, is_missing
from unroll.errors import DataError

_LONGEST = 150

BadRow = tuple[int, str]
"""A row's position, from 0, and what is wrong with it."""


def bad_texts(texts: Iterable[Any], column: str = "text", options: TextOptions | None = None) -> list[BadRow]:
    """Rows whose text is null, not text, or empty; with `options`, also those that keep no token of theirs.

    Args:
        texts: the rows' values.
        column: name, for the reasons.
        options: how the texts are going to be cleaned and split.
    """
    bad: list[BadRow] = []
    keeps_tokens: Callable[[str], bool] | None = None
    if options is not None:
        from unroll.data.text.normalize import token_check

        keeps_tokens = token_check(options)
    for row, text in enumerate(texts):
        if is_missing(text):
            bad.append((row, f"'{column}' is null"))
        elif not isinstance(text, str):
            bad.append((row, f"'{column}' holds {type(text).__name__}, not text"))
        elif not text.strip():
            bad.append((row, f"'{column}' is empty"))
        elif keeps_tokens is not None and not keeps_tokens(text):
            bad.append((row, f"'{column}' has no token left after cleaning"))
    return bad


def bad_series(sequences: Iterable[Any], column: str = "sequence", features: int = 0) -> list[BadRow]:
    """Rows whose sequence is null, empty, not numeric, not finite, or of another number of features.

    Args:
        sequences: the rows' values.
        column: name, for the reasons.
        features: D that is wanted; 0 takes the number that most rows have.
    """
    bad: list[BadRow] = []
    widths: dict[int, int] = {}
    for row, value in enumerate(sequences):
        try:
            steps = as_array(value)
        except ValueError as error:
            bad.append((row, f"'{column}' {error}"))
            continue
        if not len(steps):
            bad.append((row, f"'{column}' is empty"))
        else:
            widths[row] = steps.shape[1]
    if widths and not features:
        features = Counter(widths.values()).most_common(1)[0][0]
    for row, width in widths.items():
        if width != features:
            bad.append((row, f"'{column}' has {width} features per step, not {features}"))
    return sorted(bad)


def bad_labels(values: Iterable[Any], column: str = "label") -> list[BadRow]:
    """Rows whose label, or one in their list of labels, is null, NaN, empty, or text that cannot be stored.

    An empty list is a label of its own: no class applies.
    """
    bad: list[BadRow] = []
    for row, value in enumerate(values):
        several = isinstance(value, set | frozenset) or _is_list(value)
        names = [] if isinstance(value, dict) else [label_name(v) for v in (value if several else [value])]
        if any(isinstance(v, bytes) for v in (value if several else [value])):
            bad.append((row, f"'{column}' holds bytes, not text; decode them"))
        elif None in names:
            bad.append((row, f"'{column}' {'has a label that is' if several else 'is'} null or empty"))
        elif any(has_half_character(name) for name in names if name):
            bad.append((row, f"'{column}' {HALF_CHARACTER}"))
    return bad


def bad_numbers(values: Iterable[Any], column: str = "label") -> list[BadRow]:
    """Rows whose target is null, not a number (or list of numbers), not finite, or unlike most rows' in number."""
    bad: list[BadRow] = []
    counts: dict[int, int] = {}
    for row, value in enumerate(values):
        items = value if _is_list(value) else [value]
        if any(isinstance(item, complex | np.complexfloating) for item in items):
            bad.append((row, f"'{column}' is a complex number"))
            continue
        try:
            numbers = np.array([as_float(item) for item in items])
        except (TypeError, ValueError, OverflowError):
            null = "is null" if is_missing(value) else "has a null" if any(map(is_missing, items)) else ""
            bad.append((row, f"'{column}' {null or 'is not a number'}"))
            continue
        if not len(numbers) or not np.isfinite(numbers).all():
            bad.append((row, f"'{column}' is not a finite number"))
        else:
            counts[row] = len(numbers)
    usual = Counter(counts.values()).most_common(1)[0][0] if counts else 0
    bad += [(row, f"'{column}' has {n} numbers, most rows have {usual}") for row, n in counts.items() if n != usual]
    return sorted(bad)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def describe(bad: Sequence[BadRow], total: int, where: str, shown: int = 5) -> str:
    """One sentence: how many rows are bad and why the first few are; rows are counted from 1."""
    merged: dict[int, str] = {}
    for row, reason in sorted(bad):
        merged[row] = f"{merged[row]} and {reason}" if row in merged else reason
    named, told = "", 0
    for row, reason in list(merged.items())[:shown]:
        one = f"row {row + 1}: {reason[:_LONGEST]}{'...' if len(reason) > _LONGEST else ''}"
        if told and len(named) + len(one) > 2 * _LONGEST:
            break
        named, told = f"{named}; {one}" if told else one, told + 1
    more = f"; and {len(merged) - told} more" if len(merged) > told else ""
    return f"{len(merged)} of {total} rows of {where} cannot be used ({named}{more})"


LEAVE_OUT = "--skip-bad-rows leaves them out"
"""The remedy for bad rows on the command line."""

LEAVE_OUT_HERE = "skip_bad_rows=True leaves them out"
"""The remedy in Python."""


def good_rows(bad: Sequence[BadRow], total: int, where: str, skip: bool, *, remedy: str = LEAVE_OUT) -> np.ndarray:
    """The positions of the rows that can be used, int64.

    Args:
        bad: from the functions above, joined.
        total: number of rows looked at.
        where: file or data set, for the message.
        skip: leave bad rows out instead of raising.
        remedy: what a person can do about them; "" where there is nothing, as for rows that are in no file.

    Raises:
        DataError: there are bad rows and `skip` is false, or no good row is left.
    """
    if bad and not skip:
        raise DataError(describe(bad, total, where) + (f"; {remedy}" if remedy else ""))
    keep = np.ones(total, dtype=bool)
    keep[[row for row, _ in bad]] = False
    rows = np.flatnonzero(keep)
    if not len(rows):
        raise DataError(describe(bad, total, where) if bad else f"{where} has no rows")
    return rows
