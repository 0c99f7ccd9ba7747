from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import unroll
from unroll import Forecaster
from unroll.errors import DataError

SMALL: dict[str, Any] = {"horizon": 2, "lookback": 8, "hidden_size": 4, "epochs": 1, "threads": 1, "preset": "none"}
DAYS = pd.date_range("2024-01-01", periods=60)
Y = np.arange(60.0)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"t": DAYS, "y": Y, "y_0.5": Y}, {"output": "quantile"}, "'y_0.5' is called as .* the quantile 0.5 of 'y'"),
        ({"t": DAYS, "y": Y, "y_0.9": Y}, {"output": "normal"}, "'y_0.9' is called as .* the quantile 0.9 of 'y'"),
        ({"t": DAYS, "path": Y}, {"output": "normal"}, "'path' is called as .* the numbers of sample paths"),
        ({"t": DAYS, "y": Y, "y_paths": Y}, {"output": "normal"}, "'y_paths' is called as .* the sample paths of 'y'"),
        ({"step": Y + 0.5, "b": Y}, {"time": "none"}, "'step' is called as .* the numbers of the steps"),
        ({"y_0.5": DAYS, "y": Y}, {"output": "quantile"}, "column 'y_0.5' is called as .* the quantile 0.5 of 'y'"),
    ],
)
def test_names_that_would_meet_are_refused(columns: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Forecaster(**options, **SMALL).fit(pd.DataFrame(columns))


def test_names_that_do_not_meet_are_taken() -> None:
    df = pd.DataFrame({"t": DAYS, "y": Y, "y_0.5": Y, "path": Y, "step": Y})
    assert list(Forecaster(**SMALL).fit(df).predict().columns) == ["t", "y", "y_0.5", "path", "step"]
    other = pd.DataFrame({"t": DAYS, "y": Y, "y_0.1": Y})
    found = Forecaster(output="quantile", quantiles=(0.2, 0.5), **SMALL).fit(other).predict()
    assert list(found.columns) == ["t", "y", "y_0.2", "y_0.5", "y_0.1", "y_0.1_0.2", "y_0.1_0.5"]


def test_times_of_a_zone_come_back_in_it(tmp_path: Any) -> None:
    hours = pd.date_range("2024-01-01", periods=60, freq="h")
    df = pd.DataFrame({"t": [t.isoformat() + "+08:00" for t in hours], "y": Y})
    model = Forecaster(**SMALL).fit(df)
    assert model.predict().t.astype(str).tolist() == ["2024-01-03 12:00:00+08:00", "2024-01-03 13:00:00+08:00"]
    df.to_csv(tmp_path / "h.csv", index=False)
    model.save(tmp_path / "run")
    records = unroll.load(tmp_path / "run").predict(str(tmp_path / "h.csv"))
    assert [record["t"] for record in records] == ["2024-01-03T12:00:00+08:00", "2024-01-03T13:00:00+08:00"]
