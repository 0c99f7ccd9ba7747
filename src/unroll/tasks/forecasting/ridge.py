"""Ridge regression of the horizon on the look-back: what a linear skip connection starts at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from unroll.data.timeseries.windows import ForecastWindows
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.strategies import Sizes

Start = Literal["last", "seasonal"]
MOST_WINDOWS = 4000
"""Windows that the regression is fitted on, at most."""
_PENALTIES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, np.inf)
_UNTRIED = 1.0
"""The penalty where there are too few windows to choose it."""
_MANY_SERIES = 10
_LEAST = 8
_STILL = 1e-2
"""Deviation of a look-back, as a share of the series', below which it says nothing on the size of errors."""


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map of look-backs that is as good wherever a series stands: y = c + W (x - c), c the look-back's mean.

    Attributes:
        weight: W (F, L).
        start: the naive forecast that W is shrunk towards.
        penalty: of the distance from it, in units of the mean variance of a look-back's step; infinite: W is naive.
        error: mean absolute error on windows that were held out of the fit; on all where there are too few.
        residuals: (N, F) of those windows.
        deviations: (N,) standard deviation of their look-backs.
    """

    weight: Float[np.ndarray, "F L"]
    start: Start
    penalty: float
    error: float
    residuals: Float[np.ndarray, "N F"]
    deviations: Float[np.ndarray, " N"]

    @property
    def affine(self) -> Float[np.ndarray, "F L"]:
        """The same map without the mean: y = W' x, each row of W' with the sum 1."""
        return self.weight + (1.0 - self.weight.sum(1, keepdims=True)) / self.weight.shape[1]

    def quantiles(self, levels: Sequence[float], *, relative: bool) -> Float[np.ndarray, " Q"]:
        """Compute quantiles of the residuals, 0 at the level 0.5; `relative` to the look-backs' deviations."""
        residuals = self.residuals
        if relative:
            moving = self.deviations > _STILL
            residuals = residuals[moving] / self.deviations[moving, None]
        if not residuals.size:
            return np.zeros(len(levels))
        return np.where(np.asarray(levels) == 0.5, 0.0, np.quantile(residuals, levels))


def fit_ridge(
    series: Sequence[Float[np.ndarray, " T"]],
    groups: Sequence[int],
    *,
    lookback: int,
    horizon: int,
    season: int,
    longest: int = 0,
) -> Ridge | None:
    """Fit the map by least squares with a penalty on its distance from a naive forecast; None: there is no window.

    Penalty and naive forecast are chosen on a fifth of the windows: those of every fifth series, or the last of each
    series where there are few series. Hoerl & Kennard 1970, "Ridge regression: biased estimation for nonorthogonal
    problems".

    Args:
        series: scaled targets, each by itself.
        groups: for each of them its series in the data; targets of one series are never on both sides.
        lookback: L.
        horizon: F.
        season: of the seasonal naive forecast; 1 or more than L: there is none.
        longest: the longest look-back that the error is to be compared with; held-out windows leave room for it.
    """
    L, F = lookback, horizon
    fitted, held = _divided([len(x) for x in series], groups, L, F, max(L, longest))
    every = _sampled([(s, o) for s, x in enumerate(series) for o in (L, len(x) - F + 1)], whole=True)
    if not len(every):
        return None
    X, Y = _windows(series, every, L, F)
    starts: list[Start] = ["seasonal", "last"] if 1 < season <= L else ["last"]
    tried = len(fitted) >= _LEAST and len(held) >= 1
    fit_X, fit_Y = _windows(series, fitted, L, F) if tried else (X, Y)
    new_X, new_Y = _windows(series, held, L, F) if tried else (X, Y)
    best: tuple[float, Start, float, np.ndarray] | None = None
    penalties = _PENALTIES if tried else (_UNTRIED, np.inf)
    for start in starts:
        naive = _naive(L, F, season if start == "seasonal" else 1)
        for penalty, weight in zip(penalties, _solve(fit_X, fit_Y, naive, penalties), strict=True):
            residuals = new_Y - new_X @ weight.T
            error = float(np.abs(residuals).mean())
            if best is None or error < best[0]:
                best = error, start, penalty, residuals
    assert best is not None  # noqa: S101 (starts is not empty)
    error, start, penalty, residuals = best
    (weight,) = _solve(X, Y, _naive(L, F, season if start == "seasonal" else 1), (penalty,))
    return Ridge(weight, start, penalty, error, residuals, new_X.std(1))


