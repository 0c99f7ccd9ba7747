"""Spans in tag sequences, and how many are found, as the CoNLL scorer counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from unroll.data.schemes import Part, part
from unroll.tasks.task import Report

_OUTSIDE = Part("O", "")


class Span(NamedTuple):
    """Tokens `start` to before `end` of a sentence."""

    kind: str
    start: int
    end: int


class Counts(NamedTuple):
    """How many spans there are, how many were answered, and how many of these are right."""

    gold: int
    found: int
    right: int

    def scores(self) -> Report:
        """`precision` = right / found, `recall` = right / gold, `f1` = 2 right / (found + gold); 0 where none is."""
        return {
            "precision": self.right / self.found if self.found else 0.0,
            "recall": self.right / self.gold if self.gold else 0.0,
            "f1": 2 * self.right / (self.found + self.gold) if self.right else 0.0,
            **self._asdict(),
        }


def spans(tags: Iterable[str]) -> list[Span]:
    """The spans of one sentence, by the rules of conlleval, which makes something of any sequence.

    A span begins at B-x and S-x; at I-x and E-x after O, after E or S, and after a tag of another type. It ends
    before O, before another that begins, and with the sentence. So `O I-PER I-LOC` holds two spans. Rules for B, I, O:
    Tjong Kim Sang & Buchholz 2000 (conlleval); with E and S as well, those of seqeval.
    """
    found: list[Span] = []
    start, before = 0, _OUTSIDE
    i = -1
    for i, tag in enumerate(tags):
        here = part(tag)
        if before != _OUTSIDE and (here == _OUTSIDE or _begins(before, here)):
            found.append(Span(before.kind, start, i))
        if here != _OUTSIDE and _begins(before, here):
            start = i
        before = here
    if before != _OUTSIDE:
        found.append(Span(before.kind, start, i + 1))
    return found


def _begins(before: Part, here: Part) -> bool:
    return here.prefix in ("B", "S") or before.prefix in ("O", "E", "S") or before.kind != here.kind


def count(gold: Sequence[Sequence[str]], answered: Sequence[Sequence[str]]) -> dict[str, Counts]:
    """The counts for each type of span, in order of name. A span is right if type, start and end are."""
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
    """All types together."""
    every = list(counts)
    return Counts(sum(c.gold for c in every), sum(c.found for c in every), sum(c.right for c in every))
