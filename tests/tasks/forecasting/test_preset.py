from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.reader import from_dataframe
from unroll.tasks.base import DataPaths
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.preset import choose_options
from unroll.tasks.forecasting.split import split_series
from unroll.tasks.forecasting.task import ForecastingTask
from unroll.tasks.train import new_model


def table(rows: int = 240, series: int = 1, freq: str = "D", season: int = 7) -> pd.DataFrame:
    rng, t = np.random.default_rng(0), np.arange(rows)
    parts = []
    for s in range(series):
        y = 10 * (s + 1) + 3 * np.sin(2 * np.pi * t / season) + 0.01 * t + rng.normal(0, 0.3, rows)
        parts.append(pd.DataFrame({"id": f"s{s}", "t": pd.date_range("2024-01-01", periods=rows, freq=freq), "y": y}))
    return pd.concat(parts, ignore_index=True)


def chosen(df: pd.DataFrame, **options: Any) -> tuple[dict[str, Any], list[str]]:
    settings = ForecastingSettings.from_flat({"series_id": "id"} | options)
    frames = from_dataframe(df, settings.frame, where="the table")
    reach = replace(settings.reach, horizon=settings.reach.horizon or 7, lookback=14)
    parts = split_series(frames, reach, DataPaths([]))
    found, lines = choose_options(settings, frames, parts)
    assert found.given == settings.given
    return found.flat(), lines


