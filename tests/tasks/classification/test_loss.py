from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unroll.data.batches import Batch
from unroll.tasks.classification.loss import MultiLabel, Regression, SingleLabel


def batch(target: Tensor, rows: slice = slice(None)) -> Batch:
    own = target[rows]
    n = len(own)
    return Batch(torch.zeros(n, 1), torch.ones(n).long(), own, torch.arange(n), len(target), target)


def test_single_label_loss_is_torchs_weighted_smoothed_mean() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 2])
    weights = torch.tensor([0.5, 1.0, 2.0])
    plain = SingleLabel(3).loss(logits, batch(target))
    torch.testing.assert_close(plain, functional.cross_entropy(logits, target))
    full = SingleLabel(3, weights, 0.1).loss(logits, batch(target))
    torch.testing.assert_close(full, functional.cross_entropy(logits, target, weights, label_smoothing=0.1))


@pytest.mark.parametrize("kind", ["single", "weighted", "multi", "regression"])
def test_the_losses_of_two_processes_add_up_to_the_loss_of_one(kind: str) -> None:
    logits = torch.randn(5, 3)
    if kind in ("single", "weighted"):
        target: Tensor = torch.tensor([0, 1, 2, 2, 1])
        objective = SingleLabel(3, torch.tensor([0.5, 1.0, 2.0]) if kind == "weighted" else None)
    elif kind == "multi":
        target, objective = torch.randint(0, 2, (5, 3)).float(), MultiLabel(3, torch.tensor([1.0, 2.0, 3.0]), 0.1)
    else:
        target, objective = torch.randn(5, 3), Regression(torch.ones(3), torch.full((3,), 2.0))
    whole = objective.loss(logits, batch(target))
    parts = [objective.loss(logits[rows], batch(target, rows)) for rows in (slice(0, None, 2), slice(1, None, 2))]
    torch.testing.assert_close(parts[0] + parts[1], whole)


def test_a_weighted_loss_counts_by_its_weights_so_batches_make_the_same_mean() -> None:
    logits, target = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 2])
    objective = SingleLabel(3, torch.tensor([0.5, 1.0, 2.0]))
    whole = objective.loss(logits, batch(target)).item()
    parts = [(logits[i : i + 2], batch(target[i : i + 2])) for i in (0, 2, 4)]
    weights = [float(objective.weight(b)) for _, b in parts]
    mean = sum(w * objective.loss(y, b).item() for (y, b), w in zip(parts, weights, strict=True)) / sum(weights)
    assert mean == pytest.approx(whole, rel=1e-6)


def test_large_regression_targets_keep_their_digits() -> None:
    target = torch.arange(8, dtype=torch.float64).unsqueeze(1) + 1e9
    objective = Regression(target.mean(0), target.std(0, correction=0))
    right = ((target - target.mean()) / target.std(correction=0)).float()
    assert objective.loss(right, batch(target)).item() < 1e-12
    metrics = objective.metrics()
    objective.update(metrics, right + 1, batch(target))
    assert metrics.compute()["mae"].item() == pytest.approx(target.std(correction=0).item(), rel=1e-6)


def test_multi_label_loss_is_torchs() -> None:
    logits, target = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    torch.testing.assert_close(
        MultiLabel(3).loss(logits, batch(target)), functional.binary_cross_entropy_with_logits(logits, target)
    )


def test_regression_learns_standardised_and_reports_in_units() -> None:
    objective = Regression(torch.tensor([10.0]), torch.tensor([4.0]))
    target = torch.tensor([[10.0], [14.0]])
    output = torch.tensor([[0.0], [0.0]])
    assert objective.loss(output, batch(target)).item() == pytest.approx(0.5)
    metrics = objective.metrics()
    objective.update(metrics, output, batch(target))
    assert metrics.compute()["rmse"].item() == pytest.approx(np.sqrt(8.0))
    assert metrics.compute()["mae"].item() == pytest.approx(2.0)


def weighted(target: Tensor, weights: Tensor, rows: slice = slice(None)) -> Batch:
    return replace(batch(target, rows), weights=weights[rows], all_weights=weights)


def test_weights_of_rows_multiply_those_of_classes() -> None:
    logits, target, rows = torch.randn(4, 3), torch.tensor([0, 1, 2, 2]), torch.tensor([1.0, 0.5, 3.0, 2.0])
    classes = torch.tensor([0.5, 1.0, 2.0])
    each = functional.cross_entropy(logits, target, reduction="none", label_smoothing=0.1)
    plain = SingleLabel(3, smoothing=0.1).loss(logits, weighted(target, rows))
    torch.testing.assert_close(plain, (each * rows).sum() / rows.sum())
    both = functional.cross_entropy(logits, target, classes, reduction="none", label_smoothing=0.1)
    loss = SingleLabel(3, classes, 0.1).loss(logits, weighted(target, rows))
    torch.testing.assert_close(loss, (both * rows).sum() / (classes[target] * rows).sum())


def test_a_row_of_weight_3_is_as_three_rows() -> None:
    rows, times = torch.tensor([1.0, 3.0]), torch.tensor([0, 1, 1, 1])
    logits, squares = torch.randn(2, 3), Regression(torch.zeros(3), torch.ones(3))
    for objective, target in ((MultiLabel(3), torch.randint(0, 2, (2, 3)).float()), (squares, torch.randn(2, 3))):
        once = objective.loss(logits, weighted(target, rows))
        torch.testing.assert_close(once, objective.loss(logits[times], batch(target[times])))
        assert float(objective.weight(weighted(target, rows))) == 4.0


@pytest.mark.parametrize("kind", ["single", "multi", "regression"])
def test_weighted_losses_of_two_processes_add_up(kind: str) -> None:
    logits, weights = torch.randn(5, 3), torch.tensor([0.5, 1.0, 4.0, 2.0, 1.0])
    target = torch.tensor([0, 1, 2, 2, 1]) if kind == "single" else torch.randint(0, 2, (5, 3)).float()
    objective = {
        "single": SingleLabel(3, torch.tensor([0.5, 1.0, 2.0])),
        "multi": MultiLabel(3),
        "regression": Regression(torch.zeros(3), torch.ones(3)),
    }[kind]
    parts = [
        objective.loss(logits[rows], weighted(target, weights, rows)) for rows in (slice(0, None, 2), slice(1, None, 2))
    ]
    torch.testing.assert_close(parts[0] + parts[1], objective.loss(logits, weighted(target, weights)))
