from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unroll.data.options import SourceOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.data.timeseries.windows import ForecastWindows
from unroll.errors import DataError, OptionError, RunError
from unroll.runs import Run
from unroll.tasks.base import DataPaths, TrainingData
from unroll.tasks.forecasting.inference import answer
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.task import ForecastingTask
from unroll.tasks.train import train_from_files

STRATEGIES = ("recursive", "direct", "seq2seq", "segrnn")
SMALL = {"lookback": 12, "horizon": 6, "hidden_size": 8, "threads": 1, "preset": "none"}


def table(rows: int = 80, series: int = 2, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for s in range(series):
        t = np.arange(rows)
        parts.append(
            pd.DataFrame(
                {
                    "shop": f"s{s}",
                    "day": pd.date_range("2024-01-01", periods=rows, freq="D"),
                    "sales": 10 * (s + 1) + np.sin(2 * np.pi * t / 7) + rng.normal(0, 0.1, rows).cumsum(),
                    "visits": 100 + 5 * np.cos(2 * np.pi * t / 7) + rng.normal(0, 1, rows),
                    "rain": rng.normal(0, 1, rows),
                    "promo": rng.integers(0, 2, rows).astype(float),
                    "size": float(s),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def prepared(df: pd.DataFrame, **options: Any) -> TrainingData:
    columns = {
        "series_id": "shop",
        "target": ["sales", "visits"],
        "future_covariates": ["promo"],
        "static_covariates": ["size"],
    }
    if options.get("strategy") != "recursive":
        columns["past_covariates"] = ["rain"]
    settings = ForecastingSettings.from_flat(SMALL | {"test_size": "14", "valid_size": "10"} | columns | options)
    frames = from_dataframe(df, settings.frame, where="the table")
    return ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None)


def model_of(made: TrainingData) -> Any:
    torch.manual_seed(0)
    return made.task.network().eval()


@pytest.mark.parametrize("gaps", ["none", "fill", "interpolate"])
@pytest.mark.parametrize("output", ["point", "normal"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_future_value_reaches_a_forecast(strategy: str, output: str, gaps: str) -> None:
    """Everything from the origin on is changed, but for what is known: the forecast stays the same, bit for bit."""
    options: dict[str, Any] = {"strategy": strategy, "output": output}
    if output == "normal" and strategy in ("recursive", "seq2seq"):
        options["paths"] = 5
    df = table()
    if gaps != "none":
        options["gaps"] = gaps
        df.loc[(df.day >= "2024-03-09") & (df.day < "2024-03-13"), "sales"] = np.nan
        df.loc[(df.day >= "2024-03-08") & (df.day < "2024-03-11"), "rain"] = np.nan
    first = prepared(df, **options)
    model = model_of(first)
    test: ForecastWindows = first.test
    series, origins = test.locate()
    for number in (0, 3, test.size - 1):
        origin = test.frames.series[series[number]].stamps[origins[number]]
        spoilt = df.copy()
        later = spoilt.day >= pd.Timestamp(origin)
        filled = spoilt.loc[later, ["sales", "visits", "rain"]]
        spoilt.loc[later, ["sales", "visits", "rain"]] = filled.fillna(0.0) * -3.0 + 1e4
        again = prepared(spoilt, **options)
        rows = np.array([number])
        found = [
            answer(model, made.test, made.task.scaler.table(made.test.frames.names), seed=0, rows=rows)
            for made in (first, again)
        ]
        assert np.array_equal(found[0].point, found[1].point)
        if output == "normal":
            assert np.array_equal(found[0].quantiles, found[1].quantiles)
        truth = [made.test.truth(rows)[0] for made in (first, again)]
        assert not np.array_equal(*truth)


def test_nothing_held_out_reaches_the_training_part() -> None:
    df = table()
    spoilt = df.copy()
    late = spoilt.day >= spoilt.day.max() - pd.Timedelta(days=23)
    spoilt.loc[late, ["sales", "visits", "rain", "promo"]] = 1e5
    one, other = prepared(df), prepared(spoilt)
    errors, again = one.task.measured.errors, other.task.measured.errors
    assert one.task.scaler.to_json() == other.task.scaler.to_json()
    assert errors.keys() == again.keys()
    assert all(np.array_equal(errors[name], again[name], equal_nan=True) for name in errors)
    assert one.train.size == 2 * (80 - 24 - 18 + 1)
    for a, b in zip(
        one.task.batches(one.train, training=True), other.task.batches(other.train, training=True), strict=True
    ):
        for name in ("x", "target", "past", "known", "static"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_every_window_of_the_held_out_parts_counts() -> None:
    made = prepared(table(), stride=3)
    assert made.valid.size == 2 * (10 - 6 + 1)
    assert made.test.size == 2 * (14 - 6 + 1)
    assert made.train.size == 2 * ((80 - 24 - 18) // 3 + 1)
    _, origins = made.test.locate()
    assert origins.min() == 80 - 14


def test_a_season_and_what_follows_from_it() -> None:
    made = prepared(table(), lookback=0, horizon=0)
    reach = made.task.settings.reach
    assert (reach.season, reach.horizon, reach.lookback) == (7, 7, 14)
    made = prepared(table(), lookback=0, horizon=10, strategy="segrnn")
    assert made.task.settings.reach.lookback == 20
    assert made.task.settings.forecaster.segment == 10
    made = prepared(table(), valid_size="")
    assert made.valid.size == 2 * (8 - 6 + 1)
    assert prepared(table(), valid_size="0").valid is None
    assert prepared(table(), test_size="").test is None


def test_parts_by_share_rows_and_time() -> None:
    for test_part in ("14", "0.175", "2024-03-07"):
        made = prepared(table(), test_size=test_part)
        assert made.test.size == 2 * 9, test_part
    made = prepared(table(), train_size="40")
    _, origins = made.test.locate()
    assert origins.min() == 50


def write(df: pd.DataFrame, path: Path) -> str:
    df.to_csv(path, index=False)
    return str(path)


def test_files_for_validation_and_test_follow_the_training_data(tmp_path: Path) -> None:
    df = table()
    parts = [
        df[df.day < "2024-02-20"],
        df[(df.day >= "2024-02-20") & (df.day < "2024-03-05")],
        df[df.day >= "2024-03-05"],
    ]
    names = [write(part, tmp_path / f"{i}.csv") for i, part in enumerate(parts)]
    settings = ForecastingSettings.from_flat(
        SMALL | {"series_id": "shop", "target": ["sales"], "past_covariates": ["rain"], "valid_size": ""}
    )
    sources = DataPaths([names[0]], [names[1]], [names[2]])
    made = ForecastingTask.prepare("forecasting", settings, sources, lambda _: None)
    assert made.train.size == 2 * (50 - 18 + 1)
    assert made.valid.size == 2 * (14 - 6 + 1)
    assert made.test.size == 2 * (16 - 6 + 1)
    with pytest.raises(OptionError, match="test_size is set, and test data is given too"):
        ForecastingTask.prepare(
            "forecasting", replace(settings, reach=replace(settings.reach, test_size="3")), sources, lambda _: None
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecasting")
    data = write(table(), folder / "sales.csv")
    options = SMALL | {
        "series_id": "shop", "target": ["sales", "visits"], "past_covariates": ["rain"],
        "future_covariates": ["promo"], "static_covariates": ["size"],
        "output": "quantile", "epochs": 3, "learning_rate": 0.01, "test_size": "14", "valid_size": "10",
    }  # fmt: skip
    train_from_files(
        "forecasting", DataPaths([data]), ForecastingSettings.from_flat(options), folder / "run", say=lambda _: None
    )
    return folder


def test_a_run_is_complete(trained: Path) -> None:
    names = {path.name for path in (trained / "run").iterdir()}
    assert names >= {"config.yaml", "model.safetensors", "scaler.json", "forecast.png", "horizon.png", "metrics.json"}
    metrics = json.loads((trained / "run" / "metrics.json").read_text())
    test = metrics["test"]
    assert test["windows"] == 18
    for name in ("mse_scaled", "mae_scaled", "mae", "rmse", "mape", "smape", "mase", "pinball", "coverage"):
        assert np.isfinite(test[name]), name
    assert test["baselines"].keys() == {"repeat_last", "seasonal_naive", "theta"} == test["beats"].keys()
    assert test["per_target"].keys() == {"sales", "visits"}
    assert {len(values) for values in test["by_step"].values()} == {6}
    assert metrics["training"]["windows"] == 2 * (80 - 24 - 18 + 1)


def test_a_task_read_again_reports_the_same(trained: Path) -> None:
    run = Run.open(trained / "run")
    task = ForecastingTask.from_run(run)
    model = task.network()
    run.read_weights(model)
    df = table()
    again = prepared(df, output="quantile")
    found = task.evaluate(model.eval(), again.test)
    wanted = json.loads((trained / "run" / "metrics.json").read_text())["test"]
    assert found["mae"] == pytest.approx(wanted["mae"], rel=1e-6)
    assert found["mase"] == pytest.approx(wanted["mase"], rel=1e-6)
    assert found["in_training"] == wanted["in_training"] == 0
    late = write(df[df.day >= "2024-02-10"], trained / "late.csv")
    part = task.load([late], SourceOptions(), lambda _: None)
    assert part.size == 2 * (40 - 18 + 1)
    # training ends on February 25, the first origin is February 22
    found = task.evaluate(model, part)
    assert found["in_training"] == 8
    assert any(line.startswith("8 of 46 windows begin in the rows") for line in task.format_report(found))


def test_a_damaged_scaler_is_named(trained: Path, tmp_path: Path) -> None:
    import shutil

    for key, value, sentence in (
        ("errors", [["s0", [1.0, 2.0]]], "'errors' must hold 2 numbers for each series"),
        ("trained", [["s0", "2024"], ["s1", "yesterday"]], "'trained' must hold a time for each series"),
        ("format", "x", "is not in the form"),
        ("layout", {}, "is damaged: the layout"),
        ("scaler", 3, "is damaged: the scaler"),
    ):
        shutil.copytree(trained / "run", tmp_path / "run", dirs_exist_ok=True)
        document = json.loads((tmp_path / "run" / "scaler.json").read_text())
        document[key] = value
        (tmp_path / "run" / "scaler.json").write_text(json.dumps(document))
        with pytest.raises(RunError, match=sentence):
            ForecastingTask.from_run(Run.open(tmp_path / "run", trust_changed=True))


def test_what_is_said_before_and_after(trained: Path) -> None:
    made = prepared(table(), output="quantile", strategy="segrnn", segment=3)
    said = "\n".join(made.task.describe(made, model_of(made)))
    assert "2 series, 78 windows to train, 10 windows to validate, 18 windows to test" in said
    assert "6 steps from 12, frequency D, a season of 7" in said
    assert "segrnn of 3, 1 LSTM layer of 8, output quantile" in said
    assert "2 targets, 1 past, 1 known, 1 static inputs" in said
    test = json.loads((trained / "run" / "metrics.json").read_text())["test"]
    task = ForecastingTask.from_run(Run.open(trained / "run"))
    text = task.format_report(test)
    assert text[0].split() == ["model", "repeat", "last", "seasonal", "naive", "(7)", "Theta"]
    assert any(line.startswith("MASE ") for line in text)
    assert len(task.format_report(test, full=False)) < len(text)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"segment": 3}, "segment is set, but it goes with strategy 'segrnn'"),
        ({"teacher_forcing": 0.1}, "teacher_forcing is set, but it goes with strategy 'seq2seq'"),
        ({"loss": "mae", "output": "normal"}, "loss is set, but it goes with output 'point'"),
        (
            {"quantiles": [0.2, 0.5, 0.8]},
            "quantiles is set, but it goes with output 'quantile', a distribution, or intervals 'conformal'",
        ),
        ({"paths": 7, "output": "normal"}, "paths is set, but it goes with quantiles of strategies that feed"),
        ({"strategy": "segrnn", "segment": 5}, r"segment is 5, which does not divide lookback \(12\)"),
        ({"horizon": 90}, "the horizon is 90 steps, but series 's0' has only 80 rows"),
        ({"lookback": 60}, "a history of 60 and a horizon of 6 need 66"),
        ({"test_size": "5"}, "has 5 rows, but the horizon is 6 steps"),
        ({"output": "negative_binomial"}, "output 'negative_binomial' is for whole numbers from 0 up"),
        ({"future_covariates": ["promotion"]}, "did you mean 'promo'"),
        ({"validation_fraction": 0.2}, "there is no option 'validation_fraction'"),
    ],
)
def test_mistakes_are_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((OptionError, DataError), match=sentence):
        prepared(table(), **options)


def test_past_covariates_cannot_be_forecast_recursively() -> None:
    with pytest.raises(OptionError, match="past covariates end with the look-back"):
        model_of(prepared(table(), strategy="recursive", past_covariates=["rain"]))


def test_bad_series_are_named() -> None:
    df = table()
    with pytest.raises(DataError, match="series 's0' has 2024-01-06 in rows 6 and 81"):
        prepared(pd.concat([df[:80], df[5:6], df[80:]], ignore_index=True))
    with pytest.raises(DataError, match="series 's0' of the table lacks 1 of 80 times of frequency D"):
        prepared(df.drop(index=20).reset_index(drop=True))
    other = df.assign(shop=df.shop.replace("s1", "s9"))
    task = prepared(df).task
    made = task.encode(from_dataframe(other, layout=task.layout))
    assert made.frames.names == ("s0",)
    assert made.notes == ("left out, as the training was without them: 's9'",)
    with pytest.raises(DataError, match="series 's9' was not in the training data"):
        task.encode(from_dataframe(other[other.shop == "s9"], layout=task.layout))


def test_a_constant_series_is_forecast_and_has_no_mase() -> None:
    df = table().assign(visits=5.0)
    said: list[str] = []
    settings = ForecastingSettings.from_flat(
        SMALL | {"series_id": "shop", "target": ["sales", "visits"], "test_size": "14", "valid_size": "10"}
    )
    frames = from_dataframe(df.drop(columns=["rain", "promo", "size"]), settings.frame)
    made = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), said.append)
    assert any("never changing in the training part" in line for line in said)
    found = made.task.evaluate(model_of(made), made.test)
    assert np.isfinite(found["mase"])
    assert found["mase_left_out"] == 2 * 9 * 6
    assert found["per_target"]["visits"]["mase"] is None
    assert any("MASE leaves out 108 truths" in line for line in made.task.format_report(found))


def test_a_series_without_a_naive_error_is_saved_and_read(tmp_path: Path) -> None:
    df = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=70), "y": np.arange(70.0) % 7})
    settings = ForecastingSettings.from_flat(SMALL)
    frames = from_dataframe(df, settings.frame)
    task = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None).task
    assert task.measured.errors[""].tolist() == [pytest.approx(np.nan, nan_ok=True)]
    run = Run.claim(tmp_path / "run")
    run.begin()
    task.save(run)
    run.write_config("forecasting", task.settings.flat(), {"data": [], "valid": [], "test": []})
    again = ForecastingTask.from_run(run)
    np.testing.assert_array_equal(again.measured.errors[""], task.measured.errors[""])
    assert again.scaler.to_json() == task.scaler.to_json()
