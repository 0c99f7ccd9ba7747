"""Forecast metrics: functions on arrays (N, F, K), N windows, F steps, K columns.

y is the forecast, t the truth. `observed` (N, F, K) bool selects the truths that count; default: all. A mean over no
values is None. MAPE and sMAPE differ from torchmetrics, which replaces zeros by a small number.

The functions `absolute_error` to `inside` return a value for each truth, NaN where undefined; `Means` averages such
values over windows in chunks, to save memory. `mae` to `width` are means over one array.

Forecasts are compared with naive baselines: `repeat_last` and `seasonal_naive`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

Mean = float | None


class Means:
    """Accumulate the mean of values (N, F, K) over windows, for each step and column."""

    def __init__(self) -> None:
        self._sums: np.ndarray | None = None
        self._counts = np.zeros(0, dtype=np.int64)

    def add(self, values: np.ndarray, observed: np.ndarray | None = None) -> Self:
        """Add the values (n, F, K) of more windows; values that are NaN or not `observed` do not count."""
        kept = ~np.isnan(values)
        if observed is not None:
            kept &= observed
        if self._sums is None:
            self._sums = np.zeros(values.shape[1:])
            self._counts = np.zeros(values.shape[1:], dtype=np.int64)
        self._sums += np.where(kept, values, 0.0).sum(0)
        self._counts += kept.sum(0)
        return self

    def mean(self, column: int | None = None) -> Mean:
        """Compute the mean over everything, or over one column."""
        sums, counts = self._of(column)
        return float(sums.sum() / counts.sum()) if counts.sum() else None

    def by_step(self) -> list[Mean]:
        """Compute the mean of each of the F steps."""
        sums, counts = self._of(None)
        return [float(s / n) if n else None for s, n in zip(sums.sum(1), counts.sum(1), strict=True)]

    def count(self, column: int | None = None) -> int:
        """Count the values in the mean."""
        return int(self._of(column)[1].sum())

    def _of(self, column: int | None) -> tuple[np.ndarray, np.ndarray]:
        if self._sums is None:
            return np.zeros((0, 1)), np.zeros((0, 1), dtype=np.int64)
        return (self._sums, self._counts) if column is None else (self._sums[:, column], self._counts[:, column])


def absolute_error(forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute |y - t|."""
    return np.abs(forecast - truth)


def squared_error(forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute (y - t)^2."""
    return (forecast - truth) ** 2


def percentage_error(forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute 100 |y - t| / |t|; NaN where t is 0."""
    return 100 * np.abs(forecast - truth) / np.where(truth == 0, np.nan, np.abs(truth))


def symmetric_percentage_error(forecast: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute 200 |y - t| / (|y| + |t|), 0 where both are 0; 0 to 200.

    Makridakis 1993, "Accuracy measures: theoretical and practical concerns", with absolute values in the denominator,
    as in the M4 competition.
    """
    size = np.abs(forecast) + np.abs(truth)
    return 200 * np.abs(forecast - truth) / np.where(size == 0, 1.0, size)


def absolute_scaled_error(forecast: np.ndarray, truth: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Compute |y - t| / scale, with scale (K,) or (N, K) from `naive_scale`; NaN where the scale is NaN."""
    return np.abs(forecast - truth) / (scale[:, None] if scale.ndim == 2 else scale)


def pinball_loss(quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Mean over levels p (Q,) of max(p (t - y), (p - 1) (t - y)), of quantiles (N, F, K, Q)."""
    p = np.asarray(levels, dtype=np.float64)
    above = truth[..., None] - quantiles
    return np.maximum(p * above, (p - 1) * above).mean(-1)


def inside(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return 1 where the truth lies in the closed interval from `lower` to `upper`, else 0."""
    return ((lower <= truth) & (truth <= upper)).astype(np.float64)


def mae(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean absolute error: the mean of |y - t|."""
    return _mean(absolute_error(forecast, truth), observed)


def mse(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean squared error: the mean of (y - t)^2."""
    return _mean(squared_error(forecast, truth), observed)


def rmse(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Root of the mean squared error."""
    return root(mse(forecast, truth, observed))


def mape(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean absolute percentage error: 100 times the mean of |y - t| / |t|, where t is not 0."""
    return _mean(percentage_error(forecast, truth), observed)


def smape(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Symmetric mean absolute percentage error: the mean of `symmetric_percentage_error`."""
    return _mean(symmetric_percentage_error(forecast, truth), observed)


def mase(forecast: np.ndarray, truth: np.ndarray, scale: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean absolute scaled error: the mean of |y - t| / scale.

    The scale (K,) or (N, K) comes from `naive_scale`: below 1 the forecast is better than the seasonal naive forecast
    on the training part. Errors with a NaN scale are left out. Hyndman & Koehler 2006, "Another look
    at measures of forecast accuracy".
    """
    return _mean(absolute_scaled_error(forecast, truth, scale), observed)


def naive_scale(history: np.ndarray, season: int = 1, observed: np.ndarray | None = None) -> np.ndarray:
    """Compute the scale of `mase`: the mean of |t_i - t_(i - season)| over a training part (T, K), per column (K,).

    NaN for a column that repeats exactly, such as a constant, and for one without two observed values a season apart:
    neither has an error to compare with.
    """
    scale = np.full(history.shape[1], np.nan)
    for k in range(history.shape[1]):
        apart = np.abs(history[season:, k] - history[:-season, k])
        if observed is not None:
            apart = apart[observed[season:, k] & observed[:-season, k]]
        if len(apart) and apart.sum() > 0:
            scale[k] = apart.sum() / len(apart)
    return scale


def pinball(
    quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float], observed: np.ndarray | None = None
) -> Mean:
    """Pinball loss of quantiles (N, F, K, Q) at levels (Q,): the mean of max(p (t - y), (p - 1) (t - y)), level p.

    It is not doubled: at level 0.5 it is half the mean absolute error. Koenker & Bassett 1978, "Regression quantiles".
    """
    return _mean(pinball_loss(quantiles, truth, levels), observed)


def coverage(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Share of the truths that lie in the closed interval from `lower` to `upper`."""
    return _mean(inside(lower, upper, truth), observed)


def width(lower: np.ndarray, upper: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean width of intervals; at the same coverage, narrower is better."""
    return _mean(upper - lower, observed)


def root(value: Mean) -> Mean:
    """The square root of a mean."""
    return None if value is None else value**0.5


def repeat_last(history: np.ndarray, horizon: int) -> np.ndarray:
    """Forecast the last value of each history (N, L, K) at every step: (N, F, K)."""
    return np.repeat(history[:, -1:], horizon, axis=1)


def seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """Repeat the last season of each history (N, L, K): each step is the value `season` steps before it, (N, F, K).

    Where the history is too short (L < season, or NaN there) it is the last value.
    """
    N, L, K = history.shape
    cycle = np.full((N, season, K), np.nan)
    reach = min(L, season)
    cycle[:, season - reach :] = history[:, L - reach :]
    cycle = np.where(np.isnan(cycle), history[:, -1:], cycle)
    return cycle[:, np.arange(horizon) % season]


def _mean(values: np.ndarray, observed: np.ndarray | None) -> Mean:
    return Means().add(values, observed).mean()
