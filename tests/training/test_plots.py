from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from unroll.training.plots import plot_confusion, plot_curves, plot_gradients

pytestmark = pytest.mark.slow

ROWS = [
    {"epoch": 1.0, "train_loss": 0.9, "valid_loss": 0.8, "valid_accuracy": 0.5},
    {"epoch": 2.0, "train_loss": 0.5, "valid_loss": 0.6, "valid_accuracy": 0.75},
    {"epoch": 3.0, "train_loss": 0.3, "valid_loss": 0.7, "valid_accuracy": math.nan},
]


def drawn(path: Path, code: str) -> bool:
    image = (imread(path)[..., :3] * 255).round().astype(int)
    return bool((image == [int(code[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).any())


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]], ids=["three", "one"])
def test_curves_draw_both_losses_and_the_metric(rows: list, tmp_path: Path) -> None:
    plot_curves(rows, tmp_path / "c.png", monitor="accuracy", best_epoch=len(rows) // 2 + 1)
    assert all(drawn(tmp_path / "c.png", code) for code in ("#0072B2", "#D55E00", "#009E73"))


def test_curves_without_validation_draw_the_training_loss_alone(tmp_path: Path) -> None:
    plot_curves([{"epoch": 1.0, "train_loss": 0.4}], tmp_path / "c.png", monitor="accuracy")
    assert drawn(tmp_path / "c.png", "#0072B2")
    assert not drawn(tmp_path / "c.png", "#D55E00")


def picture_of(values: list[float], path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The figure of a history whose perplexity is `values` and whose losses are their logarithms."""
    kept: list[Figure] = []
    real = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (kept.append(figure), real(figure, *a, **k)))
    rows = [
        {"epoch": n + 1.0, "train_loss": math.log(v), "valid_loss": math.log(v), "valid_bits_per_character": v}
        for n, v in enumerate(values)
    ]
    best = values.index(min(values)) + 1
    plot_curves(rows, path, monitor="bits_per_character", best_epoch=best)
    return kept[0]


def test_a_value_that_falls_from_far_above_has_a_logarithmic_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = picture_of([70.0 + 900.0 * 0.9**n for n in range(300)], tmp_path / "c.png", monkeypatch)
    loss, metric = figure.axes
    assert (loss.get_yscale(), metric.get_yscale()) == ("linear", "log")
    shown = [t.get_text() for t in metric.get_yticklabels()]
    assert {"100", "200", "500", "1000"} <= set(shown)
    # three hundred dots would hide the line
    assert [line.get_marker() for line in metric.lines[:1]] == [""]
    figure = picture_of([2.5, 2.1, 2.0], tmp_path / "d.png", monkeypatch)
    assert [at.get_yscale() for at in figure.axes] == ["linear", "linear"]
    assert figure.axes[1].lines[0].get_marker() == "o"


def test_a_long_name_and_the_best_value_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = picture_of([123.45, 119.5], tmp_path / "c.png", monkeypatch)
    metric = figure.axes[1]
    left, right = (t for t in (metric._left_title, metric._right_title))  # type: ignore[attr-defined]
    assert (left.get_text(), right.get_text()) == ("bits per character", "best: 119.5 in epoch 2")
    assert left.get_window_extent().x1 < right.get_window_extent().x0


def test_gradients_with_zeros_and_without_any_positive_number(tmp_path: Path) -> None:
    table = {"step": [1.0, 2.0, 3.0], "all": [1.0, 0.5, 2.0], "l0": [0.0, 0.1, 0.2]}
    plot_gradients(table, tmp_path / "a.png", max_grad_norm=5.0)
    plot_gradients({"step": [1.0], "all": [0.0], "l0": [0.0]}, tmp_path / "b.png")
    assert drawn(tmp_path / "a.png", "#0072B2")
    assert (tmp_path / "b.png").stat().st_size > 1000


@pytest.mark.parametrize("k", [2, 10, 70])
def test_confusion_of_any_size_and_script(k: int, tmp_path: Path) -> None:
    matrix = np.zeros((k, k), dtype=np.int64)
    matrix[: k // 2] = np.eye(k, dtype=np.int64)[: k // 2] * 50
    names = [f"{'好评' if i % 2 else 'label with a long name'} {i}" for i in range(k)]
    plot_confusion(matrix, names, tmp_path / "c.png")
    assert drawn(tmp_path / "c.png", "#08306B")


def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    made: list[Figure] = []
    monkeypatch.setattr("unroll.training.plots.save_figure", lambda figure, _: made.append(figure))
    return made


def test_the_gradients_of_many_layers_are_a_heat_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = figures(monkeypatch)
    for n in (8, 30):
        layers = {f"recurrent.l{i}": [10.0**-i, 0.0, 1.0] for i in range(n)}
        plot_gradients({"step": [1.0, 2.0, 3.0], "all": [1.0, 2.0, 1.0], **layers}, tmp_path / "g.png")
    few, many = made
    assert [len(at.lines) for at in few.axes] == [9]
    assert [len(at.lines) for at in many.axes][:2] == [1, 0]
    assert [t.get_text() for t in many.axes[1].get_yticklabels()] == [f"recurrent.l{i}" for i in range(30)]


def test_of_many_classes_those_with_the_most_errors_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = figures(monkeypatch)
    matrix = np.diag(np.full(120, 9))
    matrix[np.arange(100, 120), np.arange(100, 120)[::-1]] = 5
    plot_confusion(matrix, [f"c{i}" for i in range(120)], tmp_path / "c.png", part="test")
    (figure,) = made
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [f"c{i}" for i in range(100, 120)]
    assert figure.get_suptitle() == "true and predicted labels of the test part: the 20 of 120 with the most errors"
