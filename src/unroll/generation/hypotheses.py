"""Results of a beam search, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Ids = tuple[int, ...]


class Hypothesis(NamedTuple):
    """One text that a search found."""

    ids: Ids
    """Its tokens, without the end token."""
    finished: bool
    """Whether it came to its end; else it was cut off at the maximal length."""
    log_probability: float
    """Of all its tokens, the end token included, in nats."""
    score: float
    """The log-probability divided by the length penalty, plus the coverage penalty."""
    token_log_probabilities: tuple[float, ...]
    """Of each token, the end token included."""
    attention: np.ndarray | None = None
    """Weights (tokens, S) over the source's steps that each token was predicted with, the end token included."""


def length_penalty(tokens: int, alpha: float) -> float:
    """Compute ((5 + n) / 6)^alpha for n tokens, the end token included.

    Wu et al. 2016, "Google's neural machine translation system".
    """
    return ((5 + tokens) / 6) ** alpha


class Finished:
    """Keep the best finished texts of one row, each surface text once.

    Args:
        most: how many to keep.
        text: the surface text of tokens; None: tokens differ, so do their texts.
    """

    def __init__(self, most: int, text: Callable[[Sequence[int]], str] | None) -> None:
        self._most = most
        self._text = text
        self._best: dict[str | Ids, Hypothesis] = {}
        self._least = -math.inf

    def add(self, found: Hypothesis) -> None:
        """Add one; of equal texts the better score stays, of equal scores the earlier."""
        key = found.ids if self._text is None else self._text(found.ids)
        if key not in self._best or found.score > self._best[key].score:
            self._best[key] = found
        if len(self._best) > self._most:
            del self._best[min(reversed(self._best), key=lambda k: self._best[k].score)]
        if len(self._best) == self._most:
            self._least = min(found.score for found in self._best.values())

    def beaten_by(self, score: float) -> bool:
        """Tell whether a text of this score could still be among the kept ones."""
        return score > self._least

    def ranked(self) -> list[Hypothesis]:
        """List them, best first."""
        return sorted(self._best.values(), key=lambda found: -found.score)
