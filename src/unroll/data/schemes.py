"""Tags that mark spans, and which of them may follow each other.

    BIO    (IOB2)   B-x begins a span of type x, I-x goes on with it, O is outside
    BIOES  (IOBES)  beside these E-x ends a span of several tokens, and S-x is a span of one
    IOB1            I-x is inside a span, and B-x only begins one that follows another of its type at once

A tag may lack its type: B, I, O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

Scheme = Literal["BIO", "BIOES", "IOB1"]
SCHEMES: tuple[Scheme, ...] = ("BIO", "BIOES", "IOB1")


class Part(NamedTuple):
    """A tag's two halves; of what is outside a span, and of a tag that marks none, the type is empty."""

    prefix: str
    kind: str


class Steps(NamedTuple):
    """A set of steps from tag to tag, as boolean arrays."""

    start: np.ndarray
    """(K,): tags that stand first."""
    between: np.ndarray
    """(K, K): [i, j] where tag j follows tag i."""
    end: np.ndarray
    """(K,): tags that stand last."""


def part(tag: str) -> Part:
    """Prefix and type of a span's tag, parted by its first hyphen."""
    prefix, _, kind = tag.partition("-")
    return Part(prefix, kind)


def mark_spans(tags: Iterable[str]) -> bool:
    """Whether each of `tags` is O, or B, I, E or S with or without a type, and one of them is B or I or has a type."""
    parts = [part(tag) for tag in tags]
    if not all((p.prefix in ("B", "I", "E", "S")) or p == ("O", "") for p in parts):
        return False
    return any(p.prefix in ("B", "I") or p.kind for p in parts)


def may_follow(scheme: Scheme, before: Part | None, after: Part | None) -> bool:
    """Whether `after` may stand after `before`; None is the start or the end of a sentence."""
    inside = before is not None and before.prefix in ("B", "I")
    goes_on = inside and after is not None and after.kind == (before or after).kind
    if scheme == "BIOES":
        if inside:
            return goes_on and after is not None and after.prefix in ("I", "E")
        return after is None or after.prefix in ("O", "B", "S")
    bound = "I" if scheme == "BIO" else "B"
    return after is None or (after.prefix in ("O", "B", "I") and (after.prefix != bound or goes_on))


def legal_steps(tags: Sequence[str], scheme: Scheme) -> Steps:
    """The steps between `tags` that `scheme` allows."""
    parts = [part(tag) for tag in tags]
    return Steps(
        np.array([may_follow(scheme, None, p) for p in parts]),
        np.array([[may_follow(scheme, a, b) for b in parts] for a in parts]),
        np.array([may_follow(scheme, p, None) for p in parts]),
    )


def taken_steps(sequences: Iterable[np.ndarray], tags: int) -> Steps:
    """The steps that are in `sequences` of tag numbers below `tags`."""
    steps = Steps(np.zeros(tags, bool), np.zeros((tags, tags), bool), np.zeros(tags, bool))
    for ids in sequences:
        if len(ids):
            steps.start[ids[0]] = steps.end[ids[-1]] = True
            steps.between[ids[:-1], ids[1:]] = True
    return steps


def scheme_of(tags: Sequence[str], taken: Steps) -> Scheme | None:
    """The first scheme that allows every step `taken` between `tags`, or None."""
    for scheme in SCHEMES:
        allowed = legal_steps(tags, scheme)
        if not any((t & ~a).any() for t, a in zip(taken, allowed, strict=True)):
            return scheme
    return None


def breach(tags: Sequence[str], scheme: Scheme) -> str:
    """The first step in a sentence's tags that `scheme` does not allow, in words; "" if there is none."""
    parts = [None, *(part(tag) for tag in tags), None]
    for i, (before, after) in enumerate(pairwise(parts)):
        if not may_follow(scheme, before, after):
            if after is None:
                return f"'{tags[i - 1]}' at token {i} cannot stand last"
            what = f"cannot follow '{tags[i - 1]}'" if before else "cannot stand first"
            return f"'{tags[i]}' at token {i + 1} {what}"
    return ""
