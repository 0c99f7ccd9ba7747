from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from unroll.tasks.forecasting import metrics as fm

RNG = np.random.default_rng(0)
Y, T = RNG.normal(size=(20, 4, 3)), RNG.normal(size=(20, 4, 3))
SOME = RNG.random(T.shape) < 0.7
NONE = np.zeros(T.shape, dtype=bool)


def column(*values: float) -> np.ndarray:
    return np.array(values).reshape(1, -1, 1)


def test_errors_as_scikit_learn_has_them() -> None:
    for observed in (None, SOME):
        y, t = (Y.ravel(), T.ravel()) if observed is None else (Y[observed], T[observed])
        assert fm.mae(Y, T, observed) == pytest.approx(sk.mean_absolute_error(t, y), rel=1e-13)
        assert fm.mse(Y, T, observed) == pytest.approx(sk.mean_squared_error(t, y), rel=1e-13)
        assert fm.rmse(Y, T, observed) == pytest.approx(sk.root_mean_squared_error(t, y), rel=1e-13)
        assert fm.mape(Y, T, observed) == pytest.approx(100 * sk.mean_absolute_percentage_error(t, y), rel=1e-13)


def test_what_was_not_observed_may_be_anything() -> None:
    spoilt = np.where(SOME, T, np.nan)
    for metric in (fm.mae, fm.mse, fm.rmse, fm.mape, fm.smape):
        assert metric(Y, spoilt, SOME) == metric(Y, T, SOME)
        assert metric(Y, T, NONE) is None


def test_percentages_by_hand() -> None:
    y, t = column(110.0, 90.0, 5.0, 0.0), column(100.0, 100.0, 0.0, 0.0)
    assert fm.mape(y, t) == pytest.approx(10.0)
    assert np.isnan(fm.percentage_error(y, t)).ravel().tolist() == [False, False, True, True]
    assert fm.smape(y, t) == pytest.approx((200 * 10 / 210 + 200 * 10 / 190 + 200 + 0) / 4)
    assert fm.mape(y[:, 2:], t[:, 2:]) is None
    assert fm.smape(-t[:, :1], t[:, :1]) == 200.0


def test_mase_by_hand() -> None:
    history = np.array([[1.0, 7.0], [3.0, 7.0], [2.0, 7.0], [6.0, 7.0]])
    assert fm.naive_scale(history, 1)[0] == pytest.approx((2 + 1 + 4) / 3)
    assert fm.naive_scale(history, 2)[0] == pytest.approx((1 + 3) / 2)
    scale = fm.naive_scale(history, 2)
    assert np.isnan(scale[1])
    y, t = np.array([[[5.0, 8.0], [9.0, 8.0]]]), np.array([[[4.0, 7.0], [4.0, 9.0]]])
    assert fm.mase(y, t, scale) == pytest.approx((1 / 2 + 5 / 2) / 2)
    assert np.isnan(fm.absolute_scaled_error(y, t, scale)).tolist() == [[[False, True], [False, True]]]
    assert fm.mase(y, t, scale[None]) == fm.mase(y, t, scale)
    assert fm.mase(y, t, np.array([np.nan, np.nan])) is None
    assert fm.mase(np.repeat(y, 2, 0), np.repeat(t, 2, 0), np.array([[2.0, 1.0], [1.0, np.nan]])) == pytest.approx(
        (0.5 + 2.5 + 1 + 1 + 1 + 5) / 6
    )


def test_the_scale_of_a_constant_or_short_history_is_none() -> None:
    assert np.isnan(fm.naive_scale(np.ones((9, 1)), 1)).all()
    assert np.isnan(fm.naive_scale(np.ones((9, 1)), 12)).all()
    assert np.isnan(fm.naive_scale(np.arange(4.0)[:, None] % 2, 2)).all()
    gappy = np.array([[True], [False], [True], [True]])
    assert fm.naive_scale(np.array([[0.0], [50.0], [1.0], [4.0]]), 1, gappy).tolist() == [3.0]
    assert fm.naive_scale(np.array([[0.0], [50.0], [1.0], [4.0]]), 2, gappy).tolist() == [1.0]


def test_pinball_as_scikit_learn_has_it() -> None:
    levels = (0.1, 0.5, 0.9)
    quantiles = np.sort(RNG.normal(size=(20, 4, 3, 3)), axis=-1)
    each = [sk.mean_pinball_loss(T[SOME], quantiles[..., i][SOME], alpha=p) for i, p in enumerate(levels)]
    assert fm.pinball(quantiles, T, levels, SOME) == pytest.approx(np.mean(each), rel=1e-13)
    half, whole = fm.pinball(quantiles[..., 1:2], T, (0.5,)), fm.mae(quantiles[..., 1], T)
    assert half is not None
    assert whole is not None
    assert 2 * half == pytest.approx(whole, rel=1e-13)
    assert fm.pinball(quantiles, T, levels, NONE) is None


def test_intervals() -> None:
    lower, upper, t = column(0.0, 0.0, 0.0, 0.0), column(1.0, 2.0, 3.0, 4.0), column(1.0, 2.1, -0.1, 4.0)
    assert fm.coverage(lower, upper, t) == 0.5
    assert fm.width(lower, upper) == 2.5
    assert fm.coverage(lower, upper, t, np.zeros(t.shape, dtype=bool)) is None
    assert fm.width(lower, upper, np.zeros(t.shape, dtype=bool)) is None


def test_means_are_taken_some_windows_after_others() -> None:
    values = np.where(RNG.random(T.shape) < 0.1, np.nan, Y)
    means = fm.Means()
    for part in (slice(0, 7), slice(7, 8), slice(8, 20)):
        means.add(values[part], SOME[part])
    kept = SOME & ~np.isnan(values)
    assert means.count() == kept.sum()
    assert means.mean() == pytest.approx(values[kept].mean(), rel=1e-12)
    for k in range(3):
        assert means.mean(k) == pytest.approx(values[..., k][kept[..., k]].mean(), rel=1e-12)
    assert means.by_step() == pytest.approx([values[:, f][kept[:, f]].mean() for f in range(4)], rel=1e-12)
    assert fm.Means().mean() is None
    assert fm.Means().add(Y, NONE).by_step() == [None] * 4


def test_naive_forecasts() -> None:
    history = np.arange(7.0).reshape(1, 7, 1)
    assert fm.repeat_last(history, 3).ravel().tolist() == [6, 6, 6]
    assert fm.seasonal_naive(history, 7, 3).ravel().tolist() == [4, 5, 6, 4, 5, 6, 4]
    assert fm.seasonal_naive(history, 2, 1).ravel().tolist() == [6, 6]
    assert fm.seasonal_naive(history[:, 5:], 5, 4).ravel().tolist() == [6, 6, 5, 6, 6]
    history[0, :5] = np.nan
    assert fm.seasonal_naive(history, 4, 4).ravel().tolist() == [6, 6, 5, 6]
