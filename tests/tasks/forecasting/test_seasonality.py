from __future__ import annotations

import numpy as np
import pytest

from unroll.tasks.forecasting.seasonality import autocorrelation, find_season, is_seasonal


def test_autocorrelation_is_its_definition() -> None:
    x = np.random.default_rng(0).normal(size=(1, 50))
    there = np.ones((1, 50), dtype=bool)
    there[0, :4] = False
    kept = x[0, 4:] - x[0, 4:].mean()
    wanted = [1, *((kept[k:] * kept[:-k]).sum() / (kept**2).sum() for k in (1, 2, 3))]
    assert autocorrelation(x, there, 3)[0] == pytest.approx(wanted)
    assert autocorrelation(np.full((1, 9), 0.1), there[:, 4:13], 2).tolist() == [[0, 0, 0]]


def test_a_season_is_tested() -> None:
    t = np.arange(60)
    rng = np.random.default_rng(0)
    rows = np.stack([np.sin(2 * np.pi * t / 12), rng.normal(size=60), rng.normal(size=60).cumsum()])
    there = np.ones(rows.shape, dtype=bool)
    assert is_seasonal(rows, there, 12).tolist() == [True, False, False]
    there[0, :30] = False
    assert not is_seasonal(rows, there, 12)[0]


def test_a_season_is_found() -> None:
    t = np.arange(120)
    rng = np.random.default_rng(0)
    many = [np.sin(2 * np.pi * (t + s) / 9) + 0.1 * t + rng.normal(0, 0.1, 120) for s in range(3)]
    season, r = find_season(many)
    assert season == 9
    assert 0.6 < r < 1
    assert find_season([rng.normal(size=200)]) == (1, 0.0)
    assert find_season([rng.normal(size=200).cumsum()]) == (1, 0.0)
    assert all(find_season([np.arange(30) + rng.normal(size=30)]) == (1, 0.0) for _ in range(20))
    assert find_season([np.arange(4.0)]) == (1, 0.0)
    assert find_season([]) == (1, 0.0)