def start_at_ridge(model: Forecaster, training: ForecastWindows, sizes: Sizes) -> None:
    """Set a new model with a linear skip connection to ridge regression; nothing where there are too few windows."""
    chosen = model.options
    fitted = fit_ridge(*training.series(), lookback=sizes.lookback, horizon=sizes.horizon, season=sizes.season)
    if fitted is not None:
        spread = fitted.quantiles(chosen.quantiles, relative=chosen.instance_norm == "revin")
        model.start_at(fitted.affine, spread if chosen.output == "quantile" else None)


def _divided(
    lengths: Sequence[int], groups: Sequence[int], L: int, F: int, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose windows (n, 2), as series and origin, to fit on and to measure the error on."""
    many = len(set(groups)) >= _MANY_SERIES
    fitted, held = [], []
    for s, (n, group) in enumerate(zip(lengths, groups, strict=True)):
        if many:
            part, first = (held, longest) if group % 5 == 4 else (fitted, L)
            part += [(s, first), (s, n - F + 1)]
        else:
            border = max(longest, n - F + 1 - max(F, (n - longest) // 5))
            fitted += [(s, L), (s, border - F + 1)]
            held += [(s, border), (s, n - F + 1)]
    return _sampled(fitted, whole=True), _sampled(held, whole=True)


def _sampled(borders: Sequence[tuple[int, int]], *, whole: bool) -> np.ndarray:
    """Take origins evenly from pairs of borders, (series, first) and (series, end)."""
    pairs = [(s, first, end) for (s, first), (_, end) in zip(borders[::2], borders[1::2], strict=True) if end > first]
    counts = np.array([end - first for _, first, end in pairs], dtype=np.int64)
    ends = np.cumsum(counts)
    if not len(ends):
        return np.zeros((0, 2), dtype=np.int64)
    at = np.unique(np.linspace(0, ends[-1] - 1, min(int(ends[-1]), MOST_WINDOWS)).astype(np.int64))
    which = np.searchsorted(ends, at, side="right")
    series, first = (np.array([p[i] for p in pairs], dtype=np.int64) for i in (0, 1))
    return np.stack([series[which], first[which] + at - (ends - counts)[which]], 1)


def _windows(series: Sequence[np.ndarray], rows: np.ndarray, L: int, F: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut look-backs and horizons, less the look-back's mean."""
    X, Y = np.empty((len(rows), L)), np.empty((len(rows), F))
    for i, (s, o) in enumerate(rows.tolist()):
        X[i], Y[i] = series[s][o - L : o], series[s][o : o + F]
    centre = X.mean(1, keepdims=True)
    return X - centre, Y - centre


def _naive(L: int, F: int, season: int) -> np.ndarray:
    from unroll.models.forecaster.skip import naive_weight

    return naive_weight(L, F, season).double().numpy()


def _solve(X: np.ndarray, Y: np.ndarray, naive: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """Solve for each penalty: least |Y - X W'|^2 + penalty n v |W - naive|^2, v the mean variance of a step."""
    values, vectors = np.linalg.eigh(X.T @ X)
    values = np.maximum(values, 0.0)
    unit = max(float(values.mean()), 1e-12)
    right = vectors.T @ (X.T @ (Y - X @ naive.T))
    return [naive if np.isinf(p) else naive + (vectors @ (right / (values + p * unit)[:, None])).T for p in penalties]
