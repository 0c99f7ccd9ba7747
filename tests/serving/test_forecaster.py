from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unroll.data.timeseries.reader import from_dataframe
from unroll.errors import DataError, OptionError
from unroll.serving.forecaster import ForecastPredictor
from unroll.tasks.base import DataPaths
from unroll.tasks.forecasting.inference import answer
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.task import ForecastingTask

L, F = 8, 4


def table(rows: int = 40, series: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "shop": f"s{s}",
                "day": pd.date_range("2024-01-01", periods=rows),
                "sales": rng.normal(size=rows).cumsum() + 10 * s,
                "promo": rng.integers(0, 2, rows).astype(float),
                "rain": rng.normal(size=rows),
            }
        )
        for s in range(series)
    ]
    return pd.concat(parts, ignore_index=True)


def predictor(
    strategy: str = "direct", *, known: bool = False, past: bool = False, **options: Any
) -> ForecastPredictor:
    flat: dict[str, Any] = {
        "series_id": "shop",
        "target": ["sales"],
        "lookback": L,
        "horizon": F,
        "hidden_size": 6,
        "preset": "none",
    }
    flat |= {"strategy": strategy, "valid_size": "6", "calendar": ["weekday"], **options}
    flat |= {"future_covariates": ["promo"]} if known else {}
    flat |= {"past_covariates": ["rain"]} if past else {}
    settings = ForecastingSettings.from_flat(flat)
    frames = from_dataframe(table(), settings.frame)
    task = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None).task
    torch.manual_seed(0)
    return ForecastPredictor(task, task.network())


def values(forecast: pd.DataFrame, name: str = "sales") -> np.ndarray:
    return forecast[name].to_numpy()


def test_one_record_a_step_with_the_datas_own_columns() -> None:
    made = predictor(output="quantile", quantiles=[0.05, 0.5, 0.95])
    found = made.predict(from_dataframe(table(), layout=made.task.layout), samples=3)
    assert len(found) == 2 * F
    assert [r["shop"] for r in found] == ["s0"] * F + ["s1"] * F
    assert [r["day"] for r in found[:F]] == ["2024-02-10", "2024-02-11", "2024-02-12", "2024-02-13"]
    assert found[0].keys() == {"shop", "day", "sales", "sales_0.05", "sales_0.5", "sales_0.95", "sales_paths"}
    assert len(found[0]["sales_paths"]) == 3
    assert all(r["sales_0.05"] <= r["sales_0.5"] == r["sales"] <= r["sales_0.95"] for r in found)


