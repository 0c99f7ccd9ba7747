"""Phrases that a searched text must or must not contain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

Ids = tuple[int, ...]
Kept = TypeVar("Kept")


class Progress(NamedTuple):
    """How much of the required phrases a text contains."""

    met: frozenset[int] = frozenset()
    """Numbers of the phrases that it contains."""
    begun: int = -1
    """The phrase that its last tokens begin, or -1."""
    position: int = 0
    """How many of that phrase's tokens it has."""


class Constraints:
    """Tell which tokens may and which should come next.

    Args:
        required: phrases, as tokens, that a text must contain, in any order.
        banned: phrases that it must not contain.
        no_repeat_ngram: length of runs of tokens that must not come twice; 0: any may.
    """

    def __init__(
        self,
        required: Sequence[Sequence[int]] = (),
        banned: Sequence[Sequence[int]] = (),
        no_repeat_ngram: int = 0,
    ) -> None:
        self._required = [tuple(phrase) for phrase in required if len(phrase)]
        self._banned = [tuple(phrase) for phrase in banned if len(phrase)]
        self._ngram = no_repeat_ngram
        self.requires = bool(self._required)
        self.bans = bool(self._banned) or no_repeat_ngram > 0
        self.tokens = sum(len(phrase) for phrase in self._required)
        """Number of tokens of the required phrases."""

    def after(self, progress: Progress, token: int) -> Progress:
        """Return the progress of a text that is continued by `token`."""
        if not self._required:
            return progress
        met, begun, position = progress
        if begun >= 0 and self._required[begun][position] == token:
            position += 1
        else:
            unmet = (k for k, phrase in enumerate(self._required) if k not in met and phrase[0] == token)
            begun, position = next(unmet, -1), 1
        if begun >= 0 and position == len(self._required[begun]):
            return Progress(met | {begun})
        return Progress(met, begun, position if begun >= 0 else 0)

    def complete(self, progress: Progress) -> bool:
        """Tell whether a text contains every required phrase."""
        return len(progress.met) == len(self._required)

    def count(self, progress: Progress) -> int:
        """Count the tokens of required phrases that a text contains."""
        return sum(len(self._required[k]) for k in progress.met) + progress.position

    def wanted(self, progress: Progress) -> set[int]:
        """Return the tokens that would begin or continue a required phrase."""
        if progress.begun >= 0:
            return {self._required[progress.begun][progress.position]}
        return {phrase[0] for k, phrase in enumerate(self._required) if k not in progress.met}

    def forbidden(self, ids: Ids) -> set[int]:
        """Return the tokens that would complete a banned phrase, or repeat a run of tokens."""
        found = {b[-1] for b in self._banned if len(b) == 1 or ids[-len(b) + 1 :] == b[:-1]}
        n = self._ngram
        if n and len(ids) >= n - 1:
            last = ids[len(ids) - n + 1 :]
            found |= {ids[i + n - 1] for i in range(len(ids) - n + 1) if ids[i : i + n - 1] == last}
        return found


def by_banks(candidates: Sequence[Kept], counts: Sequence[int], tokens: int, width: int) -> list[Kept]:
    """Choose `width` of the candidates so that every number of met tokens, 0 to `tokens`, has its share.

    A beam's places are divided among banks of texts with equally many tokens of required phrases; places that a bank
    cannot fill go to the fullest banks first: Post & Vilar 2018, "Fast lexically constrained decoding with dynamic beam
    allocation for neural machine translation".

    Args:
        candidates: best first.
        counts: of each, how many tokens of required phrases it has.
        tokens: how many there are.
        width: how many candidates to choose.
    """
    banks: dict[int, list[int]] = {}
    for i, count in enumerate(counts):
        banks.setdefault(count, []).append(i)
    share, rest = divmod(width, tokens + 1)
    chosen: list[int] = []
    for count in range(tokens, -1, -1):
        places = share + (rest if count == tokens else 0)
        chosen += banks.get(count, [])[:places]
        banks[count] = banks.get(count, [])[places:]
    for count in range(tokens, -1, -1):
        chosen += banks[count][: width - len(chosen)]
    return [candidates[i] for i in sorted(chosen[:width])]
