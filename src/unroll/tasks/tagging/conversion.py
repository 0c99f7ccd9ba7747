"""Convert span tags to another tagging scheme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unroll.data.text.bio import marks_span
from unroll.data.text.scheme_names import Scheme
from unroll.data.text.tag_notation import STANDARD, notation_of
from unroll.tasks.tagging.spans import spans, written


def convert(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Convert a sentence's tags to `scheme`; tags invalid in every scheme are read by the rules of `spans`."""
    return written(spans(tags), len(tags), scheme)


def convert_tags(
    names: Sequence[str], sentences: Sequence[np.ndarray], scheme: Scheme, known: Sequence[str] = ()
) -> tuple[tuple[str, ...], list[np.ndarray | str]]:
    """Convert the tags of many sentences to `scheme`; tags may be in another notation, such as B_PER or PER-B.

    Args:
        names: the tags.
        sentences: tag numbers (T,) of each sentence, indexes into `names`.
        scheme: the target scheme.
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
        new_tags = convert(tags, scheme)
        converted.append(np.array([places.setdefault(tag, len(places)) for tag in new_tags], np.int32))
    return tuple(places), converted
