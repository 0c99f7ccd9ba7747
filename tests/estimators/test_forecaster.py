from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

import unroll
from unroll.errors import DataError, OptionError
from unroll.estimators.forecaster import Forecaster

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "hidden_size": 8,
    "epochs": 3,
    "learning_rate": 0.02,
    "threads": 1,
    "recurrence": "gru",
    "preset": "none",
}


def wave(rows: int = 90) -> pd.DataFrame:
    t = np.arange(rows)
    rng = np.random.default_rng(0)
    y = 50 + 10 * np.sin(2 * np.pi * t / 7) + rng.normal(0, 0.3, rows)
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=rows), "y": y})


def test_fit_and_predict() -> None:
    df = wave()
    model = Forecaster(horizon=7, **(SMALL | {"epochs": 40, "hidden_size": 16})).fit(df[:83])
    found = model.predict()
    assert list(found.columns) == ["day", "y"]
    assert found.day.tolist() == df.day[83:].tolist()
    assert np.sqrt(np.mean((found.y - df.y[83:].to_numpy()) ** 2)) < 2.0
    assert len(model.predict(horizon=3)) == 3
    assert len(model.predict(horizon=20)) == 20
    assert model.history_[-1]["train_loss"] < model.history_[0]["train_loss"]
    assert model.n_iter_ == 40


def test_update_goes_on_from_the_news() -> None:
    df = wave()
    for strategy in ("recursive", "direct"):
        model = Forecaster(horizon=7, strategy=strategy, **SMALL).fit(df[:80])
        before = {n: p.clone() for n, p in model.model_.named_parameters()}
        assert model.update(df[80:85]).predict(horizon=2).day.tolist() == df.day[85:87].tolist()
        assert all(torch.equal(p, before[n]) for n, p in model.model_.named_parameters())


def test_quantiles_and_paths_are_columns_and_rows() -> None:
    model = Forecaster(horizon=3, output="normal", **SMALL).fit(wave())
    assert list(model.predict().columns) == ["day", "y", "y_0.1", "y_0.5", "y_0.9"]
    paths = model.predict(samples=4)
    assert list(paths.columns) == ["day", "path", "y"]
    assert paths.path.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_long_tables_series_and_arrays() -> None:
    df = wave(60)
    long = pd.concat([df.assign(name="a"), df.assign(name="b", y=df.y * 3)])
    found = Forecaster(horizon=2, series_id="name", **SMALL).fit(long).predict()
    assert found[["name", "day"]].to_numpy().tolist() == [
        [n, d] for n in "ab" for d in pd.date_range("2024-03-01", periods=2)
    ]
    found = Forecaster(horizon=2, season=7, **SMALL).fit(df.set_index("day").y).predict()
    assert list(found.columns) == ["day", "y"]
    found = Forecaster(horizon=2, season=7, **SMALL).fit(df.y.to_numpy()).predict()
    assert list(found.columns) == ["step", "value"]
    assert found.step.tolist() == [60, 61]
    found = Forecaster(horizon=2, season=7, **SMALL).fit(np.stack([df.y, df.y], 1)).predict()
    assert list(found.columns) == ["step", "value_0", "value_1"]


def test_backtest() -> None:
    model = Forecaster(horizon=7, **SMALL).fit(wave(70))
    report, forecasts = model.backtest(wave(90), origins=2)
    assert report["windows"] == 2
    assert report["in_training"] == 0
    assert len(forecasts) == 14
    assert forecasts.origin.unique().astype(str).tolist() == ["2024-03-17", "2024-03-24"]
    assert forecasts.time.tolist() == wave(90).day[76:].tolist()
    own, _ = model.backtest(origins=2)
    assert own["in_training"] == 1


@pytest.mark.parametrize("strategy", ["recursive", "direct", "seq2seq", "segrnn"])
def test_saved_and_loaded(tmp_path: Path, strategy: str) -> None:
    df = wave()
    options = {"instance_norm": "revin"} if strategy == "direct" else {}
    model = Forecaster(horizon=5, strategy=strategy, **options, **(SMALL | {"epochs": 1})).fit(df)
    model.save(tmp_path / "run")
    loaded = unroll.load(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.predict(df), model.predict())
    pd.testing.assert_frame_equal(loaded.predict(df, horizon=2), model.predict(df, horizon=2))
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    np.testing.assert_allclose(again.predict().y, model.predict().y)


def test_the_contract_of_scikit_learn() -> None:
    model = Forecaster(horizon=5, lookback=14, strategy="segrnn", quantiles=(0.2, 0.5, 0.8), output="quantile")
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.set_params(hidden_size=3).get_params()["hidden_size"] == 3
    assert set(model.get_params()) & {"encoding", "test_size", "validation_fraction", "bucket_batches"} == set()
    with pytest.raises(TypeError, match="unexpected keyword argument 'hiden'"):
        Forecaster(hiden=3)
    with pytest.raises(ValueError, match="not fitted"):
        model.predict()


