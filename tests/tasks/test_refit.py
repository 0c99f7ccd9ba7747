from __future__ import annotations

import json

import pytest
import torch

import unroll
from unroll.errors import OptionError, RunError
from unroll.tasks.base import DataPaths
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.train import finish, resume, train_from_files
from unroll.training import checkpoints, loop
from unroll.training.options import TrainingOptions

pytestmark = pytest.mark.slow

SMALL = {"hidden_size": 4, "embedding_dim": 4, "threads": 1, "refit": True}
OPTIONS = {**SMALL, "batch_size": 4, "baseline": "none", "min_freq": 1, "learning_rate": 0.01}


def fit(tmp_path, name="run", *, slim=False, **options):
    rows = [f"good film {i},a\nbad film {i},b" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "test.csv").write_text("text,label\ngood film,a\nbad film,b\n")
    settings = ClassificationSettings.from_flat(OPTIONS | options)
    said: list[str] = []
    data = DataPaths([str(tmp_path / "a.csv")], test=[str(tmp_path / "test.csv")])
    metrics = train_from_files("classification", data, settings, tmp_path / name, slim=slim, say=said.append)
    return metrics, said


def test_the_second_training_has_every_row_and_as_many_epochs(tmp_path):
    metrics, said = fit(tmp_path, epochs=3)
    assert metrics["training"]["rows"] == 36
    again = metrics["training"]["refit"]
    assert (again["rows"], again["epochs"]) == (40, 3)
    assert "\ntrained again on 40 rows, those of validation too, for 3 epochs" in said
    assert metrics["validation"]["rows"] == 4
    history = (tmp_path / "run" / "refit" / "history.csv").read_text().splitlines()
    assert len(history) == 4
    assert "valid_loss" not in history[0]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
    readme = (tmp_path / "run" / "README.md").read_text()
    assert "then again on 40 rows, those of validation too, which is the model that was kept" in readme
    assert "| `refit/` | history of the second training" in readme or "| `refit` | history of the second" in readme
    weights = unroll.load(tmp_path / "run").model.state_dict()
    second = checkpoints.load(tmp_path / "run" / "refit" / "checkpoints" / "best")["model"]
    assert all(torch.equal(weights[name], second[name]) for name in weights)
    first = checkpoints.load(tmp_path / "run" / "checkpoints" / "best")["model"]
    assert not all(torch.equal(weights[name], first[name]) for name in weights)


def test_a_training_that_stopped_early_is_repeated_up_to_its_best_epoch(tmp_path):
    metrics, _ = fit(tmp_path, epochs=50, patience=2, learning_rate=0.05)
    first = metrics["training"]
    assert first["stopped"] == "early"
    assert first["refit"]["epochs"] == first["best_epoch"] < first["epochs"]


def test_options_that_need_validation_data_throughout_are_refused_before_the_training(tmp_path):
    with pytest.raises(OptionError, match="schedule 'plateau' needs validation data, and there is none"):
        fit(tmp_path, schedule="plateau")


def test_finish_takes_the_first_training(tmp_path):
    fit(tmp_path, epochs=2)
    run = tmp_path / "run"
    (run / "manifest.json").unlink()
    (run / "model.safetensors").unlink()
    assert "refit" not in finish(run, say=lambda _: None)["training"]


def test_a_language_model_reads_the_held_out_text_too(tmp_path):
    (tmp_path / "a.txt").write_text("to be or not to be\n" * 40)
    settings = LanguageSettings.from_flat({**SMALL, "epochs": 1, "batch_size": 2, "bptt": 8})
    metrics = train_from_files(
        "language-model", DataPaths([str(tmp_path / "a.txt")]), settings, tmp_path / "run", say=lambda _: None
    )
    first = metrics["training"]
    assert first["refit"]["tokens"] == first["tokens"] + metrics["validation"]["tokens"]


def test_each_training_has_half_of_the_time(tmp_path, monkeypatch):
    budgets: list[str] = []
    trainer = loop.fit

    def noting(model, objective, train, valid, options, *arguments, **more):
        budgets.append(options.max_time)
        return trainer(model, objective, train, valid, options, *arguments, **more)

    monkeypatch.setattr("unroll.tasks.train.fit", noting)
    metrics, _ = fit(tmp_path, epochs=1_000_000, max_time="2s", batch_size=1)
    assert metrics["training"]["stopped"] == "time"
    assert 0.9 < metrics["training"]["seconds"] < 1.6
    again = metrics["training"]["refit"]
    assert again["epochs"] <= metrics["training"]["epochs"]
    assert again["seconds"] < 1.6
    assert budgets == ["1s", "1s"]


def test_an_estimator_keeps_the_second_model():
    X, y = ["good film", "bad film"] * 20, ["a", "b"] * 20
    answers = []
    for refit in (True, False):
        clf = unroll.Classifier(hidden_size=4, embedding_dim=4, threads=1, epochs=2, refit=refit)
        answers.append(clf.fit(X, y).predict_proba(["good"])[0, 0])
        assert len(clf.history_) == 2
        assert "valid_loss" in clf.history_[0]
    assert answers[0] != answers[1]


def test_a_time_is_a_number_with_a_unit():
    for wrong in ("5", "m", "-5m", "5 days", "infs", "0s"):
        with pytest.raises(OptionError, match="give a number with s, m or h, such as 90s, 5m or"):
            TrainingOptions(max_time=wrong)


def test_a_second_training_that_was_stopped_goes_on(tmp_path, monkeypatch):
    whole, _ = fit(tmp_path, "whole", epochs=3, checkpoint_every=1)
    trainer, calls = loop.fit, []

    def stopping(model, objective, train, *arguments, **more):
        calls.append(more["resume"])
        if len(calls) == 2:
            batches = train.__class__.__iter__
            monkeypatch.setattr(train.__class__, "__iter__", lambda self: broken(batches(self)))
        return trainer(model, objective, train, *arguments, **more)

    def broken(batches):
        yield next(batches)
        raise RunError("the disk is full")

    monkeypatch.setattr("unroll.tasks.train.fit", stopping)
    with pytest.raises(RunError, match="the disk is full"):
        fit(tmp_path, "stopped", epochs=3, checkpoint_every=1)
    monkeypatch.undo()
    metrics = resume(tmp_path / "stopped", say=lambda _: None)
    assert metrics["test"] == whole["test"]
    one, other = (unroll.load(tmp_path / name).model.state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_forecaster_is_trained_on_the_last_windows_too(tmp_path):
    lines = ["date,y", *(f"{2000 + i // 12}-{i % 12 + 1:02d}-01,{i % 12 + i / 10}" for i in range(96))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    given = {"time": "date", "target": ["y"], "lookback": 12, "horizon": 3, "valid_size": 12, "test_size": 12}
    options = {"preset": "none", "baseline": "none", "hidden_size": 4, "epochs": 2, "threads": 1, "refit": True}
    settings = ForecastingSettings.from_flat(given | options)
    metrics = train_from_files(
        "forecasting", DataPaths([str(tmp_path / "a.csv")]), settings, tmp_path / "run", say=lambda _: None
    )
    assert metrics["training"]["windows"] == 72 - 12 - 3 + 1
    assert metrics["training"]["refit"]["windows"] == 84 - 12 - 3 + 1


def test_slim_leaves_no_checkpoints_of_either(tmp_path):
    fit(tmp_path, epochs=2, slim=True)
    assert not list((tmp_path / "run").rglob("checkpoints"))
    assert (tmp_path / "run" / "refit" / "history.csv").exists()
