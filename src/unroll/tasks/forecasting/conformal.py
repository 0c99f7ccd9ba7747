"""Conformal calibration of quantiles: move them so that they cover what they say on the validation windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from unroll.data.timeseries.scaler import ShiftScale
from unroll.data.timeseries.windows import ForecastWindows
from unroll.models.forecaster.model import Forecaster
from unroll.tasks.forecasting.inference import answer

LEAST_WINDOWS = 10
"""Validation windows from which intervals are calibrated where nothing else is said."""
MOST_WINDOWS = 1000
_SCORES = 50


def fitted_offsets(
    model: Forecaster, part: ForecastWindows, scale: ShiftScale, levels: Sequence[float], seed: int
) -> Float[np.ndarray, "F K Q"]:
    """Compute the offsets of a model whose own are zero, on up to 1,000 validation windows.

    Args:
        model: with quantiles.
        part: the validation windows.
        scale: of the targets of each series, (S, K).
        levels: of the quantiles.
        seed: of sampled paths.
    """
    rows = np.unique(np.linspace(0, part.size - 1, min(part.size, MOST_WINDOWS)).astype(np.int64))
    answers = answer(model, part, scale, seed=seed, rows=rows)
    if answers.quantiles is None:
        raise TypeError("a model with offsets has quantiles")
    truth, observed = part.truth(rows)
    series, _ = part.locate(rows)
    unit = model.interval_unit(part.take(rows).x).numpy() * scale.scale[series][:, None]
    return offsets((truth[..., None] - answers.quantiles) / unit[..., None], observed, levels)


def offsets(
    scores: Float[np.ndarray, "N F K Q"], observed: Bool[np.ndarray, "N F K"], levels: Sequence[float]
) -> Float[np.ndarray, "F K Q"]:
    """Compute what is added to each quantile y, by step and target, from the scores t - y of the truth t.

    The interval from level p to 1 - p is widened on both sides by the score max(y_p - t, t - y_(1-p)) of rank
    ceil((n + 1) (1 - 2 p)) among n, at most the largest; a negative one narrows it. A level without a partner is moved
    by itself, and the median stays. Where a step has fewer than 50 scores, those of the steps around it count too.

    Romano, Patterson & Candes 2019, "Conformalized quantile regression"; for point forecasts, where all quantiles are
    one y, it is split conformal prediction. Windows of a series overlap and follow each other in time, so coverage is
    close to the level only as long as the errors stay as they were.
    """
    _, F, K, Q = scores.shape
    made = np.zeros((F, K, Q))
    for k in range(K):
        for f in range(F):
            around = 0
            while observed[:, max(0, f - around) : f + around + 1, k].sum() < _SCORES and around < F:
                around += 1
            steps = slice(max(0, f - around), f + around + 1)
            made[f, k] = _moves(scores[:, steps, k][observed[:, steps, k]], levels)
    return made


def _moves(scores: Float[np.ndarray, "n Q"], levels: Sequence[float]) -> Float[np.ndarray, " Q"]:
    """Compute what is added to each quantile by n scores of each."""
    partners = {round(level, 9): q for q, level in enumerate(levels)}
    moves = np.zeros(len(levels))
    for q, level in enumerate(levels):
        if level == 0.5 or not len(scores):
            continue
        sign = -1.0 if level < 0.5 else 1.0
        away, share = sign * scores[:, q], max(level, 1 - level)
        partner = partners.get(round(1 - level, 9))
        if partner is not None:
            away, share = np.maximum(away, -sign * scores[:, partner]), abs(1 - 2 * level)
        rank = min(len(away), int(np.ceil((len(away) + 1) * share)))
        moves[q] = sign * np.sort(away)[rank - 1]
    return moves
