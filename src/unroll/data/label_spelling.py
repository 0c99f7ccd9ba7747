"""Report labels that are spelled in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from unroll.data.labels import label_name


def spelling_notes(values: Iterable[Any]) -> list[str]:
    """Report labels that are written in several ways, and labels that differ only in upper and lower case.

    Args:
        values: one per row, as in the data; lists hold several.

    Returns:
        A sentence for each kind that occurs.
    """
    written: dict[str, set[str]] = {}
    for value in values:
        for item in value if isinstance(value, list | tuple | set | frozenset) else [value]:
            if name := label_name(item):
                written.setdefault(name, set()).add(item if isinstance(item, str) else name)
    cases: dict[str, list[str]] = {}
    for name in sorted(written):
        cases.setdefault(name.casefold(), []).append(name)
    notes = []
    several = [sorted(texts) for texts in written.values() if len(texts) > 1]
    if several:
        notes.append(f"taken as one label: {_examples(several)}")
    if apart := [names for names in cases.values() if len(names) > 1]:
        notes.append(f"taken as different labels, though they differ in case alone: {_examples(apart)}")
    return notes


def _examples(groups: Sequence[Sequence[str]], shown: int = 3) -> str:
    named = "; ".join(" and ".join(f"'{name}'" for name in group[:shown]) for group in groups[:shown])
    return f"{named}; and {len(groups) - shown} more" if len(groups) > shown else named
