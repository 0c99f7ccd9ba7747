from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import unroll
from unroll import Forecaster
from unroll.errors import DataError

SMALL: dict[str, Any] = {"horizon": 2, "lookback": 8, "hidden": 4, "epochs": 1, "threads": 1}
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


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7])
def test_a_short_series_is_left_out_and_that_is_said(rows: int, strategy: str, tmp_path: Any, capsys: Any) -> None:
    old = pd.DataFrame({"id": "old", "t": DAYS, "y": Y})
    new = pd.DataFrame({"id": "new", "t": DAYS[-rows:], "y": np.arange(float(rows))})
    df = pd.concat([old, new])
    model = Forecaster(series="id", strategy=strategy, verbose=True, **SMALL).fit(df)
    assert "'new'" in capsys.readouterr().out
    with pytest.warns(UserWarning, match=f"left out, as series 'new' has {rows} rows and the model looks back on 8"):
        found = model.predict()
    assert found.id.tolist() == ["old", "old"]
    assert np.isfinite(found.y).all()
    model.save(tmp_path / "run")
    loaded = unroll.load(tmp_path / "run")
    with pytest.warns(UserWarning, match="1 of 2 series"):
        assert loaded.predict(df).id.tolist() == ["old", "old"]
    said: list[str] = []
    loaded.evaluate(df, say=said.append)
    assert any("'new'" in note and "left out" in note for note in said)
    news = pd.DataFrame({"id": "new", "t": pd.date_range(DAYS[-1], periods=9)[1:], "y": 1.0})
    assert model.update(news).predict().id.tolist() == ["old", "old", "new", "new"]


def test_no_series_is_long_enough() -> None:
    model = Forecaster(**SMALL).fit(pd.DataFrame({"t": DAYS, "y": Y}))
    with pytest.raises(DataError, match="the series has 5 rows, but the model looks back on 8"):
        model.predict(pd.DataFrame({"t": DAYS[:5], "y": Y[:5]}))


def test_times_of_a_zone_come_back_in_it(tmp_path: Any) -> None:
    hours = pd.date_range("2024-01-01", periods=60, freq="h")
    df = pd.DataFrame({"t": [t.isoformat() + "+08:00" for t in hours], "y": Y})
    model = Forecaster(**SMALL).fit(df)
    assert model.predict().t.astype(str).tolist() == ["2024-01-03 12:00:00+08:00", "2024-01-03 13:00:00+08:00"]
    df.to_csv(tmp_path / "h.csv", index=False)
    model.save(tmp_path / "run")
    records = unroll.load(tmp_path / "run").predict(str(tmp_path / "h.csv"))
    assert [record["t"] for record in records] == ["2024-01-03T12:00:00+08:00", "2024-01-03T13:00:00+08:00"]
