from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import unroll
from unroll import Forecaster
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.errors import DataError
from unroll.tasks.base import DataPaths
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.split import divided, listed

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {"horizon": 2, "lookback": 8, "hidden_size": 4, "epochs": 1, "threads": 1, "preset": "none"}
DAYS = pd.date_range("2024-01-01", periods=60)
Y = np.arange(60.0)


def with_new(rows: int) -> pd.DataFrame:
    """A series of 60 rows, and one of the last `rows` days."""
    old = pd.DataFrame({"id": "old", "t": DAYS, "y": np.sin(Y)})
    return pd.concat([old, pd.DataFrame({"id": "new", "t": DAYS[60 - rows :], "y": 5000.0 + np.arange(rows)})])


def after(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"id": "new", "t": pd.date_range("2024-03-01", periods=rows), "y": 5000.0 + np.arange(rows)})


@pytest.mark.parametrize(
    ("rows", "names", "said"),
    [
        (1, ["old"], "left out, with no row for training beside validation and test: 'new' (1 row)"),
        (3, ["old"], "left out, too short for a history of 8 and a horizon of 2: 'new' (3 rows)"),
        (9, ["old"], "left out, too short for a history of 8 and a horizon of 2: 'new' (9 rows)"),
        (10, ["old", "new"], None),
    ],
)
def test_series_without_a_window_are_left_out(rows: int, names: list[str], said: str | None) -> None:
    frames = from_dataframe(with_new(rows), TimeSeriesOptions(series_id="id"))
    settings = ForecastingSettings.from_flat({"series_id": "id", "horizon": 2, "lookback": 8, "valid_size": 2})
    notes: list[str] = []
    kept, parts, upto = divided(frames, settings, DataPaths([]), notes.append)
    assert list(kept.names) == names
    assert notes == ([said] if said else [])
    assert parts["training"] == (range(58), range(8))[: len(names)]
    assert parts["validation"] == (range(58, 60), range(8, 10))[: len(names)]
    assert {name: upto[name] for name in names} == dict(zip(names, (58, 8), strict=False))


def test_at_most_three_are_named() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7])
def test_a_short_series_is_left_out_and_that_is_said(rows: int, strategy: str, tmp_path: Any, capsys: Any) -> None:
    old = pd.DataFrame({"id": "old", "t": DAYS, "y": Y})
    new = pd.DataFrame({"id": "new", "t": DAYS[-rows:], "y": np.arange(float(rows))})
    df = pd.concat([old, new])
    with pytest.warns(UserWarning, match="left out of the training: 'new'"):
        model = Forecaster(series_id="id", strategy=strategy, verbose=True, **SMALL).fit(df)
    assert "'new'" in capsys.readouterr().out
    with pytest.warns(UserWarning, match=f"left out, as series 'new' has {rows} rows and the model looks back on 8"):
        found = model.predict()
    assert found.id.tolist() == ["old", "old"]
    assert np.isfinite(found.y).all()
    model.save(tmp_path / "run")
    loaded: Any = unroll.load(tmp_path / "run")
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


@pytest.mark.parametrize("strategy", ["recursive", "direct"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_short_series_is_measured_when_it_is_long_enough(strategy: str) -> None:
    model = Forecaster(series_id="id", strategy=strategy, **SMALL).fit(with_new(3))
    model.update(after(20))
    values = np.concatenate([5000 + np.arange(3.0), 5000 + np.arange(20.0)])
    scale = model.predictor_._scaler.table(("new",))
    assert scale.shift[0, 0] == pytest.approx(values.mean())
    assert scale.scale[0, 0] == pytest.approx(values.std())
    assert "new" not in model.task_.scaler.series


@pytest.mark.filterwarnings("ignore:left out of the training")
def test_a_short_series_stops_no_backtest_and_no_evaluation() -> None:
    df = with_new(5)
    model = Forecaster(series_id="id", **SMALL).fit(df)
    with pytest.warns(UserWarning, match="left out, as the training was without them: 'new'"):
        report, forecasts = model.backtest(df, origins=2)
    assert (report["windows"], forecasts.series.unique().tolist()) == (2, ["old"])
    with pytest.warns(UserWarning, match="left out, as the training was without them: 'new'"):
        assert model.evaluate(pd.concat([df, after(40)]))["windows"] == 51
    with pytest.raises(DataError, match="series 'new' was not in the training data"):
        model.evaluate(after(40))


def test_series_with_room_for_fewer_origins() -> None:
    df = with_new(14)
    model = Forecaster(series_id="id", **SMALL).fit(df)
    with pytest.warns(UserWarning, match="left out, with too few rows for 4 origins every 2 rows: 'new'"):
        report, _ = model.backtest(df, origins=4)
    assert report["windows"] == 4
    assert model.backtest(df, origins=3)[0]["windows"] == 6


@pytest.mark.filterwarnings("ignore:left out:UserWarning")
def test_known_rows_of_a_short_series_do_no_harm() -> None:
    df = with_new(3).assign(price=1.0)
    model = Forecaster(series_id="id", target=["y"], future_covariates=["price"], **SMALL).fit(df)
    ahead = [
        pd.DataFrame({"id": name, "t": pd.date_range("2024-03-01", periods=2), "price": 2.0}) for name in ("old", "new")
    ]
    assert model.predict(future_covariates=pd.concat(ahead)).id.tolist() == ["old", "old"]


def test_validation_files_hold_the_left_out_too(tmp_path: Path) -> None:
    with_new(1).to_csv(tmp_path / "train.csv", index=False)
    later = pd.DataFrame({"id": "old", "t": pd.date_range("2024-03-01", periods=9), "y": 1.0})
    pd.concat([later, after(9)]).to_csv(tmp_path / "valid.csv", index=False)
    frames = from_dataframe(with_new(1), TimeSeriesOptions(series_id="id"))
    settings = ForecastingSettings.from_flat({"series_id": "id", "horizon": 2, "lookback": 8})
    kept, parts, _ = divided(frames, settings, DataPaths([], valid=[str(tmp_path / "valid.csv")]), lambda _: None)
    assert parts["validation"][kept.names.index("old")] == range(60, 69)


def test_evaluation_takes_what_a_forecast_takes(tmp_path: Path) -> None:
    df = pd.DataFrame({"t": DAYS, "y": np.sin(Y)})
    model = Forecaster(**SMALL).fit(df)
    model.save(tmp_path / "run")
    loaded: Any = unroll.load(tmp_path / "run")
    found = model.evaluate(df)
    assert found["windows"] == 51
    assert loaded.evaluate(df) == found
    assert loaded.evaluate(df.set_index("t").y) == found
    array = Forecaster(**SMALL).fit(np.sin(Y))
    assert array.evaluate(np.sin(Y))["mae"] == pytest.approx(found["mae"])
    with pytest.raises(DataError, match="the data must be a DataFrame, a Series, or an array"):
        loaded.evaluate({"t": [1]})
