"""Conformal calibration of quantiles: shift them so that they cover what they say on the validation windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

LEAST_WINDOWS = 10
"""Validation windows from which intervals are calibrated where nothing else is said."""
MOST_WINDOWS = 1000
_SCORES = 50


def offsets(
    scores: Float[np.ndarray, "N F K Q"], observed: Bool[np.ndarray, "N F K"], levels: Sequence[float]
) -> Float[np.ndarray, "F K Q"]:
    """Compute what is added to each quantile, by step and target: a quantile of its scores t - y at its own level.

    With n scores, level p < 1/2 takes the score of rank floor((n + 1) p) and p > 1/2 that of rank ceil((n + 1) p), at
    most the outermost. Where a step has fewer than 50 scores, those of the steps around it count too. The median stays.

    Romano, Patterson & Candes 2019, "Conformalized quantile regression", with each end calibrated by itself; for point
    forecasts, where all scores are t - y of one y, it is split conformal prediction. The windows of one series overlap
    and follow each other in time, so coverage is close to the level only as long as the errors stay as they were.
    """
    _, F, K, Q = scores.shape
    made = np.zeros((F, K, Q))
    for k in range(K):
        for f in range(F):
            around = 0
            while observed[:, max(0, f - around) : f + around + 1, k].sum() < _SCORES and around < F:
                around += 1
            steps = slice(max(0, f - around), f + around + 1)
            kept = np.sort(scores[:, steps, k][observed[:, steps, k]], axis=0)
            n = len(kept)
            for q, level in enumerate(levels):
                if n and level != 0.5:
                    rank = np.floor((n + 1) * level) if level < 0.5 else np.ceil((n + 1) * level)
                    made[f, k, q] = kept[int(np.clip(rank, 1, n)) - 1, q]
    return made