def test_options_that_were_not_given_are_chosen_and_told() -> None:
    flat, lines = chosen(table(), test_size="24")
    assert (flat["strategy"], flat["skip"], flat["instance_norm"]) == ("segrnn", "linear", "revin")
    assert (flat["output"], flat["schedule"], flat["average"], flat["stride"]) == ("quantile", "cosine", "ema", 1)
    assert flat["lookback"] % 7 == 0
    windows = 240 - 24 - 24 - flat["lookback"] - 7 + 1
    steps = -(-windows // flat["batch_size"])
    updates = int(30 * windows**0.5)
    assert updates <= flat["epochs"] * steps < updates + steps
    assert lines[0].startswith(
        f"lookback {flat['lookback']}: the shortest within 1 % of ridge regression's least error (7:"
    )
    assert lines[1] == "chosen for 1 series of 192 rows to train on (--preset none keeps the defaults):"
    assert "  output 'quantile': medians and intervals" in lines
    assert f"batch_size {flat['batch_size']}, epochs {flat['epochs']}: some hundreds of updates" in "".join(lines)


def test_given_options_are_kept() -> None:
    given: dict[str, Any] = {
        "lookback": 10, "strategy": "direct", "skip": "none", "instance_norm": "none", "epochs": 2, "batch_size": 5,
        "max_grad_norm": 0.0, "weight_decay": 0.0, "hidden_size": 3, "loss": "mae", "average": "none", "stride": 2,
    }  # fmt: skip
    flat, lines = chosen(table(), **given)
    assert {name: flat[name] for name in given} == given
    assert (flat["output"], flat["ema_decay"]) == ("point", None)
    assert not any("lookback" in line for line in lines)


def test_none_chooses_nothing() -> None:
    flat, lines = chosen(table(), preset="none")
    assert (flat["lookback"], flat["epochs"], flat["strategy"], lines) == (0, 10, "direct", [])


def test_a_chosen_run_chooses_nothing_again() -> None:
    flat, _ = chosen(table())
    again, lines = chosen(table(), **flat)
    assert (again, lines) == (flat, [])


@pytest.mark.parametrize(
    ("options", "strategy"),
    [({"bidirectional": True}, "direct"), ({"channels": "mixed"}, "direct"), ({"horizon": 3}, "direct"),
     ({"horizon": 31}, "direct"), ({"segment": 7}, "segrnn"), ({"recurrence": "gru"}, "segrnn")],
)  # fmt: skip
def test_segments_are_read_where_that_can_be(options: dict[str, Any], strategy: str) -> None:
    flat, _ = chosen(table(400), **options)
    assert (flat["strategy"], flat["skip"]) == (strategy, "linear")


def test_a_recursive_forecaster_reads_differences() -> None:
    flat, _ = chosen(table(), strategy="recursive")
    assert (flat["instance_norm"], flat["skip"], flat["output"]) == ("last", "none", "quantile")


def test_a_season_is_found_where_the_frequency_names_none() -> None:
    flat, lines = chosen(table(120, season=9, freq="YS"))
    assert flat["season"] == 9
    assert lines[0].startswith("season 9: the autocorrelation of the changes peaks there (0.")
    assert chosen(table(season=9))[0]["season"] == 0


def test_few_validation_windows_become_ten() -> None:
    flat, lines = chosen(table(120), horizon=12)
    assert flat["valid_size"] == "21"
    assert lines[0] == "valid_size 21: 10 validation windows, to choose weights and intervals by"
    assert chosen(table(80), horizon=12)[0]["valid_size"] == ""
    assert chosen(table(120), horizon=12, valid_size="12")[0]["valid_size"] == "12"
    assert chosen(table(120, series=10), horizon=12)[0]["valid_size"] == ""


def test_short_series_have_a_short_look_back() -> None:
    df = table(45, series=30, freq="MS", season=12)
    flat, lines = chosen(df, horizon=12)
    assert flat["lookback"] == 12
    assert lines[0] == "lookback 12: a longer one would leave too few windows, or be longer than some series"
    flat, lines = chosen(df, test_size="12", horizon=12)
    assert (flat["lookback"], flat["valid_size"]) == (12, "0")
    assert lines[0] == (
        "valid_size 0: with a validation part there would be too few training windows that look back on 12 steps"
    )
    flat, lines = chosen(table(20), horizon=6)
    assert flat["lookback"] == 4
    assert lines[0] == "lookback 4: half of the rows that a series of 14 has beside the horizon"


def test_much_data_is_strided() -> None:
    flat, _ = chosen(table(30_000, freq="h", season=24), lookback=48, horizon=24)
    assert flat["stride"] == 4
    assert flat["epochs"] * -(-6700 // 32) == pytest.approx(1000, rel=0.1)


def test_what_is_held_out_chooses_nothing() -> None:
    df = table(240, series=2)
    spoilt = df.copy()
    late = spoilt.t >= spoilt.t.max() - pd.Timedelta(days=47)
    spoilt.loc[late, "y"] = spoilt.loc[late, "y"] ** 3
    assert chosen(df, test_size="24") == chosen(spoilt, test_size="24")


def test_a_trained_model_starts_at_ridge_regression_and_its_intervals_cover() -> None:
    df = table(300, series=2)
    settings = ForecastingSettings.from_flat({"series_id": "id", "test_size": "40", "hidden_size": 4, "threads": 1})
    frames = from_dataframe(df, settings.frame, where="the table")
    said: list[str] = []
    made = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), said.append)
    assert made.task.settings.flat()["intervals"] == "conformal"
    model = new_model(made).eval()
    made.task.calibrate(model, made, model)
    report = made.task.evaluate(model, made.test)
    assert report["beats"] == {"repeat_last": True, "seasonal_naive": True, "theta": True}
    assert 0.7 <= report["coverage"] <= 0.9
    assert made.task.evaluate(model, made.valid)["coverage"] == pytest.approx(0.8, abs=0.05)


def test_point_forecasts_get_intervals_if_asked_for() -> None:
    df = table(200)
    flat: dict[str, Any] = {"series_id": "id", "output": "point", "hidden_size": 4, "threads": 1}
    for intervals, some in (("auto", False), ("conformal", True)):
        settings = ForecastingSettings.from_flat(flat | {"intervals": intervals})
        frames = from_dataframe(df, settings.frame, where="the table")
        made = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None)
        model = new_model(made).eval()
        made.task.calibrate(model, made, model)
        report = made.task.evaluate(model, made.valid)
        assert ("coverage" in report) is some
        if some:
            assert report["coverage"] == pytest.approx(0.8, abs=0.1)
