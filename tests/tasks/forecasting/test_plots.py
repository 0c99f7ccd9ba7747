from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.tasks.forecasting.inference import Forecasts
from unroll.tasks.forecasting.plots import drawn, plot_forecasts, plot_horizon

pytestmark = pytest.mark.slow

F = 5


def frames(series: int = 2, dated: bool = True):
    parts = []
    for s in range(series):
        stamps = pd.date_range("2024-01-01", periods=40, freq="h") if dated else np.arange(40)
        rng = np.random.default_rng(s)
        values = {"a": rng.normal(size=40), "b": rng.normal(size=40)}
        parts.append(pd.DataFrame({"name": f"系列 ${s}^$", "time": stamps, **values}))
    return from_dataframe(pd.concat(parts), TimeSeriesOptions(series_id="name"))


def answers(windows: int, quantiles: int = 3) -> Forecasts:
    rng = np.random.default_rng(0)
    point = rng.normal(size=(windows, F, 2))
    return Forecasts(point, np.sort(rng.normal(size=(windows, F, 2, quantiles)), -1) if quantiles else None)


def test_panels_are_targets_then_series() -> None:
    series, origins = np.array([0, 0, 1, 1]), np.array([10, 20, 10, 20])
    panels = drawn(answers(4), series, origins, np.zeros((4, F, 2)))
    assert [(p[0].series, p[0].column, [one.origin for one in p]) for p in panels] == [
        (0, 0, [10, 20]),
        (0, 1, [10, 20]),
        (1, 0, [10, 20]),
    ]
    assert len(drawn(answers(9), np.arange(9), np.full(9, 10))) == 4


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("quantiles", [0, 2, 3, 5])
def test_pictures_are_written(tmp_path: Path, dated: bool, quantiles: int) -> None:
    panels = drawn(answers(4, quantiles), np.array([0, 0, 1, 1]), np.array([10, 35, 10, 35]), np.zeros((4, F, 2)))
    levels = np.linspace(0.1, 0.9, quantiles)
    plot_forecasts(panels, frames(dated=dated), tmp_path / "a.png", levels=levels, beside="repeat last")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_error_by_step_is_drawn(tmp_path: Path) -> None:
    report = {"by_step": {"model": [0.1, None, 0.3], "repeat_last": [0.2, 0.3, 0.4]}, "season": 1}
    plot_horizon(report, tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
