from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from unroll.tasks.base import DataPaths
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.train import train_from_files


@pytest.mark.parametrize("horizon", [1, 3])
def test_forecasts_side_by_side_cover_the_test_part_once(tmp_path: Path, horizon: int) -> None:
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d")
    pd.DataFrame({"day": days, "sales": range(60)}).to_csv(tmp_path / "a.csv", index=False)
    options = {"time": "day", "target": ("sales",), "horizon": horizon, "lookback": 4, "test_size": "9"}
    options |= {"valid_size": "9", "epochs": 1, "hidden_size": 4, "threads": 1}
    settings = ForecastingSettings.from_flat(options)
    train_from_files("forecasting", DataPaths([str(tmp_path / "a.csv")]), settings, tmp_path / "r", say=lambda _: None)
    with (tmp_path / "r" / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["day"] for row in found] == list(days[-9:])
    assert [int(row["step"]) for row in found] == list(range(1, horizon + 1)) * (9 // horizon)
    assert [float(row["sales"]) for row in found] == list(range(51, 60))
    with (tmp_path / "r" / "worst.csv").open(newline="") as file:
        worst = list(csv.DictReader(file))
    errors = [float(row["mae_scaled"]) for row in worst]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) == 9 // horizon
