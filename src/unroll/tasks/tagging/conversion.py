"""Spans written anew in another scheme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unroll.data.text.bio import marks_span
from unroll.data.text.scheme_names import Scheme
from unroll.data.text.tag_notation import STANDARD, notation_of
from unroll.tasks.tagging.spans import spans, written


def convert(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Write the spans of a sentence's tags in `scheme`; tags that break every scheme are read as `spans` reads them."""
    return written(spans(tags), len(tags), scheme)


def convert_tags(
    names: Sequence[str], sentences: Sequence[np.ndarray], scheme: Scheme, known: Sequence[str] = ()
) -> tuple[tuple[str, ...], list[np.ndarray | str]]:
    """Write the spans of many sentences in `scheme`; tags may be in another notation, as B_PER or PER-B.

    Args:
        names: the tags.
        sentences: numbers (T,) of each sentence's tags among them.
        scheme: the wanted one.
        known: tags in that scheme that come first.

    Returns:
        The tags of the converted sentences, after the known ones in the order in which they appear; and for each
        sentence the numbers (T,) int32 of its tags, or what is wrong with them.
    """
    notation = notation_of(names) or STANDARD
    read = [notation.standard(name) for name in names]
    places = {name: i for i, name in enumerate(known)}
    converted: list[np.ndarray | str] = []
    for numbers in sentences:
        tags = [read[i] for i in numbers.tolist()]
        stray = next((i for i, tag in enumerate(tags) if not marks_span(tag)), None)
        if stray is not None:
            converted.append(f"cannot be converted to {scheme}: '{tags[stray]:.40}' at token {stray + 1} marks no span")
            continue
        found = convert(tags, scheme)
        converted.append(np.array([places.setdefault(tag, len(places)) for tag in found], np.int32))
    return tuple(places), converted
