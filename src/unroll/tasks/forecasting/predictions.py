"""List forecasts beside the truth, and the windows with the largest errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unroll.data.timeseries.windows import ForecastWindows
from unroll.models.forecaster.model import Forecaster
from unroll.tasks.forecasting.fitted import FittedSeries
from unroll.tasks.forecasting.inference import answer
from unroll.tasks.forecasting.output_table import STEP, time_texts
from unroll.tasks.predictions import Predictions, largest


def adjacent(windows: ForecastWindows) -> np.ndarray:
    """Number the windows that lie side by side, counted from the last one of each series."""
    every = max(1, windows.horizon // windows.stride)
    starts = np.concatenate([[0], windows.ends[:-1]])
    return np.concatenate(
        [np.arange(stop - 1, start - 1, -every)[::-1] for start, stop in zip(starts, windows.ends, strict=True)]
    ).astype(np.int64)


def predictions(network: Forecaster, windows: ForecastWindows, fitted: FittedSeries, seed: int) -> Predictions:
    """List the forecasts of windows that lie side by side, a row for each step; the worst rows are windows."""
    rows = adjacent(windows)
    scale = fitted.scaler.table(windows.frames.names)
    made = answer(network, windows, scale, seed=seed, rows=rows)
    truth, observed = windows.truth(rows)
    series, origins = windows.locate(rows)
    with np.errstate(invalid="ignore"):
        errors = np.where(observed, np.abs(made.point - truth), np.nan)
    counts = np.maximum(observed.sum((1, 2)), 1)
    scaled = np.nansum(errors / scale.scale[series][:, None], axis=(1, 2)) / counts
    frames, horizon = windows.frames, windows.horizon
    layout = frames.layout
    lines: list[tuple[str, list[str] | list[int]]] = []
    for s, origin in zip(series.tolist(), origins.tolist(), strict=True):
        frame = frames.series[s]
        lines.append((frame.name, time_texts(frame.stamps[origin : origin + horizon], layout)))

    def listed() -> Iterator[dict[str, Any]]:
        for i, (name, times) in enumerate(lines):
            for f, time in enumerate(times):
                row: dict[str, Any] = {layout.series: name} if layout.series else {}
                row |= {layout.time: time} if layout.time else {}
                row[STEP] = f + 1
                for k, target in enumerate(layout.target):
                    row[target] = float(truth[i, f, k]) if observed[i, f, k] else ""
                    row[f"{target}_predicted"] = float(made.point[i, f, k])
                yield row

    worst = [
        {**({layout.series: lines[i][0]} if layout.series else {}), "first": lines[i][1][0], "last": lines[i][1][-1]}
        | {"mae_scaled": float(scaled[i])}
        for i in largest(scaled).tolist()
    ]
    return Predictions(listed(), worst)
