from __future__ import annotations

import numpy as np
import pytest

from unroll.commands.air_passengers import rows
from unroll.tasks.forecasting.theta import history_length, theta

PASSENGERS = np.array([float(value) for _, value in rows()])


def one(x: np.ndarray, horizon: int, season: int) -> np.ndarray:
    return theta(x[None, :, None], horizon, season)[0, :, 0]


def test_a_line_is_continued_at_half_its_slope() -> None:
    np.testing.assert_allclose(one(3 + 2 * np.arange(60.0), 3, 1), [122, 123, 124])
    np.testing.assert_allclose(one(np.full(30, 5.0), 3, 7), [5, 5, 5])


def test_it_is_the_published_method() -> None:
    """With no season and one alpha, the definition step by step."""
    x = np.random.default_rng(0).normal(size=40).cumsum()
    t = np.arange(40)
    slope, start = np.polyfit(t, x, 1)
    two = 2 * x - (start + slope * t)
    best = None
    for alpha in (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0):
        level, errors = two[0], 0.0
        for value in two[1:]:
            errors += (value - level) ** 2
            level += alpha * (value - level)
        if best is None or errors < best[0]:
            best = errors, level
    assert best is not None
    np.testing.assert_allclose(one(x, 2, 1), [(start + slope * (40 + h) + best[1]) / 2 for h in (0, 1)])


@pytest.mark.parametrize("season", [7, 12])
def test_a_pure_season_is_repeated(season: int) -> None:
    cycle = np.random.default_rng(0).normal(size=season)
    x = np.tile(cycle - cycle.mean(), 5)
    np.testing.assert_allclose(one(x, season + 2, season), np.resize(x[:season], season + 2), atol=1e-9)
    factors = 3 + np.tile(cycle - cycle.mean(), 5) / 2
    np.testing.assert_allclose(one(factors, season, season), factors[:season], atol=1e-9)


def test_the_airline_passengers() -> None:
    truth = PASSENGERS[132:]
    error = np.abs(one(PASSENGERS[:132], 12, 12) - truth) / truth
    assert error.mean() == pytest.approx(0.0532, abs=1e-4)
    assert (np.abs(PASSENGERS[120:132] - truth) / truth).mean() == pytest.approx(0.0999, abs=1e-4)


def test_rows_before_a_series_do_not_count() -> None:
    padded = np.full((1, 200, 2), np.nan)
    padded[0, -132:, 0] = PASSENGERS[:132]
    padded[0, -5:, 1] = [1, 2, 3, 4, 5]
    found = theta(padded, 12, 12)[0]
    np.testing.assert_allclose(found[:, 0], one(PASSENGERS[:132], 12, 12))
    np.testing.assert_allclose(found[:, 1], one(np.arange(1.0, 6.0), 12, 12))
    np.testing.assert_allclose(one(np.array([4.0]), 2, 12), [4, 4])


def test_the_history_is_bounded() -> None:
    assert [history_length(m) for m in (1, 7, 12, 24, 52, 144)] == [60, 70, 120, 240, 300, 432]