def test_the_same_seed_gives_the_same_model_and_leaves_torchs_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, two = (Forecaster(horizon=4, head_dropout=0.3, **SMALL).fit(wave()).predict() for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.equals(two)
    assert not one.equals(Forecaster(horizon=4, head_dropout=0.3, seed=1, **SMALL).fit(wave()).predict())


def test_mistakes_are_said() -> None:
    with pytest.raises(OptionError, match="strategy is 'dirct'; did you mean 'direct'"):
        Forecaster(strategy="dirct").fit(wave())
    with pytest.raises(DataError, match="the horizon is 200 steps, but the series has only 90 rows"):
        Forecaster(horizon=200, **SMALL).fit(wave())
    for X in (None, [["a"], ["b"]], [[1.0], [1.0, 2.0]], np.zeros((2, 2, 2)), {"y": [1.0]}, object(), []):
        with pytest.raises(DataError, match=r"X must be a DataFrame, a Series, or an array \(N,\) or \(N, K\)"):
            Forecaster().fit(X)
    model = Forecaster(horizon=2, **SMALL).fit(wave())
    with pytest.raises(OptionError, match="X is 5, not series; options are given by name, as horizon=5"):
        model.predict(5)
    with pytest.raises(DataError, match="X is an array, without times, but the model was trained on those of column"):
        model.predict(np.zeros(30))
    with pytest.raises(OptionError, match="horizon is 'x'; it must be a whole number of at least 1"):
        model.predict(horizon="x")


def stores(name: str, keys: list[Any]) -> pd.DataFrame:
    df = wave(40)
    return pd.concat([df.assign(**{name: key}) for key in keys], ignore_index=True)


@pytest.mark.parametrize(
    "keys",
    [[7, 12], ["7", "x"], [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-06-01 12:00")]],
    ids=["integers", "texts", "dates"],
)
def test_names_of_series_come_back_as_they_were(keys: list[Any], tmp_path: Path) -> None:
    data = stores("store", keys)
    model = Forecaster(horizon=2, season=1, lookback=4, series_id="store", **SMALL).fit(data)
    found = model.predict()
    assert found.store.tolist() == [keys[0], keys[0], keys[1], keys[1]]
    assert found.store.dtype.kind == data.store.dtype.kind
    assert len(found.merge(data, on="store")) == 2 * len(data)
    again = unroll.load(model.save(tmp_path / "run"))
    assert again.predict(data).store.tolist() == found.store.tolist()
    data.to_csv(tmp_path / "data.csv", index=False)
    assert [r["store"] for r in again.predict(str(tmp_path / "data.csv"))] == found.store.astype(str).tolist()
    data.to_parquet(tmp_path / "data.parquet")
    names = [key if isinstance(key, int) else str(key) for key in found.store]
    assert [r["store"] for r in again.predict(str(tmp_path / "data.parquet"))] == names


def test_integer_names_of_any_type_and_in_backtests() -> None:
    data = stores("store", [3, 10])
    options = {"horizon": 2, "season": 1, "lookback": 4, "series_id": "store", **SMALL}
    model = Forecaster(**options).fit(data)
    for kind in ("int8", "Int64", "category", "object"):
        assert model.predict(data.astype({"store": kind})).store.tolist() == [3, 3, 10, 10]
    assert model.predict(data.astype({"store": str})).store.tolist() == ["3", "3", "10", "10"]
    model.predict(data)
    _, forecasts = model.backtest(data, origins=1)
    assert forecasts.series.tolist() == [3, 3, 10, 10]
    model.update(data[:2].assign(day=pd.to_datetime(["2024-02-10", "2024-02-11"])))
    assert model.predict().store.tolist() == [3, 3, 10, 10]


def test_validation_series_follow_the_training_and_end_the_history() -> None:
    df, options = wave(90), {"horizon": 7, **SMALL}
    model = Forecaster(**options).fit(df[:70], X_val=df[70:84])
    split = Forecaster(**options, valid_size=14).fit(df[:84])
    assert [row["valid_loss"] for row in model.history_] == [row["valid_loss"] for row in split.history_]
    assert model.predict().equals(split.predict())
    with pytest.raises(OptionError) as error:
        Forecaster(**options, valid_size=7).fit(df[:70], X_val=df[70:84])
    assert str(error.value) == "valid_size is set, and validation data is given too; give one of them"
    with pytest.raises(DataError) as error:
        Forecaster(**options).fit(df[:70], X_val=df[60:84])
    wanted = "the series: the new data begins at 2024-03-01, but 2024-03-10 is already there; leave out what is"
    assert str(error.value) == wanted
    with pytest.raises(DataError, match=r"^X_val has no column 'y'"):
        Forecaster(**options).fit(df[:70], X_val=df[70:].rename(columns={"y": "z"}))
