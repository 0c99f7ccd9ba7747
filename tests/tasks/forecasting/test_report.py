from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.data.timeseries.windows import ForecastWindows
from unroll.tasks.forecasting import report
from unroll.tasks.forecasting.inference import Forecasts
from unroll.tasks.forecasting.metrics import naive_scale
from unroll.tasks.forecasting.report import format_report, verdict
from unroll.tasks.reporting import number

L, F, SEASON = 6, 4, 3


def windows() -> ForecastWindows:
    rng = np.random.default_rng(0)
    values = np.tile([[1.0, 100.0], [2.0, 300.0], [4.0, 200.0]], (12, 1)) + rng.normal(0, 0.2, (36, 2))
    frames = from_dataframe(pd.DataFrame(values, columns=["a", "b"]), TimeSeriesOptions(time="none"))
    return ForecastWindows(frames, SeriesScaler.learn(frames), history=L, horizon=F)


def made(shift: float = 0.0, season: int = SEASON, *, quantiles: bool = False):
    part = windows()
    scale = SeriesScaler.learn(part.frames).table(part.frames.names)
    truth, _ = part.truth()
    point = truth + shift * scale.scale[0]
    bands = np.stack([point - 1, point, point + 1], -1) if quantiles else None
    error = np.stack([naive_scale(f.target, season) for f in part.frames])
    found = report.evaluate(
        Forecasts(point, bands),
        part,
        scale=scale,
        error=error,
        season=season,
        levels=(0.1, 0.5, 0.9),
        targets=("a", "b"),
        with_theta=False,
    )
    return part, scale, found


def test_the_figures_are_their_definitions() -> None:
    part, scale, found = made(0.5, quantiles=True)
    truth, _ = part.truth()
    size = scale.scale[0]
    assert found["windows"] == part.size
    assert found["mse_scaled"] == pytest.approx(0.25)
    assert found["mae_scaled"] == pytest.approx(0.5)
    assert found["mae"] == pytest.approx(0.5 * size.mean())
    assert found["rmse"] == pytest.approx(np.sqrt((0.25 * size**2).mean()))
    assert found["mape"] == pytest.approx(100 * (0.5 * size / np.abs(truth)).mean())
    error = naive_scale(part.frames.series[0].target, SEASON)
    assert found["mase"] == pytest.approx((0.5 * size / error).mean())
    assert found["coverage"] == pytest.approx((0.5 * size <= 1).mean())
    assert found["nominal"] == pytest.approx(0.8)
    assert found["width"] == pytest.approx(2.0)
    assert found["by_step"]["model"] == pytest.approx([0.5] * F)
    assert found["by_horizon"].keys() == {"mae", "rmse", "mape", "smape", "mase", "pinball", "coverage"}
    assert found["by_horizon"]["mae"] == pytest.approx([0.5 * size.mean()] * F)
    assert found["by_horizon"]["mase"] == pytest.approx([(0.5 * size / error).mean()] * F)
    assert np.mean(found["by_horizon"]["pinball"]) == pytest.approx(found["pinball"])
    assert np.mean(found["by_horizon"]["coverage"]) == pytest.approx(found["coverage"])
    assert found["per_target"]["b"]["mae"] == pytest.approx(0.5 * size[1])
    json.dumps(found, allow_nan=False)


def test_the_naive_forecasts_are_beside_it() -> None:
    part, scale, found = made()
    truth, _ = part.truth()
    history = part.history(length=L)
    last = np.repeat(history[:, -1:], F, 1)
    season = history[:, [-3, -2, -1, -3]]
    for name, forecast in (("repeat_last", last), ("seasonal_naive", season)):
        scaled = (forecast - truth) / scale.scale[0]
        assert found["baselines"][name]["mse_scaled"] == pytest.approx((scaled**2).mean())
        assert found["by_step"][name] == pytest.approx(np.abs(scaled).mean((0, 2)))
    assert found["beats"] == {"repeat_last": True, "seasonal_naive": True}
    assert verdict(found) == ["the model beats repeat last and seasonal naive (3)"]


def test_a_model_that_is_no_better_is_told_so() -> None:
    found = made(0.5)[2]
    assert found["beats"] == {"repeat_last": True, "seasonal_naive": False}
    [line] = verdict(found)
    assert line.startswith("the model does not beat seasonal naive (3): squared error 0.2500 against 0.")
    found = made(5.0)[2]
    assert [line.split(":")[0] for line in verdict(found)] == [
        "the model does not beat repeat last",
        "the model does not beat seasonal naive (3)",
    ]
    assert format_report(found)[-2:] == verdict(found)
    assert format_report(found, advice=["--skip linear", "more --epochs"])[-1] == "  try --skip linear, more --epochs"
    assert "  try more --epochs" not in format_report(made()[2], advice=["more --epochs"])


def test_without_a_season_there_is_one_naive_forecast() -> None:
    found = made(season=1)[2]
    assert found["baselines"].keys() == {"repeat_last"}


def test_lines_are_a_table() -> None:
    found = made(0.5, quantiles=True)[2]
    text = format_report(found)
    width = {len(line) for line in text[:7]}
    assert len(width) == 1
    assert any("of the truths lie in the 80% interval, 2.0000 wide" in line for line in text)
    assert [line.split()[:2] for line in text if line.startswith("step")] == [["step", str(f)] for f in (1, 2, 3, 4)]
    assert [line.split()[0] for line in text if line.startswith(("a ", "b "))] == ["a", "b"]
    assert not any(line.startswith("step") for line in format_report(found, full=False))


def test_numbers() -> None:
    shown = {0: "0.0000", 0.36821: "0.3682", 12.3456: "12.346", 432.123: "432.12", 98765.4: "98,765.4"}
    assert {v: number(v) for v in shown} == shown
    assert number(None) == "not defined"
    assert number(1.5e-7) == "1.500e-07"
