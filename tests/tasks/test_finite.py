from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import unroll
from unroll.errors import RunError
from unroll.runs import Run
from unroll.tasks.batch_loop import require_finite

SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "threads": 1}
TEXTS, NUMBERS = ["good a", "bad b"] * 10, [1.0, 2.0] * 10


@pytest.mark.parametrize("answer", [torch.tensor([1.0, float("nan")]), np.array([[np.inf]]), float("nan"), -np.inf])
def test_what_is_not_finite_is_refused(answer: Any) -> None:
    with pytest.raises(RunError, match="the model answers with a value that is not finite"):
        require_finite(np.zeros(2), answer)


def test_what_is_finite_passes() -> None:
    require_finite(torch.zeros(2), np.array([1e308]), 3.5, np.empty(0))


def enlarge(model: torch.nn.Module) -> None:
    """Weights that are finite, and whose sums are not."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3e38)


def test_finite_weights_with_answers_that_are_not(tmp_path: Path) -> None:
    regressor = unroll.Regressor(**SMALL, min_freq=1).fit(TEXTS, NUMBERS)
    enlarge(regressor.model_)
    predictor: Any = unroll.load(regressor.save(tmp_path / "regressor"))
    data = tmp_path / "new.jsonl"
    data.write_text('{"text": "good a", "label": 1}\n')
    for ask in (lambda: list(predictor.predict(["good a"])), lambda: predictor.evaluate(str(data))):
        with pytest.raises(RunError, match="not finite; its weights may be damaged"):
            ask()


def test_a_forecaster_whose_answers_are_not_finite(tmp_path: Path) -> None:
    table = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "y": np.sin(np.arange(60.0))})
    forecaster = unroll.Forecaster(**SMALL, horizon=2, lookback=4).fit(table)
    enlarge(forecaster.model_)
    predictor: Any = unroll.load(forecaster.save(tmp_path / "run"))
    with pytest.raises(RunError, match="not finite; its weights may be damaged"):
        predictor.predict(table)


def test_a_language_model_whose_figures_are_not_finite(tmp_path: Path) -> None:
    model = unroll.LanguageModel(**SMALL, min_freq=1, batch_size=2).fit(TEXTS)
    enlarge(model.model_)
    predictor: Any = unroll.load(model.save(tmp_path / "run"))
    (tmp_path / "t.txt").write_text("good a\nbad b\n")
    with pytest.raises(RunError, match="not finite; its weights may be damaged"):
        predictor.evaluate(str(tmp_path / "t.txt"))


def test_scales_are_above_zero(tmp_path: Path) -> None:
    path = unroll.Regressor(**SMALL, min_freq=1).fit(TEXTS, NUMBERS).save(tmp_path / "run")
    document = json.loads((path / "labels.json").read_text())
    for scale in (0.0, -1.0):
        Run(path).write_json("labels.json", document | {"scale": [scale]})
        with pytest.raises(RunError, match=r"labels\.json is damaged: a 'scale' is not above 0"):
            unroll.load(path, trust_changed=True)


def test_a_damaged_vocabulary_is_named(tmp_path: Path) -> None:
    path = unroll.Regressor(**SMALL, min_freq=1).fit(TEXTS, NUMBERS).save(tmp_path / "run")
    (path / "encoder.json").write_text('{"format": "unroll.text/1"}')
    with pytest.raises(RunError, match=r"encoder\.json: the vocabulary"):
        unroll.load(path, trust_changed=True)


def test_an_option_that_is_missing_is_no_default(tmp_path: Path) -> None:
    path = unroll.Regressor(**SMALL, min_freq=1).fit(TEXTS, NUMBERS).save(tmp_path / "run")
    lines = (path / "config.yaml").read_text().splitlines(keepends=True)
    for left in (-1, -9, len(lines) // 2):
        (path / "config.yaml").write_text("".join(lines[:left]))
        with pytest.raises(unroll.UserError, match=r"config\.yaml: the option '\w+' is missing"):
            unroll.load(path, trust_changed=True)