@pytest.mark.parametrize("strategy", ["recursive", "direct", "seq2seq", "segrnn"])
def test_a_forecast_is_that_of_the_last_window(strategy: str) -> None:
    made, df = predictor(strategy), table()
    cut = df[df.day < "2024-02-06"]
    found = values(made.predict(cut)).reshape(2, F)
    windows = made.task.encode(from_dataframe(df, layout=made.task.layout))
    series, origins = windows.locate()
    rows = np.flatnonzero(origins == 36)
    scale = made.task.scaler.table(("s0", "s1"))
    wanted = answer(made.model, windows, scale, seed=0, rows=rows).point[..., 0]
    assert series[rows].tolist() == [0, 1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("output", ["point", "normal"])
@pytest.mark.parametrize("strategy", ["recursive", "direct", "seq2seq", "segrnn"])
def test_an_update_moves_on_without_training(strategy: str, output: str) -> None:
    """Strategy recursive: as all since the first look-back, read at once; the others: as the newest look-back."""
    made, df = predictor(strategy, output=output), table()
    weights = {n: p.clone() for n, p in made.model.named_parameters()}
    made.predict(df[df.day < "2024-02-01"])
    for first, stop in (("2024-02-01", "2024-02-02"), ("2024-02-02", "2024-02-05"), ("2024-02-05", "2024-02-10")):
        made.update(df[(df.day >= first) & (df.day < stop)])
    found = pd.DataFrame(made.predict())
    for n, p in made.model.named_parameters():
        assert torch.equal(p, weights[n])
    again = predictor(strategy, output=output)
    if strategy == "recursive":
        # the first look-back began 8 days before February
        long = [from_dataframe(df[df.day >= "2024-01-24"], layout=again.task.layout)]
        again.stand(long[0])
        again._streams = {frame.name: again._read(None, frame, 0) for frame in long[0]}
        wanted = pd.DataFrame(again.predict())
    else:
        wanted = again.predict(df)
    assert pd.to_datetime(found.day).tolist() == pd.to_datetime(wanted.day).tolist()
    for name in ("sales", "sales_0.1", "sales_0.9") if output == "normal" else ("sales",):
        np.testing.assert_allclose(values(found, name), values(wanted, name), rtol=1e-5, atol=1e-5)


def test_an_update_may_bring_news_of_some_series_only() -> None:
    made, df = predictor("recursive"), table()
    before = values(made.predict(df[df.day < "2024-02-05"])).reshape(2, F)
    late = df[df.day >= "2024-02-05"]
    after = pd.DataFrame(made.update(late[late.shop == "s1"]).predict())
    assert after.day[::F].tolist() == ["2024-02-05", "2024-02-10"]
    np.testing.assert_allclose(values(after[:F]), before[0], rtol=1e-6)


def test_a_longer_horizon() -> None:
    df = table()
    for strategy in ("recursive", "seq2seq", "direct", "segrnn"):
        made = predictor(strategy)
        short, long = values(made.predict(df)).reshape(2, F), values(made.predict(df, horizon=11)).reshape(2, 11)
        np.testing.assert_allclose(long[:, :F], short, rtol=1e-6)
        assert np.isfinite(long).all()
        assert len(made.predict(df, horizon=2)) == 4
    with pytest.raises(OptionError, match="past covariates are not known that far"):
        predictor("direct", past=True).predict(df, horizon=F + 1)


def test_known_covariates_must_reach_as_far() -> None:
    made, df = predictor(known=True), table()
    cut = df[df.day < "2024-02-05"]
    with pytest.raises(DataError, match="needs the known columns 'promo' at 2024-02-05 to 2024-02-08, and 4 of these"):
        made.predict(cut)
    ahead = df[(df.day >= "2024-01-20") & (df.day < "2024-02-07")][["shop", "day", "promo"]]
    with pytest.raises(DataError, match=r"series 's0'.* at 2024-02-07 to 2024-02-08, and 2 of these times are missing"):
        made.predict(cut, future_covariates=ahead)
    assert len(made.predict(cut, horizon=2, future_covariates=ahead)) == 4
    ahead = df[df.day >= "2024-02-05"][["shop", "day", "promo"]]
    separate = values(made.predict(cut, future_covariates=ahead.sample(frac=1, random_state=0)))
    within = df.copy()
    within.loc[within.day >= "2024-02-05", "sales"] = np.nan
    np.testing.assert_allclose(values(made.predict(within[within.day < "2024-02-09"])), separate)
    changed = values(made.predict(cut, future_covariates=ahead.assign(promo=7.0)))
    assert (changed != separate).all()


def test_a_series_the_training_had_not_is_measured_on_its_history() -> None:
    made, df = predictor(), table()
    new = df[df.shop == "s0"].assign(shop="s7", sales=lambda d: 1000 + 50 * d.sales)
    found = values(made.predict(new))
    assert (np.abs(found - 1000) < 500).all()
    with pytest.raises(DataError, match="series 's7' was not in the training data"):
        made.task.encode(from_dataframe(new, layout=made.task.layout))


def test_the_same_seed_draws_the_same_paths() -> None:
    made, df = predictor("recursive", output="student_t", paths=20), table()
    before = torch.random.get_rng_state()
    first, second = made.predict(df, samples=2), made.predict(df, samples=2)
    assert first.equals(second)
    assert first.path.tolist() == ([0] * F + [1] * F) * 2
    assert torch.equal(before, torch.random.get_rng_state())


def test_counts_are_forecast_as_counts() -> None:
    df = table().assign(sales=lambda d: np.abs(d.sales).round())
    settings = ForecastingSettings.from_flat(
        {"series_id": "shop", "target": ["sales"], "lookback": L, "horizon": F, "hidden_size": 6, "valid_size": "6",
         "output": "negative_binomial", "preset": "none"}
    )  # fmt: skip
    frames = from_dataframe(df, settings.frame)
    task = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None).task
    for record in ForecastPredictor(task, task.network()).predict(frames, samples=5):
        whole = [record["sales_0.1"], record["sales_0.5"], record["sales_0.9"], *record["sales_paths"]]
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-4)
        assert min(whole) >= -1e-4
        assert record["sales"] > 0


def test_files(tmp_path: Path) -> None:
    made, df = predictor(known=True), table()
    df[df.day < "2024-02-05"].to_csv(tmp_path / "history.csv", index=False)
    df[df.day >= "2024-02-05"][["shop", "day", "promo"]].to_csv(tmp_path / "future.csv", index=False)
    said: list[str] = []
    history, future = str(tmp_path / "history.csv"), str(tmp_path / "future.csv")
    found = list(made.predict_files([history], future_covariates=[future], say=said.append))
    wanted = made.predict(df[df.day < "2024-02-05"], future_covariates=df[df.day >= "2024-02-05"])
    np.testing.assert_allclose(values(pd.DataFrame(found)), values(wanted))
    assert said


def test_mistakes_are_said() -> None:
    made, df = predictor(), table()
    with pytest.raises(DataError, match="there is no history to forecast from"):
        made.predict()
    with pytest.raises(DataError, match="there is no history to go on from"):
        made.update(df)
    with pytest.raises(OptionError, match="horizon is 0"):
        made.predict(df, horizon=0)
    with pytest.raises(OptionError, match="samples is -1"):
        made.predict(df, samples=-1)
    with pytest.raises(OptionError, match="no sample paths"):
        made.predict(df, samples=2)
    for strategy in ("direct", "recursive"):
        with pytest.raises(DataError, match="series 's0' has 5, series 's1' has 5 rows, but the model looks back on 8"):
            predictor(strategy).predict(df[df.day < "2024-01-06"])
    made.predict(df)
    with pytest.raises(DataError, match="the new data begins at 2024-01-01, but 2024-02-09 is already there"):
        made.update(df)
    with pytest.raises(DataError, match="'sales'"):
        made.predict(df.drop(columns="sales"))
    with pytest.raises(OptionError, match="the model was trained without any"):
        made.predict(df, future_covariates=df)
