from __future__ import annotations

import numpy as np
import pytest

from unroll.tasks.forecasting.conformal import offsets

LEVELS = (0.1, 0.5, 0.9)


def test_a_point_forecast_gets_the_rank_of_its_absolute_errors() -> None:
    errors = np.arange(1.0, 100.0) * np.where(np.arange(99) % 2, 1, -1)
    scores = np.repeat(errors[:, None, None, None], 3, -1)
    found = offsets(scores, np.ones((99, 1, 1), dtype=bool), LEVELS)
    assert found[0, 0].tolist() == [-80, 0, 80]


def test_wide_quantiles_are_narrowed_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, 4000)
    scores = truth[:, None, None, None] - np.array([-3.0, 0.0, 3.0])
    low, middle, high = offsets(scores, np.ones((4000, 1, 1), dtype=bool), LEVELS)[0, 0]
    assert (low, middle) == (-high, 0)
    assert high == pytest.approx(1.2816 - 3, abs=0.05)
    assert ((-3 + low <= truth) & (truth <= 3 + high)).mean() == pytest.approx(0.8, abs=0.001)


def test_a_level_without_a_partner_is_moved_by_itself() -> None:
    scores = np.repeat(np.arange(1.0, 100.0)[:, None, None, None], 2, -1)
    assert offsets(scores, np.ones((99, 1, 1), dtype=bool), (0.5, 0.8))[0, 0].tolist() == [0, 80]


def test_every_step_has_its_own_where_there_are_fifty_scores() -> None:
    size = np.array([1.0, 2.0, 3.0, 4.0])
    errors = np.tile(np.arange(1.0, 61.0)[:, None], (1, 4)) * size
    scores = np.repeat(errors[:, :, None, None], 3, -1)
    seen = np.ones((60, 4, 1), dtype=bool)
    assert offsets(scores, seen, LEVELS)[:, 0, 2].tolist() == [49, 98, 147, 196]
    seen[20:] = False
    few = offsets(scores, seen, LEVELS)[:, 0, 2]
    assert few[0] == np.sort(np.concatenate([errors[:20, 0], errors[:20, 1], errors[:20, 2]]))[48]


def test_nothing_observed_moves_nothing() -> None:
    found = offsets(np.ones((5, 2, 1, 3)), np.zeros((5, 2, 1), dtype=bool), LEVELS)
    assert found.tolist() == np.zeros((2, 1, 3)).tolist()
