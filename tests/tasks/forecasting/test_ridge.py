from __future__ import annotations

import numpy as np
import pytest

from unroll.models.forecaster.skip import naive_weight
from unroll.tasks.forecasting.ridge import fit_ridge


def series(rows: int = 200, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    t = np.arange(rows)
    return np.sin(2 * np.pi * t / 7) + 0.02 * t + np.random.default_rng(seed).normal(0, noise, rows)


def test_a_trend_with_a_season_is_continued() -> None:
    x = series()
    found = fit_ridge([x], [0], lookback=14, horizon=5, season=7)
    assert found is not None
    assert found.error < 0.01
    np.testing.assert_allclose(found.affine.sum(1), 1.0)
    np.testing.assert_allclose(found.affine @ x[100:114], x[114:119], atol=0.01)
    np.testing.assert_allclose(found.affine @ (x[100:114] + 9), x[114:119] + 9, atol=0.01)


def test_it_is_shrunk_towards_a_naive_forecast() -> None:
    rng = np.random.default_rng(0)
    walks = [rng.normal(0, 1, 60).cumsum() for _ in range(20)]
    found = fit_ridge(walks, range(20), lookback=7, horizon=3, season=7)
    assert found is not None
    assert found.start == "last"
    assert np.abs(found.weight - naive_weight(7, 3, 1).numpy()).max() < 0.25
    seasonal = [np.tile(rng.normal(0, 1, 7), 9) + rng.normal(0, 0.1, 63) for _ in range(20)]
    found = fit_ridge(seasonal, range(20), lookback=7, horizon=3, season=7)
    assert found is not None
    assert found.error < 0.15


def test_held_out_windows_measure_the_error() -> None:
    many = [series(40, 0.3, seed) for seed in range(20)]
    found = fit_ridge(many, range(20), lookback=14, horizon=5, season=7, longest=20)
    assert found is not None
    assert found.residuals.shape == (4 * (40 - 20 - 5 + 1), 5)
    assert found.error == pytest.approx(np.abs(found.residuals).mean())
    one = fit_ridge([series(100, 0.3)], [0], lookback=14, horizon=5, season=7)
    assert one is not None
    assert one.residuals.shape == (17, 5)


def test_quantiles_of_the_residuals() -> None:
    found = fit_ridge([series(300, 0.3)], [0], lookback=14, horizon=5, season=7)
    assert found is not None
    low, middle, high = found.quantiles((0.1, 0.5, 0.9), relative=False)
    assert middle == 0
    assert low == pytest.approx(np.quantile(found.residuals, 0.1))
    assert high == pytest.approx(np.quantile(found.residuals, 0.9))
    relative = found.quantiles((0.1, 0.5, 0.9), relative=True)
    assert relative[2] == pytest.approx(np.quantile(found.residuals / found.deviations[:, None], 0.9))


def test_too_few_rows() -> None:
    assert fit_ridge([series(10)], [0], lookback=7, horizon=4, season=7) is None
    found = fit_ridge([series(12)], [0], lookback=7, horizon=4, season=7)
    assert found is not None
    assert found.residuals.shape == (2, 4)
