from __future__ import annotations

import math

import numpy as np
import torch

from unroll.data.examples import Examples
from unroll.models.log_odds import log_odds, start_from_log_odds
from unroll.models.many_to_one import TokenInput


def test_the_formula_on_a_small_case() -> None:
    odds = log_odds(torch.tensor([[3.0, 1.0]]), torch.tensor([4.0, 6.0]))
    assert math.isclose(odds[0, 0].item(), math.log(4 / 6) - math.log(2 / 8), rel_tol=1e-6)
    assert math.isclose(odds[0, 1].item(), -odds[0, 0].item(), rel_tol=1e-6)


def test_vectors_move_by_their_log_odds_along_one_direction() -> None:
    inputs = TokenInput(6, 4, ngrams=2, buckets=50)
    before, grams = inputs.embedding.weight.clone(), inputs.grams.weight.clone()
    rows = [np.array([2, 3, 2]), np.array([2, 4]), np.array([3, 4]), np.array([1, 4])]
    start_from_log_odds(inputs, Examples.from_arrays(rows, np.array([0, 0, 1, 1])), 2)
    moved = (inputs.embedding.weight - before).detach()
    assert moved[[0, 1, 5]].abs().sum() == 0
    counts = {2: (2, 0), 3: (1, 1), 4: (1, 2)}
    for token, (no, yes) in counts.items():
        wanted = math.log((yes + 1) / 4) - math.log((no + 1) / 4)
        torch.testing.assert_close(moved[token].abs(), torch.full((4,), abs(wanted) * 0.05))
    torch.testing.assert_close(moved[2] / moved[2].abs(), -moved[4] / moved[4].abs())
    changed = ((inputs.grams.weight - grams).abs().sum(1) > 0).nonzero().flatten()
    pairs = {int(inputs.buckets_of(torch.tensor([pair]), 2)[0, 1]) for pair in ((2, 3), (3, 2), (2, 4), (3, 4), (1, 4))}
    assert set(changed.tolist()) <= pairs
    assert len(changed) == len(pairs)


def test_several_classes_have_a_direction_each() -> None:
    inputs = TokenInput(5, 64)
    with torch.no_grad():
        inputs.embedding.weight.zero_()
    rows = [np.array([2]), np.array([3]), np.array([4])] * 5
    start_from_log_odds(inputs, Examples.from_arrays(rows, np.array([0, 1, 2] * 5)), 3)
    assert torch.linalg.matrix_rank(inputs.embedding.weight[2:]).item() == 3
