from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from unroll.tasks.classification import report


def test_single_label_figures_equal_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 1.2 * np.eye(3)[targets]
    p = torch.from_numpy(logits).softmax(1)
    predicted = p.argmax(1).numpy()
    found = report.single_label(p, torch.from_numpy(targets), ("a", "b", "c"), [0.2, 0.5, 0.3])
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(targets, predicted), abs=1e-12)
    for average in ("macro", "weighted"):
        wanted = sk.precision_recall_fscore_support(targets, predicted, average=average)
        for name, value in zip(("precision", "recall", "f1"), wanted, strict=False):
            assert found[f"{name}_{average}"] == pytest.approx(value, abs=1e-6)
    per_class = sk.precision_recall_fscore_support(targets, predicted)
    assert found["per_class"]["b"]["f1"] == pytest.approx(per_class[2][1], abs=1e-6)
    assert found["per_class"]["b"]["rows"] == per_class[3][1]
    assert found["roc_auc"] == pytest.approx(
        np.mean([sk.roc_auc_score(targets == k, p[:, k].numpy()) for k in range(3)]), abs=1e-6
    )
    assert found["confusion"] == sk.confusion_matrix(targets, predicted).tolist()
    assert found["baseline_accuracy"] == pytest.approx((targets == 1).mean())
    assert "always 'b'" in found["baseline"]


def test_multi_label_figures_equal_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, (100, 4))
    p = 1 / (1 + np.exp(-(rng.normal(size=(100, 4)) + 2 * targets - 1)))
    found = report.multi_label(torch.from_numpy(p), torch.from_numpy(targets), tuple("abcd"), [0.6, 0.1, 0.2, 0.3])
    predicted = (p >= 0.5).astype(int)
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(targets, predicted))
    assert found["f1_macro"] == pytest.approx(sk.f1_score(targets, predicted, average="macro"), abs=1e-6)
    assert found["f1_weighted"] == pytest.approx(sk.f1_score(targets, predicted, average="weighted"), abs=1e-6)
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(targets, p), abs=1e-6)
    assert found["baseline_accuracy"] == pytest.approx((targets == [1, 0, 0, 0]).mean())


def test_regression_figures_equal_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    targets = rng.normal(3, 2, (80, 1))
    values = targets + rng.normal(0, 0.5, (80, 1))
    found = report.regression(torch.from_numpy(values), torch.from_numpy(targets), ("value",), [3.0])
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(targets, values))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(targets, values))
    assert found["r2"] == pytest.approx(sk.r2_score(targets, values), abs=1e-6)
    assert found["baseline_rmse"] == pytest.approx(np.sqrt(((targets - 3) ** 2).mean()))
    both = np.concatenate([targets, 1000 + 0.1 * rng.normal(size=(80, 1))], 1)
    answers = np.concatenate([values, both[:, 1:] + 0.1 * rng.normal(size=(80, 1))], 1)
    several = report.regression(torch.from_numpy(answers), torch.from_numpy(both), ("x", "y"), [3.0, 1000.0])
    assert several["r2"] == pytest.approx(sk.r2_score(both, answers), abs=1e-6)
    assert several["per_target"]["y"]["r2"] == pytest.approx(sk.r2_score(both[:, 1], answers[:, 1]), abs=1e-6)
    two = report.regression(torch.zeros(3, 2), torch.ones(3, 2), ("x", "y"), [1.0, 1.0])
    assert two["per_target"]["y"] == {"mae": 1.0, "rmse": 1.0, "r2": None}


def test_one_class_in_the_data_has_no_area_and_says_so() -> None:
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    found = report.single_label(p, torch.tensor([0, 0]), ("a", "b"), [0.5, 0.5])
    assert found["roc_auc"] is None
    assert any("not defined" in line for line in report.format_report(found))
    assert found["accuracy"] == 0.5


def test_the_lines_show_the_baseline_beside_its_metric() -> None:
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    shown = report.format_report(report.single_label(p, torch.tensor([0, 1]), ("neg", "pos"), [0.6, 0.4]))
    assert shown[0] == "accuracy        1.0000   (0.5000 for always 'neg', the most common in the training part)"
