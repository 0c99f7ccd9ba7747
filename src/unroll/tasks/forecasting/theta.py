"""The Theta method, a strong simple forecast of a single series."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from unroll.tasks.forecasting.seasonality import is_seasonal

_ALPHAS = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0])


def history_length(season: int) -> int:
    """Return how many steps before a window the method is fitted on: ten seasons, 60 to 300 steps, or three seasons."""
    return max(3 * season, min(10 * season, 300), 60)


def theta(history: Float[np.ndarray, "N T K"], horizon: int, season: int) -> Float[np.ndarray, "N F K"]:
    """Forecast by the Theta method with the lines 0 and 2, each history by itself.

        y = z s            seasonally adjusted where a test finds a season; z + s where values are not all positive
        line_0 = a + b t   least squares on z
        line_2 = 2 z - line_0, extrapolated by simple exponential smoothing, alpha by least squares
        forecast = (line_0 + line_2) / 2, with the season put back

    Seasons are the indices of the classical decomposition, and tested at the 10 % level on three seasons or more.

    Assimakopoulos & Nikolopoulos 2000, "The theta model: a decomposition approach to forecasting".

    Args:
        history: NaN before the first row of a series.
        horizon: F.
        season: m; 1: there is none.
    """
    N, T, K = history.shape
    y = np.ascontiguousarray(history.transpose(0, 2, 1)).reshape(N * K, T)
    there = ~np.isnan(y)
    y = np.where(there, y, 0.0)
    adjusted, indices, ratio = _deseasonalised(y, there, season)
    line, slope = _trend(adjusted, there)
    ahead = np.arange(1, horizon + 1)
    extrapolated = line[:, -1:] + slope[:, None] * ahead
    level = _smoothed(2 * adjusted - line, there)
    forecast = (extrapolated + level[:, None]) / 2
    back = indices[:, (ahead - 1) % indices.shape[1]]
    forecast = np.where(ratio[:, None], forecast * back, forecast + back)
    return forecast.reshape(N, K, horizon).transpose(0, 2, 1)


def _deseasonalised(
    y: Float[np.ndarray, "R T"], there: Bool[np.ndarray, "R T"], m: int
) -> tuple[Float[np.ndarray, "R T"], Float[np.ndarray, "R M"], Bool[np.ndarray, " R"]]:
    """Take the season out; return the indices of the m steps after the history too, and whether they are factors."""
    R, T = y.shape
    none = y, np.zeros((R, 1)), np.zeros(R, dtype=bool)
    if m < 2 or 3 * m > T:
        return none
    seasonal = is_seasonal(y, there, m)
    if not seasonal.any():
        return none
    ratio = seasonal & ((y > 0) | ~there).all(1)
    half = m // 2
    sums = np.cumsum(np.pad(y, ((0, 0), (1, 0))), 1)
    trend = (sums[:, m:] - sums[:, :-m]) / m
    if m % 2 == 0:
        trend = (trend[:, 1:] + trend[:, :-1]) / 2
    whole = there[:, : T - 2 * half]  # histories begin late, but have no holes
    middle = y[:, half : T - half]
    apart = np.where(ratio[:, None], middle / np.where(ratio[:, None] & whole, trend, 1.0), middle - trend)
    before = (half - T) % m  # how far the first of them is into a season that begins with the step after the history
    after = -(before + middle.shape[1]) % m
    kept, counts = (
        np.pad(values, ((0, 0), (before, after))).reshape(R, -1, m).sum(1)
        for values in (np.where(whole, apart, 0.0), whole)
    )
    indices = kept / np.maximum(1, counts)
    mean = indices.mean(1, keepdims=True)
    indices = np.where(ratio[:, None], indices / np.where(ratio[:, None], mean, 1.0), indices - mean)
    indices[~seasonal] = 0.0
    each = indices[:, (np.arange(T) - T) % m]
    adjusted = np.where(ratio[:, None], y / np.where(ratio[:, None], each, 1.0), y - each)
    return np.where(there, adjusted, 0.0), indices, ratio


def _trend(z: np.ndarray, there: np.ndarray) -> tuple[Float[np.ndarray, "R T"], Float[np.ndarray, " R"]]:
    """Fit a line to each row; return it and its slope."""
    n = np.maximum(1, there.sum(1))
    t = np.arange(z.shape[1], dtype=np.float64)
    mean_t, mean_z = (there * t).sum(1) / n, z.sum(1) / n
    off = np.where(there, t - mean_t[:, None], 0.0)
    square = (off**2).sum(1)
    slope = (off * np.where(there, z - mean_z[:, None], 0.0)).sum(1) / np.where(square > 0, square, 1.0)
    return mean_z[:, None] + slope[:, None] * (t - mean_t[:, None]), slope


def _smoothed(x: np.ndarray, there: np.ndarray) -> Float[np.ndarray, " R"]:
    """Return the last level of simple exponential smoothing, with the alpha of the least squared one-step errors."""
    R, T = x.shape
    columns, alphas = np.ascontiguousarray(x.T), _ALPHAS[:, None]
    first = np.where(there.any(1), there.argmax(1), T - 1)
    level, errors = np.tile(x[np.arange(R), first], (len(_ALPHAS), 1)), np.zeros((len(_ALPHAS), R))
    late = int(first.max())
    for t in range(int(first.min()) + 1, T):
        error = columns[t] - level
        if t <= late:
            error *= t > first
        errors += error**2
        error *= alphas
        level += error
    return level[errors.argmin(0), np.arange(R)]
