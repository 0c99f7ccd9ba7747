"""Span tagging schemes (BIO, BIOES, ...), and which tags may follow each other.

    BIO    (IOB2)   B-x begins a span of type x, I-x continues it, O is outside
    IOB1            I-x is inside a span, and B-x only begins one directly after another of its type
    IOE2            E-x ends a span of type x, I-x is before it
    IOE1            I-x is inside a span, and E-x only ends one directly before another of its type
    BIOES  (IOBES)  B-x begins and E-x ends a span of several tokens, I-x is between, and S-x is a span of one
    BILOU  (BILUO)  the same with L for the last and U for the unit
    BMES            the same with M for the middle, as in Chinese corpora, with O or without
    BMEWO           the same with M for the middle and W for the whole

A tag may lack its type: B, I, O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from unroll.data.text.scheme_names import Scheme

_LETTERS: dict[Scheme, str] = {
    "BIO": "BI",
    "IOB1": "BI",
    "IOE2": "IE",
    "IOE1": "IE",
    "BIOES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
    "BMEWO": "BMEW",
}
# Reversed sequences with B and E swapped: each scheme becomes the other.
_MIRRORED: dict[Scheme, Scheme] = {"IOE2": "BIO", "IOE1": "IOB1"}
_TURNED = {"B": "E", "E": "B"}

Role = Literal["begin", "inside", "end", "single"]
ROLES: dict[str, Role] = {
    **dict.fromkeys("B", "begin"),
    **dict.fromkeys("IM", "inside"),
    **dict.fromkeys("EL", "end"),
    **dict.fromkeys("SUW", "single"),
}
"""The role of a token in its span, by the letter of its tag."""


class Part(NamedTuple):
    """Prefix and type of a tag; the type is empty outside a span, and for a tag that marks no span."""

    prefix: str
    kind: str


OUTSIDE = Part("O", "")


class Steps(NamedTuple):
    """Allowed transitions between tags, as boolean arrays."""

    start: np.ndarray
    """(K,): tags that may come first."""
    between: np.ndarray
    """(K, K): [i, j] where tag j may follow tag i."""
    end: np.ndarray
    """(K,): tags that may come last."""


def letters(scheme: Scheme) -> dict[Role, str]:
    """Return the letter of each role in a span, for the roles that the scheme has."""
    return {ROLES[letter]: letter for letter in _LETTERS[scheme]}


def part(tag: str) -> Part:
    """Split a tag into prefix and type at its first hyphen."""
    prefix, _, kind = tag.partition("-")
    return Part(prefix, kind)


def marks_span(tag: str) -> bool:
    """Tell whether a tag is O, or one of the schemes' letters with or without a type."""
    here = part(tag)
    return here == OUTSIDE or here.prefix in ROLES


def mark_spans(tags: Iterable[str]) -> bool:
    """Tell whether `tags` are span tags: all pass `marks_span`, and together they mark spans.

    They do if B or I is among them, or O together with a letter that has a type.
    """
    every = list(tags)
    if not all(map(marks_span, every)):
        return False
    parts = {part(tag) for tag in every}
    return any(p.prefix in ("B", "I") or (p.kind and OUTSIDE in parts) for p in parts)


def is_tag(tag: Part, scheme: Scheme) -> bool:
    """Tell whether `tag` belongs to `scheme`."""
    return tag == OUTSIDE or tag.prefix in _LETTERS[scheme]


def may_follow(scheme: Scheme, before: Part | None, after: Part | None) -> bool:
    """Tell whether `after` may follow `before`; None is the start or the end of a sentence."""
    if not all(one is None or is_tag(one, scheme) for one in (before, after)):
        return False
    if scheme in _MIRRORED:
        return may_follow(_MIRRORED[scheme], _turned(after), _turned(before))
    inside = before is not None and ROLES.get(before.prefix) in ("begin", "inside")
    goes_on = inside and after is not None and after.kind == (before or after).kind
    if scheme in ("BIO", "IOB1"):
        bound = "I" if scheme == "BIO" else "B"
        return after is None or after.prefix != bound or goes_on
    closes = after is not None and ROLES.get(after.prefix) in ("inside", "end")
    return goes_on and closes if inside else not closes


def _turned(tag: Part | None) -> Part | None:
    """Return the tag for the reversed sentence."""
    return None if tag is None else Part(_TURNED.get(tag.prefix, tag.prefix), tag.kind)


def legal_steps(tags: Sequence[str], scheme: Scheme) -> Steps:
    """Return the transitions between `tags` that `scheme` allows."""
    parts = [part(tag) for tag in tags]
    return Steps(
        np.array([may_follow(scheme, None, p) for p in parts]),
        np.array([[may_follow(scheme, a, b) for b in parts] for a in parts]),
        np.array([may_follow(scheme, p, None) for p in parts]),
    )


def breach(tags: Sequence[str], scheme: Scheme) -> str:
    """Describe the first transition in a sentence's tags that `scheme` does not allow; "" if there is none."""
    parts = [None, *(part(tag) for tag in tags), None]
    for i, (before, after) in enumerate(pairwise(parts)):
        if not may_follow(scheme, before, after):
            if after is None:
                return f"'{tags[i - 1]}' at token {i} cannot stand last"
            if not is_tag(after, scheme):
                return f"'{tags[i]}' at token {i + 1} is no tag of {scheme}"
            what = f"cannot follow '{tags[i - 1]}'" if before else "cannot stand first"
            return f"'{tags[i]}' at token {i + 1} {what}"
    return ""
