"""Detect the tagging scheme of sentences: the one that nearly all of them follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unroll.data.text.bio import OUTSIDE, Steps, legal_steps, part
from unroll.data.text.scheme_names import SCHEMES, Scheme

NEARLY_ALL = 0.95
"""Share of the sentences with spans that must follow a scheme."""


class Fit(NamedTuple):
    """Count how many sentences follow a scheme."""

    scheme: Scheme
    kept: int
    """Sentences with spans that follow it."""
    of: int
    """Sentences with spans."""
    first: int
    """Position of the first sentence that does not; -1 if all do."""

    @property
    def share(self) -> float:
        """Share of the sentences with spans that follow it; 1 if there are none."""
        return self.kept / self.of if self.of else 1.0

    @property
    def chosen(self) -> bool:
        """Whether nearly all sentences follow it."""
        return self.share >= NEARLY_ALL


def scheme_fits(tags: Sequence[str], sentences: Sequence[np.ndarray]) -> list[Fit]:
    """Compute how well every scheme fits sentences of tag numbers, the best first.

    Args:
        tags: names of the tags by number.
        sentences: tag numbers (T,) of each sentence. Sentences with higher numbers are ignored.
    """
    places = [i for i, numbers in enumerate(sentences) if len(numbers) and int(numbers.max()) < len(tags)]
    if not places:
        return [Fit(scheme, 0, 0, -1) for scheme in SCHEMES]
    flat = np.concatenate([sentences[i] for i in places])
    ends = np.cumsum([len(sentences[i]) for i in places])
    inside = np.array([part(tag) != OUTSIDE for tag in tags], bool)
    spans = np.add.reduceat(inside[flat], _starts(ends)) > 0
    fits = []
    for scheme in SCHEMES:
        wrong = _breaks(flat, ends, legal_steps(tags, scheme)) & spans
        first = places[int(wrong.argmax())] if wrong.any() else -1
        fits.append(Fit(scheme, int(spans.sum() - wrong.sum()), int(spans.sum()), first))
    return sorted(fits, key=lambda fit: -fit.kept)


def _breaks(flat: np.ndarray, ends: np.ndarray, allowed: Steps) -> np.ndarray:
    """Tell for each of N sentences, concatenated in `flat`, whether it has a forbidden transition, bool (N,)."""
    starts = _starts(ends)
    wrong = np.zeros(len(flat), bool)
    wrong[1:] = ~allowed.between[flat[:-1], flat[1:]]
    wrong[starts] = ~allowed.start[flat[starts]]
    wrong[ends - 1] |= ~allowed.end[flat[ends - 1]]
    return np.add.reduceat(wrong, starts) > 0


def _starts(ends: np.ndarray) -> np.ndarray:
    return np.append(0, ends[:-1])
