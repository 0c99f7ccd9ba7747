"""Seasonality of series, by their autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

_CLEAR = 0.3
"""Autocorrelation from which a lag is taken for a season that the frequency does not name."""
_LONGEST = 400
_TEN_PERCENT = 1.645


def autocorrelation(
    x: Float[np.ndarray, "R T"], there: Bool[np.ndarray, "R T"], lags: int
) -> Float[np.ndarray, "R lags+1"]:
    """Compute the autocorrelation of each row's values that are `there`, at lags 0 to `lags`; 0 for constant rows."""
    n = np.maximum(1, there.sum(1))
    centred = np.where(there, x - (np.where(there, x, 0.0).sum(1) / n)[:, None], 0.0)
    size = 1 << (2 * x.shape[1] - 1).bit_length()
    sums = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[:, : lags + 1]
    moving = sums[:, 0] > 1e-12 * (np.where(there, x, 0.0) ** 2).sum(1)
    return np.where(moving[:, None], sums / np.where(moving, sums[:, 0], 1.0)[:, None], 0.0)


def is_seasonal(x: Float[np.ndarray, "R T"], there: Bool[np.ndarray, "R T"], season: int) -> Bool[np.ndarray, " R"]:
    """Test each row for a season m at the 10 % level, as the M4 competition did.

        |r_m| > 1.645 sqrt((1 + 2 (r_1^2 + ... + r_(m-1)^2)) / n)

    Rows of fewer than three seasons are taken to have none. Makridakis, Spiliotis & Assimakopoulos 2020, "The M4
    competition: 100,000 time series and 61 forecasting methods".
    """
    n = there.sum(1)
    r = autocorrelation(x, there, season)
    limit = _TEN_PERCENT * np.sqrt((1 + 2 * (r[:, 1:season] ** 2).sum(1)) / np.maximum(1, n))
    return (n >= 3 * season) & (np.abs(r[:, season]) > limit)


def find_season(series: Sequence[Float[np.ndarray, " T"]]) -> tuple[int, float]:
    """Find the season by the highest peak of the mean autocorrelation of the differences; (1, 0.0): there is none.

    A season must fit three times into the longest series, and the autocorrelation be at least 0.3, and three times what
    chance gives, 1 / sqrt(n) for n rows in all.
    """
    longest = min(max((len(x) for x in series), default=0) // 3, _LONGEST)
    if longest < 2:
        return 1, 0.0
    sums, counts = np.zeros(longest + 2), np.zeros(longest + 2)
    for x in series:
        lags = min(longest + 1, (len(x) - 1) // 2)
        if lags >= 2:
            changes = np.diff(x)[None]
            sums[: lags + 1] += autocorrelation(changes, np.ones(changes.shape, dtype=bool), lags)[0]
            counts[: lags + 1] += 1
    r = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    least = max(_CLEAR, 3 / np.sqrt(sum(map(len, series))))
    peaks = [k for k in range(2, longest + 1) if r[k] > r[k - 1] and r[k] >= r[k + 1] and r[k] >= least]
    if not peaks:
        return 1, 0.0
    highest = max(r[k] for k in peaks)
    season = next(k for k in peaks if r[k] >= 0.9 * highest)
    return season, float(r[season])
