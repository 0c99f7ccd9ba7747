"""Simple answers beside a translator's: the source itself, and the translation of the nearest training source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unroll.data.pairs.batches import PairDataset
from unroll.tasks.translation.metrics import figures

_ROWS_AT_ONCE = 512
_KEPT = ("bleu", "bleu_lowercase", "chrf", "exact_match")


def fit_baselines(train: PairDataset) -> Callable[[PairDataset], dict[str, Any]]:
    """Fit TF-IDF of runs of characters on the training sources; return the figures that simple answers have on a part.

    copy: the source. nearest: the target of the training pair whose source is most alike (cosine of TF-IDF of runs of 2
    to 4 characters within words).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=100_000)
    try:
        known: Any = vectorizer.fit_transform(train.sources)
    except ValueError:  # no source has a run of 2 characters
        known = None

    def nearest(sources: tuple[str, ...]) -> list[str]:
        found: list[int] = []
        for start in range(0, len(sources), _ROWS_AT_ONCE):
            asked: Any = vectorizer.transform(sources[start : start + _ROWS_AT_ONCE])
            found += np.asarray((asked @ known.T).argmax(1)).ravel().tolist()
        return [train.references[i][0] for i in found]

    def report(part: PairDataset) -> dict[str, Any]:
        answers = {"copy of the source": list(part.sources)}
        if known is not None:
            answers["nearest training source"] = nearest(part.sources)
        every = {name: figures(texts, part.references) for name, texts in answers.items()}
        return {name: {key: found[key] for key in _KEPT} for name, found in every.items()}

    return report
