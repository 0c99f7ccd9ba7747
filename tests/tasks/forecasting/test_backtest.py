from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unroll import Forecaster
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.errors import DataError, OptionError
from unroll.tasks.base import DataPaths
from unroll.tasks.forecasting.backtest import backtest, lines, records, write
from unroll.tasks.forecasting.inference import answer
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.task import ForecastingTask

pytestmark = pytest.mark.slow


def made(series: int = 1, rows: int = 60, **options: Any):
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {"name": f"s{s}", "time": pd.date_range("2024-01-01", periods=rows), "y": rng.normal(size=rows).cumsum()}
        )
        for s in range(series)
    ]
    df = pd.concat(parts, ignore_index=True)
    names = {"series_id": "name"} if series > 1 else {"target": ["y"]}
    settings = ForecastingSettings.from_flat(
        {"lookback": 8, "horizon": 4, "hidden_size": 4, "test_size": "20", "valid_size": "8", **names, **options}
    )
    frames = from_dataframe(df, settings.frame)
    task = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None).task
    torch.manual_seed(0)
    return task, task.network().eval(), frames


def test_origins_are_counted_from_the_end() -> None:
    task, model, frames = made()
    found = backtest(task, model, frames, origins=3)
    assert found.windows.locate(found.rows)[1].tolist() == [48, 52, 56]
    found = backtest(task, model, frames, origins=4, stride=2)
    assert found.windows.locate(found.rows)[1].tolist() == [50, 52, 54, 56]
    assert found.report["windows"] == 4
    assert len(backtest(task, model, frames).rows) == 10
    short = backtest(task, model, frames.upto({"": 17}))
    assert short.windows.locate(short.rows)[1].tolist() == [9, 13]


def test_each_origin_has_its_figures() -> None:
    task, model, frames = made(series=2, output="quantile")
    found = backtest(task, model, frames, origins=3)
    by = found.report["by_origin"]
    assert [one["origin"] for one in by] == ["2024-02-18", "2024-02-22", "2024-02-26"]
    assert [one["windows"] for one in by] == [2, 2, 2]
    truth, _ = found.windows.truth(found.rows)
    wanted = np.abs(found.answers.point - truth).reshape(2, 3, -1).mean((0, 2))
    assert [one["mae"] for one in by] == pytest.approx(wanted)
    assert found.report["mae"] == pytest.approx(wanted.mean())
    assert by[0]["baselines"].keys() == {"repeat_last", "seasonal_naive", "theta"}
    assert "coverage" in by[0]
    json.dumps(found.report, allow_nan=False)


def test_a_forecast_is_the_one_made_of_the_rows_before_its_origin() -> None:
    task, model, frames = made()
    found = backtest(task, model, frames, origins=3)
    for i, origin in enumerate((48, 52, 56)):
        cut = frames.upto({"": origin + 4})
        alone = task.encode(cut)
        last = answer(model, alone, task.scaler.table(("",)), seed=0, rows=np.array([alone.size - 1]))
        np.testing.assert_allclose(found.answers.point[i], last.point[0], rtol=1e-6)


def test_what_lies_in_the_training_part_is_said() -> None:
    task, model, frames = made()
    found = backtest(task, model, frames, origins=10).report
    # training ends with row 31, the origins are 20, 24, ... 56
    assert found["in_training"] == 3
    assert any(line.startswith("3 of 10 windows begin in the rows that the model was trained") for line in lines(found))
    found = backtest(task, model, frames, origins=3).report
    assert found["in_training"] == 0
    assert not any("trained on" in line for line in lines(found))


def test_everything_is_written(tmp_path: Path) -> None:
    task, model, frames = made(series=2, output="quantile")
    found = backtest(task, model, frames, origins=2, stride=1)
    write(found, task, tmp_path / "new" / "out")
    names = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    assert names == {"forecasts.csv", "backtest.json", "backtest.png", "horizon.png"}
    with (tmp_path / "new" / "out" / "forecasts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 4
    assert rows[0].keys() == {
        *("series", "origin", "step", "time", "target", "forecast", "truth"),
        *("quantile_0.1", "quantile_0.5", "quantile_0.9"),
    }
    assert rows[0]["series"] == "s0"
    assert (rows[4]["origin"], rows[5]["time"], rows[5]["step"]) == ("2024-02-26", "2024-02-27", "2")
    assert [float(row["truth"]) for row in rows[4:8]] == pytest.approx(frames.series[0].target[56:, 0].tolist())
    assert json.loads((tmp_path / "new" / "out" / "backtest.json").read_text()) == found.report


def test_a_truth_that_was_not_observed_is_left_out() -> None:
    task, model, _ = made()
    values = np.random.default_rng(0).normal(size=60).cumsum()
    values[57] = np.nan
    df = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=60), "y": values})
    frames = from_dataframe(df, TimeSeriesOptions(gaps="fill"), layout=replace(task.layout, gaps="fill"))
    found = backtest(task, model, frames, origins=1)
    assert [record["truth"] is None for record in records(found, task)] == [False, True, False, False]


def test_mistakes_are_said() -> None:
    task, model, frames = made()
    with pytest.raises(OptionError, match="origins is 0"):
        backtest(task, model, frames, origins=0)
    with pytest.raises(OptionError, match="stride is -1"):
        backtest(task, model, frames, stride=-1)
    with pytest.raises(
        DataError, match="the series has 60 rows, which leaves room for 13 origins every 4 rows, not 20"
    ):
        backtest(task, model, frames, origins=20)
    with pytest.raises(DataError, match="a history of 8 and a horizon of 4 need 12"):
        backtest(task, model, frames.upto({"": 11}))


def test_origins_where_the_clock_goes_back_are_two_and_in_order() -> None:
    hours = pd.date_range("2024-10-25", periods=60, freq="h", tz="Europe/Berlin")
    df = pd.DataFrame({"t": hours, "y": np.arange(60.0)})
    model = Forecaster(horizon=2, lookback=8, hidden_size=4, epochs=1, threads=1).fit(df)
    report, _ = model.backtest(df[:54], origins=4, stride=1)
    assert [one["origin"] for one in report["by_origin"]] == [
        "2024-10-27 01:00+02:00",
        "2024-10-27 02:00+02:00",
        "2024-10-27 02:00+01:00",
        "2024-10-27 03:00+01:00",
    ]
