"""Metrics of translations against one or several references."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

_BY_LENGTH = (10, 15, 20, 30)


def figures(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Compute BLEU, chrF and related figures of translations, from 0 to 100 as sacreBLEU gives them.

    `bleu` is sacreBLEU's (Post 2018, "A call for clarity in reporting BLEU scores") with its default tokenization,
    `bleu_signature` says which; `bleu_lowercase` is the same without regard to case, `chrf` is of characters (Popović
    2015). Shares are from 0 to 1.

    Args:
        texts: the translations.
        references: of each, one or several.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    streams = _streams(references)
    bleu, lower, chrf = BLEU(), BLEU(lowercase=True), CHRF()
    score = bleu.corpus_score(list(texts), streams)
    return {
        "bleu": round(score.score, 4),
        "bleu_lowercase": round(lower.corpus_score(list(texts), streams).score, 4),
        "chrf": round(chrf.corpus_score(list(texts), streams).score, 4),
        "exact_match": float(np.mean([text in wanted for text, wanted in zip(texts, references, strict=True)])),
        "length_ratio": round(score.sys_len / max(1, score.ref_len), 4),
        "bleu_signature": str(bleu.get_signature()),
    }


def counts(texts: Sequence[str], sources: Sequence[str], finished: Sequence[bool]) -> dict[str, int]:
    """Count translations that are their source, that are empty, and that were cut off at the maximal length."""
    return {
        "copied": sum(text == source.strip() for text, source in zip(texts, sources, strict=True)),
        "empty": sum(not text for text in texts),
        "cut_off": sum(not done for done in finished),
    }


def by_length(
    texts: Sequence[str], references: Sequence[Sequence[str]], lengths: Sequence[int]
) -> list[dict[str, Any]]:
    """Compute BLEU by the length of the source, in tokens."""
    bounds = [1, *_BY_LENGTH, 10**9]
    table = []
    for low, high in pairwise(bounds):
        rows = [i for i, n in enumerate(lengths) if low <= n < high]
        if rows:
            part = figures([texts[i] for i in rows], [references[i] for i in rows])
            span = f"{low} or more" if high == bounds[-1] else f"{low} to {high - 1}"
            table.append({"tokens": span, "rows": len(rows), "bleu": part["bleu"], "chrf": part["chrf"]})
    return table


def sentence_chrf(texts: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Compute the chrF of each translation, (N,), from 0 to 100."""
    from sacrebleu.metrics.chrf import CHRF

    chrf = CHRF()
    pairs = zip(texts, references, strict=True)
    return np.array([chrf.sentence_score(text, list(wanted)).score for text, wanted in pairs])


def _streams(references: Sequence[Sequence[str]]) -> Any:
    """Turn references by row into sacreBLEU's streams: the first of every row, the second of every row, ..."""
    most = max((len(wanted) for wanted in references), default=1)
    return [[wanted[k] if k < len(wanted) else None for wanted in references] for k in range(most)]
