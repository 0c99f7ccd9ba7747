"""Find labels and target numbers that cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from unroll.data.bad_rows import BadRow
from unroll.data.labels import is_list, label_name
from unroll.data.numbers import as_float
from unroll.data.values import HALF_CHARACTER, has_half_character, is_missing


def bad_labels(values: Iterable[Any], column: str = "label") -> list[BadRow]:
    """Find rows with a label, or a label in their list, that is null, NaN, empty, or text that cannot be stored.

    An empty list is valid: no class applies.
    """
    bad: list[BadRow] = []
    for row, value in enumerate(values):
        several = isinstance(value, set | frozenset) or is_list(value)
        names = [] if isinstance(value, dict) else [label_name(v) for v in (value if several else [value])]
        if any(isinstance(v, bytes) for v in (value if several else [value])):
            bad.append((row, f"'{column}' holds bytes, not text; decode them"))
        elif None in names:
            bad.append((row, f"'{column}' {'has a label that is' if several else 'is'} null or empty"))
        elif any(has_half_character(name) for name in names if name):
            bad.append((row, f"'{column}' {HALF_CHARACTER}"))
    return bad


def bad_numbers(values: Iterable[Any], column: str = "label") -> list[BadRow]:
    """Find rows with a target that is null, not numeric, not finite, or of another width than most rows' targets."""
    bad: list[BadRow] = []
    counts: dict[int, int] = {}
    for row, value in enumerate(values):
        items = value if is_list(value) else [value]
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
