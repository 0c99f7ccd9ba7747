"""Seasonality of series, by their autocorrelation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_CLEAR = 0.3
"""Autocorrelation from which a lag is taken for a season that the frequency does not name."""
_LONGEST = 400
_TEN_PERCENT = 1.645


def autocorrelation(x: Float[np.ndarray, " T"], lags: int) -> Float[np.ndarray, " lags+1"]:
    """Compute the autocorrelation at lags 0 to `lags`; all 0 but the first for a constant."""
    x = x - x.mean()
    n = len(x)
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    found = np.fft.irfft(power, size)[: lags + 1]
    result = np.zeros(lags + 1)
    result[0] = 1.0
    if found[0] > 1e-12 * n:
        result[: len(found)] = found / found[0]
    return result


def is_seasonal(x: Float[np.ndarray, " T"], season: int) -> bool:
    """Test for a season at the 10 % level, as the M4 competition did: |r_m| above its limit.

        |r_m| > 1.645 sqrt((1 + 2 (r_1^2 + ... + r_(m-1)^2)) / n)

    Series of fewer than three seasons are taken to have none. Makridakis, Spiliotis & Assimakopoulos 2020, "The M4
    competition: 100,000 time series and 61 forecasting methods".
    """
    if season < 2 or len(x) < 3 * season:
        return False
    r = autocorrelation(x, season)
    limit = _TEN_PERCENT * np.sqrt((1 + 2 * (r[1:season] ** 2).sum()) / len(x))
    return bool(abs(r[season]) > limit)


def find_season(series: Sequence[Float[np.ndarray, " T"]]) -> tuple[int, float]:
    """Find the season by the highest peak of the mean autocorrelation of the differences; (1, 0.0): there is none.

    A season must fit three times into the longest series, and the autocorrelation be at least 0.3.
    """
    longest = min(max((len(x) for x in series), default=0) // 3, _LONGEST)
    if longest < 2:
        return 1, 0.0
    sums, counts = np.zeros(longest + 2), np.zeros(longest + 2)
    for x in series:
        lags = min(longest + 1, (len(x) - 1) // 2)
        if lags >= 2:
            sums[: lags + 1] += autocorrelation(np.diff(x), lags)
            counts[: lags + 1] += 1
    r = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    peaks = [k for k in range(2, longest + 1) if r[k] > r[k - 1] and r[k] >= r[k + 1] and r[k] >= _CLEAR]
    if not peaks:
        return 1, 0.0
    highest = max(r[k] for k in peaks)
    season = next(k for k in peaks if r[k] >= 0.9 * highest)
    return season, float(r[season])
