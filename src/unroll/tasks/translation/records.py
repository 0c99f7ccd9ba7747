"""Read pairs for translation, and find those that can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from unroll.data.bad_rows import LEAVE_OUT, describe, good_rows
from unroll.data.options import Level
from unroll.data.pairs.reader import bad_pairs, read_pairs
from unroll.tasks.base import Log
from unroll.tasks.translation.options import TranslationSettings

_LINES_LOOKED_AT = 20_000
_ALIKE = 0.5


@dataclass(frozen=True)
class PairRecords:
    """Hold usable pairs.

    Attributes:
        sources: N texts.
        references: of each, its targets; one of a row to train on.
    """

    sources: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: np.ndarray) -> PairRecords:
        """Select `rows`, in that order."""
        at = rows.tolist()
        return PairRecords(tuple(self.sources[i] for i in at), tuple(self.references[i] for i in at))

    def targets(self) -> list[str]:
        """List the first target of each row."""
        return [texts[0] for texts in self.references]


def load_pairs(
    data: Any, settings: TranslationSettings, say: Log, *, references: bool, remedy: str = LEAVE_OUT
) -> PairRecords:
    """Read pairs and keep those that can be used.

    Args:
        data: names of files or of hub data; or a table.
        settings: every option.
        say: called with notes on what was left out.
        references: whether a row may have several targets.
        remedy: what a person can do about pairs that cannot be used.

    Raises:
        DataError: the data cannot be read, or has unusable pairs and `skip_bad_rows` is off.
    """
    options = settings.translation
    pairs = read_pairs(data, options.source, options.target, settings.source, say)
    bad = bad_pairs(pairs, options.source, options.target, references=references, most_ratio=options.max_length_ratio)
    rows = good_rows(bad, len(pairs.sources), pairs.where, settings.source.skip_bad_rows, remedy=remedy)
    if bad:
        say(f"left out: {describe(bad, len(pairs.sources), pairs.where)}")
    targets = ((one,) if isinstance(one := pairs.targets[i], str) else tuple(one) for i in rows.tolist())
    return PairRecords(tuple(pairs.sources[i] for i in rows.tolist()), tuple(targets))


def shared(records: PairRecords, words: bool) -> float:
    """Compute how alike both sides are: the sum over characters, or words, of the smaller of both shares."""
    shares = []
    for texts in (records.sources, records.targets()):
        count = _counts(texts, words)
        total = max(1, sum(count.values()))
        shares.append({piece: n / total for piece, n in count.items()})
    return sum(min(share, shares[1].get(piece, 0.0)) for piece, share in shares[0].items())


def is_joint(records: PairRecords, level: Level) -> tuple[bool, str]:
    """Tell whether both sides should have one vocabulary, and why."""
    words = level == "word"
    share = shared(records, words)
    why = f"they share {share:.0%} of their {'words' if words else 'characters'}"
    if share >= _ALIKE:
        return True, f"one vocabulary for both sides: {why}"
    return False, f"a vocabulary for each side: {why}"


def _counts(texts: Iterable[str], words: bool) -> Counter[str]:
    count: Counter[str] = Counter()
    for text in islice(texts, _LINES_LOOKED_AT):
        count.update(text.split() if words else text.replace(" ", ""))
    return count
