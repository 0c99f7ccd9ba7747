"""Convert span tags in other notations to B-PER: B_PER, b-per, PER-B."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from unroll.data.text.bio import ROLES, mark_spans

_SEPARATORS = "-_:/.|"


class Notation(NamedTuple):
    """Notation of a tag: separator, and order of letter and type; letters may be in lower case."""

    separator: str = "-"
    letter_last: bool = False

    def standard(self, tag: str) -> str:
        """Convert a tag in this notation to B-PER or O; any other tag is unchanged."""
        if self.letter_last:
            kind, _, letter = tag.rpartition(self.separator)
        else:
            letter, _, kind = tag.partition(self.separator)
        letter = letter.upper()
        if letter in ROLES:
            return f"{letter}-{kind}" if kind else letter
        return "O" if letter == "O" and not kind else tag


STANDARD = Notation()


def notation_of(tags: Sequence[str]) -> Notation | None:
    """Detect the notation of span tags; None if `tags` mark no spans in any notation."""
    if mark_spans(tags):
        return STANDARD
    for letter_last, separator in product((False, True), _SEPARATORS):
        notation = Notation(separator, letter_last)
        read = [notation.standard(tag) for tag in tags]
        if "O" in read and mark_spans(read) and any(tag[:2] in ("B-", "I-") for tag in read):
            return notation
    return None
