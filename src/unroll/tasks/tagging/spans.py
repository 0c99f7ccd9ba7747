"""Read and write spans in tag sequences, and count correct spans as in the CoNLL scorer (conlleval)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from unroll.data.text.bio import OUTSIDE, ROLES, Part, Role, letters, part
from unroll.data.text.scheme_names import Scheme
from unroll.tasks.base import Report


class Span(NamedTuple):
    """Span of a sentence: tokens from `start` to before `end`."""

    kind: str
    start: int
    end: int


class Counts(NamedTuple):
    """Counts of true spans, of predicted spans, and of correct predictions."""

    gold: int
    found: int
    right: int

    def scores(self) -> Report:
        """Compute `precision` = right / found, `recall` = right / gold, `f1` = 2 right / (found + gold), or 0."""
        return {
            "precision": self.right / self.found if self.found else 0.0,
            "recall": self.right / self.gold if self.gold else 0.0,
            "f1": 2 * self.right / (self.found + self.gold) if self.right else 0.0,
            **self._asdict(),
        }


def spans(tags: Iterable[str]) -> list[Span]:
    """Read the spans of one sentence by the rules of conlleval, which accept any tag sequence.

    A span begins at B-x and S-x; at I-x and E-x after O, after E or S, and after a tag of another type. It ends
    before O, before another that begins, and with the sentence. So `O I-PER I-LOC` holds two spans. M is read as I, L
    as E, and U and W as S. Rules for B, I, O: Tjong Kim Sang & Buchholz 2000 (conlleval); with E and S as well, those
    of seqeval. Valid sequences of a scheme are read according to the scheme.
    """
    found: list[Span] = []
    start, before = 0, OUTSIDE
    i = -1
    for i, tag in enumerate(tags):
        here = part(tag)
        if before != OUTSIDE and (here == OUTSIDE or _begins(before, here)):
            found.append(Span(before.kind, start, i))
        if here != OUTSIDE and _begins(before, here):
            start = i
        before = here
    if before != OUTSIDE:
        found.append(Span(before.kind, start, i + 1))
    return found


def _begins(before: Part, here: Part) -> bool:
    if before.prefix == "O" or before.kind != here.kind:
        return True
    return ROLES.get(here.prefix) in ("begin", "single") or ROLES.get(before.prefix) in ("end", "single")


def written(found: Sequence[Span], tokens: int, scheme: Scheme) -> list[str]:
    """Write spans, ordered and without overlap, as the tags of a sentence of `tokens` tokens."""
    tags = ["O"] * tokens
    for number, span in enumerate(found):
        before = found[number - 1] if number else None
        after = found[number + 1] if number + 1 < len(found) else None
        follows = before is not None and (before.kind, before.end) == (span.kind, span.start)
        followed = after is not None and (after.kind, after.start) == (span.kind, span.end)
        for i in range(span.start, span.end):
            letter = _letter(scheme, i == span.start, i == span.end - 1, follows, followed)
            tags[i] = f"{letter}-{span.kind}" if span.kind else letter
    return tags


def _letter(scheme: Scheme, first: bool, last: bool, follows: bool, followed: bool) -> str:
    """Choose the letter of a token by its position in the span, and whether adjacent spans have the same type."""
    if scheme == "IOB1":
        return "B" if first and follows else "I"
    if scheme == "IOE1":
        return "E" if last and followed else "I"
    role: Role = "single" if first and last else "begin" if first else "end" if last else "inside"
    known = letters(scheme)
    nearest: dict[Role, Role] = {"single": "begin" if "begin" in known else "end", "end": "inside", "begin": "inside"}
    return known[role] if role in known else known[nearest[role]]


def count(gold: Sequence[Sequence[str]], answered: Sequence[Sequence[str]]) -> dict[str, Counts]:
    """Count spans by type, in order of name. A span is right if type, start and end are."""
    there: Counter[str] = Counter()
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one, other in zip(gold, answered, strict=True):
        truth, answer = set(spans(one)), set(spans(other))
        there.update(s.kind for s in truth)
        found.update(s.kind for s in answer)
        right.update(s.kind for s in truth & answer)
    return {kind: Counts(there[kind], found[kind], right[kind]) for kind in sorted(there | found)}


def total(counts: Iterable[Counts]) -> Counts:
    """Sum the counts over all types."""
    every = list(counts)
    return Counts(sum(c.gold for c in every), sum(c.found for c in every), sum(c.right for c in every))
