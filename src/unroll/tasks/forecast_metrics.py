"""How good forecasts are: functions on arrays (N, F, K), N windows, F steps, K columns.

y is the forecast, t the truth. `observed` (N, F, K) bool says which truths count; none given: all. A mean over nothing
is None. torchmetrics computes what it defines in the same way; not MAPE and sMAPE, where it puts a small number in
place of zero. `by_step` gives any of these figures for each step of the horizon.

A forecast is compared with what costs nothing: `repeat_last` and `seasonal_naive`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torchmetrics.functional as tm

Mean = float | None
Metric = Callable[..., Mean]


def mae(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean absolute error: the mean of |y - t|."""
    y, t = _counted(forecast, truth, observed)
    return tm.mean_absolute_error(y, t).item() if len(t) else None


def mse(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean squared error: the mean of (y - t)^2."""
    y, t = _counted(forecast, truth, observed)
    return tm.mean_squared_error(y, t).item() if len(t) else None


def rmse(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Root of the mean squared error."""
    y, t = _counted(forecast, truth, observed)
    return tm.mean_squared_error(y, t, squared=False).item() if len(t) else None


def mape(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean absolute percentage error: 100 times the mean of |y - t| / |t|, where t is not 0 (see `zero_truths`)."""
    y, t = _counted(forecast, truth, observed)
    some = t != 0
    return (100 * ((y - t).abs()[some] / t.abs()[some]).mean()).item() if some.any() else None


def zero_truths(truth: np.ndarray, observed: np.ndarray | None = None) -> int:
    """Observed truths that are 0, which `mape` leaves out."""
    return int(((truth == 0) & _mask(truth, observed)).sum())


def smape(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Symmetric mean absolute percentage error: the mean of 200 |y - t| / (|y| + |t|), 0 where both are 0; 0 to 200.

    Makridakis 1993, "Accuracy measures: theoretical and practical concerns", with absolute values below, as in the M4
    competition.
    """
    y, t = _counted(forecast, truth, observed)
    if not len(t):
        return None
    size = y.abs() + t.abs()
    return (200 * torch.where(size > 0, (y - t).abs() / size, 0.0).mean()).item()


def mase(forecast: np.ndarray, truth: np.ndarray, scale: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean absolute scaled error: the mean of |y - t| / scale.

    The scale (K,) or (N, K) comes from `naive_scale`: below 1 the forecast is better than the seasonal naive one is on
    the training part. Where it is NaN errors are left out (see `without_scale`). Hyndman & Koehler 2006, "Another look
    at measures of forecast accuracy".
    """
    scale = _per_value(scale, truth)
    kept = _mask(truth, observed) & ~np.isnan(scale)
    return float((np.abs(forecast - truth)[kept] / scale[kept]).mean()) if kept.any() else None


def naive_scale(history: np.ndarray, season: int = 1, observed: np.ndarray | None = None) -> np.ndarray:
    """What `mase` divides by: the mean of |t_i - t_(i - season)| over a training part (T, K), for each column (K,).

    NaN for a column that repeats itself exactly, such as a constant, and for one without two observed values a season
    apart: neither has an error to compare with.
    """
    there = _mask(history, observed)
    pairs = there[season:] & there[:-season]
    apart = np.where(pairs, np.abs(history[season:] - history[:-season]), 0.0).sum(0)
    count = pairs.sum(0)
    return np.where((count > 0) & (apart > 0), apart / np.maximum(count, 1), np.nan)


def without_scale(scale: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> int:
    """Observed truths that `mase` leaves out, as their history is constant or too short to have a scale."""
    return int((np.isnan(_per_value(scale, truth)) & _mask(truth, observed)).sum())


def pinball(
    quantiles: np.ndarray, truth: np.ndarray, levels: Sequence[float], observed: np.ndarray | None = None
) -> Mean:
    """Pinball loss of quantiles (N, F, K, Q) at levels (Q,): the mean of max(p (t - y), (p - 1) (t - y)), level p.

    It is not doubled: at level 0.5 it is half the mean absolute error. Koenker & Bassett 1978, "Regression quantiles".
    """
    p = np.asarray(levels, dtype=np.float64)
    above = truth[..., None] - quantiles
    kept = _mask(truth, observed)
    return float(np.maximum(p * above, (p - 1) * above)[kept].mean()) if kept.any() else None


def coverage(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Share of the truths that lie in the interval from `lower` to `upper`, both ends counted."""
    kept = _mask(truth, observed)
    return float(((lower <= truth) & (truth <= upper))[kept].mean()) if kept.any() else None


def width(lower: np.ndarray, upper: np.ndarray, observed: np.ndarray | None = None) -> Mean:
    """Mean width of intervals: of two with the same coverage the narrower tells more."""
    kept = _mask(lower, observed)
    return float((upper - lower)[kept].mean()) if kept.any() else None


def by_step(metric: Metric, *arrays: np.ndarray, observed: np.ndarray | None = None, **options: Any) -> list[Mean]:
    """A metric for each of the F steps: `by_step(mae, forecast, truth)`, `by_step(pinball, q, truth, levels=...)`.

    Args:
        metric: one of this module's.
        arrays: (N, F, ...), what the metric takes that has a horizon.
        observed: (N, F, K).
        options: what else it takes.
    """
    F = arrays[0].shape[1]
    steps = [slice(f, f + 1) for f in range(F)]
    return [
        metric(*(a[:, f] for a in arrays), observed=None if observed is None else observed[:, f], **options)
        for f in steps
    ]


def scores(
    forecast: np.ndarray,
    truth: np.ndarray,
    observed: np.ndarray | None = None,
    *,
    scale: np.ndarray | None = None,
) -> dict[str, Any]:
    """Every figure of a point forecast: `mae`, `mse`, `rmse`, `mape`, `smape`, with `scale` also `mase`.

    `mape_left_out` and `mase_left_out` count what these two cannot count, where there is any. `mae_by_step` and
    `mse_by_step` are lists over the horizon.
    """
    counted = (forecast, truth)
    report: dict[str, Any] = {
        "mae": mae(*counted, observed),
        "mse": mse(*counted, observed),
        "rmse": rmse(*counted, observed),
        "mape": mape(*counted, observed),
        "smape": smape(*counted, observed),
    }
    if zeros := zero_truths(truth, observed):
        report["mape_left_out"] = zeros
    if scale is not None:
        report["mase"] = mase(*counted, scale, observed)
        if left := without_scale(scale, truth, observed):
            report["mase_left_out"] = left
    report["mae_by_step"] = by_step(mae, *counted, observed=observed)
    report["mse_by_step"] = by_step(mse, *counted, observed=observed)
    return report


def repeat_last(history: np.ndarray, horizon: int) -> np.ndarray:
    """The last value of each history (N, L, K), at every step: (N, F, K)."""
    return np.repeat(history[:, -1:], horizon, axis=1)


def seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last season of each history (N, L, K), over and over: step f is the value `season` before it, (N, F, K).

    Where the history does not reach back so far (L < season, or NaN there) it is the last value.
    """
    N, L, K = history.shape
    cycle = np.full((N, season, K), np.nan)
    reach = min(L, season)
    cycle[:, season - reach :] = history[:, L - reach :]
    cycle = np.where(np.isnan(cycle), history[:, -1:], cycle)
    return cycle[:, np.arange(horizon) % season]


def _mask(values: np.ndarray, observed: np.ndarray | None) -> np.ndarray:
    return np.ones(values.shape, dtype=bool) if observed is None else observed


def _counted(forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray | None) -> tuple[torch.Tensor, torch.Tensor]:
    y, t = (np.asarray(values, dtype=np.float64) for values in (forecast, truth))
    if observed is None or observed.all():
        y, t = np.ravel(y), np.ravel(t)
    else:
        y, t = y[observed], t[observed]
    return torch.from_numpy(y), torch.from_numpy(t)


def _per_value(scale: np.ndarray, truth: np.ndarray) -> np.ndarray:
    scale = scale[:, None] if scale.ndim == 2 else scale
    return np.broadcast_to(scale, truth.shape)
