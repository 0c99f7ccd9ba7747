"""Forecasters at their defaults beside seasonal naive, repeat last and the Theta method, on public data sets.

    python benchmarks/first_try_forecasts.py [--data DIR] [--only NAME] [--seeds N] [--out FILE]

Every forecaster gets the columns, where there are several series that of their names, a fill for gaps and duplicates,
and the test part, and no other option (but one thread); ETTh1's horizon, 24, is its season. Figures are of every window
of the test part.

Data (`UNROLL_DATA`, default ../shared/data): the airline passengers with the last 24 months for the test; the ILI
series and the weather of Jena with the last fifth; ETTh1 in its usual split, of which the validation part is trained on
too; ten stocks with the last tenth. Two are drawn: 200 short monthly series, 60 intermittent daily ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from environment import ROOT, about, default_out
from unroll.data.timeseries.reader import from_dataframe
from unroll.tasks.base import DataPaths
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.task import ForecastingTask
from unroll.tasks.train import new_model, train

STOCKS = ("AAPL", "AMZN", "GOOG", "MSFT", "KO", "XOM", "JPM", "PFE", "T", "WMT")
Set = tuple[pd.DataFrame, dict[str, Any]]


def passengers(data: Path) -> Set:
    """Airline passengers, 144 months."""
    return pd.read_csv(data / "air_passengers" / "AirPassengers.csv"), {"test_size": "24"}


def ili(data: Path) -> Set:
    """Influenza-like illness, 966 weeks, 7 targets."""
    return pd.read_csv(data / "ili" / "national_illness.csv"), {"test_size": "0.2"}


def etth1(data: Path) -> Set:
    """Transformer loads and temperatures, 14,400 hours, 7 targets."""
    return pd.read_csv(data / "ett" / "ETTh1.csv.gz").iloc[:14400], {"test_size": "2880"}


def weather(data: Path) -> Set:
    """Weather, 52,696 ten minutes, 21 targets."""
    df = pd.read_csv(data / "weather" / "weather.csv.gz")
    return df, {"test_size": "0.2", "duplicates": "first", "gaps": "fill"}


def stocks(data: Path) -> Set:
    """Closing prices of ten stocks, 1,258 days."""
    df = pd.read_csv(data / "stock_daily" / "stocknet_88_daily_prices.csv.gz")
    return df.loc[df.Symbol.isin(STOCKS), ["Symbol", "Date", "Close"]], {
        "test_size": "0.1",
        "series_id": "Symbol",
        "gaps": "fill",
    }


def monthly(_: Path) -> Set:
    """200 drawn monthly series of 40 to 75 months, with trend and season."""
    rng, parts = np.random.default_rng(0), []
    for s in range(200):
        n = int(rng.integers(40, 75))
        t = np.arange(n)
        size, phase = rng.uniform(0, 0.3), rng.uniform(0, 6)
        season = 1 + size * np.sin(2 * np.pi * t / 12 + phase) + size / 2 * np.cos(4 * np.pi * t / 12)
        walk = rng.normal(0, 0.015, n).cumsum() + rng.normal(0, 0.05, n) + rng.normal(0, 0.004) * t
        times = pd.date_range("2010-01-01", periods=n, freq="MS")
        parts.append(pd.DataFrame({"id": f"s{s}", "month": times, "y": rng.uniform(100, 5000) * season * np.exp(walk)}))
    return pd.concat(parts), {"test_size": "12", "series_id": "id"}


def intermittent(_: Path) -> Set:
    """60 drawn daily series of counts, most of them 0."""
    rng, parts = np.random.default_rng(0), []
    for s in range(60):
        n = int(rng.integers(80, 200))
        y = rng.poisson(rng.uniform(1, 4), n) * (rng.random(n) < rng.uniform(0.1, 0.5))
        parts.append(pd.DataFrame({"id": f"s{s}", "day": pd.date_range("2010-01-01", periods=n), "y": y.astype(float)}))
    return pd.concat(parts), {"test_size": "14", "series_id": "id"}


SETS = {f.__name__: f for f in (passengers, ili, etth1, stocks, monthly, intermittent, weather)}


def measure(df: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """Train with these options, and return the figures of the test part."""
    settings = ForecastingSettings.from_flat(options)
    frames = from_dataframe(df, settings.frame, where="the table")
    prepared = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), lambda _: None)
    model = new_model(prepared)
    with tempfile.TemporaryDirectory() as folder:
        train(prepared, model, Path(folder), quiet=True)
    model.cpu().eval()
    prepared.task.calibrate(model, prepared, model)
    assert prepared.test is not None  # noqa: S101 (test_size is given)
    return prepared.task.evaluate(model, prepared.test)


def main() -> None:
    """Measure every set, and write the results."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument(
        "--data", type=Path, default=Path(os.environ.get("UNROLL_DATA", ROOT.parent / "shared" / "data"))
    )
    arguments.add_argument("--only", default="", choices=["", *SETS])
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=default_out("first_try_forecasts"))
    given = arguments.parse_args()
    results = []
    for name, load in SETS.items():
        if given.only not in ("", name):
            continue
        df, options = load(given.data)
        mase, coverage, seconds, found = [], [], [], {}
        for seed in range(given.seeds):
            start = time.perf_counter()
            found = measure(df, options | {"seed": seed, "threads": 1})
            mase.append(round(found["mase"], 3))
            coverage.append(round(found["coverage"], 3))
            seconds.append(round(time.perf_counter() - start))
        beside = {other: round(figures["mase"], 3) for other, figures in found["baselines"].items()}
        row = {
            "data": name, "rows": len(df), "horizon": found["horizon"], "mase": mase,
            "mean": round(statistics.mean(mase), 3), "baselines": beside, "coverage of 80 %": coverage,
            "seconds": seconds,
        }  # fmt: skip
        results.append(row)
        print(row, flush=True)
        given.out.write_text(
            json.dumps({**about("python benchmarks/first_try_forecasts.py"), "results": results}, indent=1),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
