"""Rolling-origin backtest: forecast from successive origins, and compare with the truth.

The weights do not change. Each forecast uses only the rows before its origin.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.atomic_write import write_whole
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.data.timeseries.windows import ForecastWindows
from unroll.errors import DataError, OptionError
from unroll.models.forecaster.model import Forecaster
from unroll.tasks.base import Report
from unroll.tasks.forecasting import report
from unroll.tasks.forecasting.inference import Forecasts, answer
from unroll.tasks.forecasting.output_table import json_key
from unroll.tasks.forecasting.report import called
from unroll.tasks.forecasting.split import listed
from unroll.tasks.forecasting.task import ForecastingTask
from unroll.tasks.reporting import aligned, number

if TYPE_CHECKING:
    import pandas as pd

ORIGINS = 10
_BY_ORIGIN = ("mae", "rmse", "mase", "mse_scaled", "mae_scaled")


@dataclass(frozen=True, eq=False)
class Backtest:
    """Hold the result of a backtest.

    Attributes:
        report: as from `report.evaluate`, and `by_origin`: metrics of model and naive forecasts for each origin.
        windows: with the truth.
        rows: (N,) numbers of the forecast windows, in the order of series and time.
        answers: forecasts of these windows.
        notes: series that were left out, and why.
    """

    report: Report
    windows: ForecastWindows
    rows: np.ndarray
    answers: Forecasts
    notes: tuple[str, ...] = ()


def backtest(
    task: ForecastingTask,
    model: Forecaster,
    frames: TimeSeriesSet,
    *,
    origins: int | None = None,
    stride: int | None = None,
) -> Backtest:
    """Run a backtest over the last origins of each series.

    Args:
        task: of the model.
        model: trained.
        frames: series that the training data had.
        origins: number of origins per series, the last ones (None: as many as fit, at most 10).
        stride: rows from one origin to the next (None: the horizon, so that forecasts do not overlap).

    Raises:
        OptionError: a number below 1.
        DataError: no series is from the training data, or none is long enough.
    """
    stride = task.settings.reach.horizon if stride is None else stride
    for name, value in (("origins", ORIGINS if origins is None else origins), ("stride", stride)):
        if value < 1:
            raise OptionError(f"{name} is {value}; it must be at least 1")
    windows = task.encode(frames)
    rows, short = _last(windows, origins, stride)
    notes = windows.notes
    if short:
        notes = (*notes, f"left out, with too few rows for {origins} origins every {stride} rows: {listed(short)}")
    names = windows.frames.names
    scale = task.scaler.table(names)
    answers = answer(model, windows, scale, seed=task.settings.batch.seed, rows=rows)
    parts: dict[str, Any] = {
        "scale": scale,
        "error": task.measured.error_table(names),
        "season": task.settings.reach.season,
        "levels": task.settings.forecaster.quantiles,
        "targets": task.layout.target,
        "with_theta": task.settings.forecasting.baseline == "auto",
    }
    result = report.evaluate(answers, windows, rows=rows, **parts)
    series, firsts = windows.locate(rows)
    result["in_training"] = task.in_training(windows, rows)
    at = np.array([str(_told(windows.frames, s, o)) for s, o in zip(series, firsts, strict=True)])
    times = {text: windows.frames.series[s].stamps[o] for text, s, o in zip(at.tolist(), series, firsts, strict=True)}
    result["by_origin"] = []
    for origin in sorted(times, key=times.__getitem__):
        members = np.flatnonzero(at == origin)
        some = Forecasts(answers.point[members], None if answers.quantiles is None else answers.quantiles[members])
        one = report.evaluate(some, windows, rows=rows[members], **parts)
        figures = {name: one[name] for name in _BY_ORIGIN if name in one}
        beside = {n: {k: b[k] for k in _BY_ORIGIN if k in b} for n, b in one["baselines"].items()}
        cover = {"coverage": one["coverage"]} if "coverage" in one else {}
        result["by_origin"].append({"origin": origin, "windows": len(members), **figures, **cover, "baselines": beside})
    return Backtest(result, windows, rows, answers, notes)


def _last(windows: ForecastWindows, origins: int | None, stride: int) -> tuple[np.ndarray, list[str]]:
    """Find the windows with the last origins of each series, in order of time.

    Returns:
        Their numbers, and the series with room for some origins, but not for all.
    """
    rows, short = [], []
    begins = np.concatenate([[0], windows.ends])
    for frame, first, end in zip(windows.frames, begins, windows.ends, strict=False):
        room = int(end - first - 1) // stride + 1 if end > first else 0
        count = min(room, ORIGINS) if origins is None else origins
        if room < count:
            short.append((frame, room))
            continue
        rows.append(end - 1 - stride * np.arange(count)[::-1])
    if not rows:
        frame, room = max(short, key=lambda one: one[1])
        raise DataError(
            f"{frame.called} has {len(frame)} rows, which leaves room for {room} origins every {stride} rows,"
            f" not {origins}"
        )
    return np.concatenate(rows).astype(np.int64), [f"'{frame.name}'" for frame, room in short if room]


def _told(frames: TimeSeriesSet, series: int, row: int) -> Any:
    return frames.layout.clock.format_timestamp(frames.series[series].stamps[row])


def lines(found: Report) -> list[str]:
    """Format the report, with a table row for each origin."""
    text = report.format_report(found)
    heads = ["MAE, scaled, from", "windows", "model", *(called(name, found["season"]) for name in found["baselines"])]
    table = [heads]
    for one in found["by_origin"]:
        others = (number(b["mae_scaled"]) for b in one["baselines"].values())
        table.append([one["origin"], str(one["windows"]), number(one["mae_scaled"]), *others])
    return [*text, "", *aligned(table)]


def records(test: Backtest, task: ForecastingTask) -> Iterator[dict[str, Any]]:
    """Yield every forecast with its truth (None where missing): a record for each window, step and target."""
    frames, levels = test.windows.frames, task.settings.forecaster.quantiles
    truth, observed = test.windows.truth(test.rows)
    series, origins = test.windows.locate(test.rows)
    for i, (s, origin) in enumerate(zip(series.tolist(), origins.tolist(), strict=True)):
        for f in range(test.windows.horizon):
            for k, target in enumerate(frames.targets):
                record: dict[str, Any] = {
                    "series": json_key(frames, frames.series[s].name),
                    "origin": _told(frames, s, origin),
                    "step": f + 1,
                    "time": _told(frames, s, origin + f),
                    "target": target,
                    "forecast": float(test.answers.point[i, f, k]),
                }
                if test.answers.quantiles is not None:
                    values = test.answers.quantiles[i, f, k].tolist()
                    record |= {f"quantile_{q:g}": v for q, v in zip(levels, values, strict=True)}
                record["truth"] = float(truth[i, f, k]) if observed[i, f, k] else None
                yield record


def forecast_table(test: Backtest, task: ForecastingTask) -> pd.DataFrame:
    """Build a table of the records, with the names and the times of the data."""
    import pandas as pd

    windows, horizon, K = test.windows, test.windows.horizon, len(test.windows.frames.targets)
    frames, column = windows.frames, windows.frames.layout.clock.column
    places = [(frames.series[s], o) for s, o in zip(*windows.locate(test.rows), strict=True)]
    table = pd.DataFrame(records(test, task))
    table["series"] = np.array([frames.key(frame.name) for frame, _ in places]).repeat(horizon * K)
    table["origin"] = column(np.array([frame.stamps[o] for frame, o in places]).repeat(horizon * K))
    table["time"] = column(np.concatenate([frame.stamps[o : o + horizon] for frame, o in places]).repeat(K))
    return table


def write(test: Backtest, task: ForecastingTask, folder: Path) -> None:
    """Write forecasts.csv, backtest.json, backtest.png and horizon.png to a folder, created if needed.

    Raises:
        RunError: a file cannot be written.
    """
    import json

    from unroll.tasks.forecasting.plots import drawn, plot_forecasts, plot_horizon

    every = records(test, task)
    first = next(every)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(first))
    writer.writeheader()
    writer.writerow(first)
    writer.writerows(every)
    write_whole(folder / "forecasts.csv", text.getvalue())
    write_whole(folder / "backtest.json", json.dumps(test.report, indent=2, ensure_ascii=False) + "\n")
    series, origins = test.windows.locate(test.rows)
    panels = drawn(test.answers, series, origins)
    levels = task.settings.forecaster.quantiles
    plot_forecasts([_apart(p) for p in panels], test.windows.frames, folder / "backtest.png", levels=levels)
    plot_horizon(test.report, folder / "horizon.png")


def _apart(forecasts: list[Any]) -> list[Any]:
    """Select forecasts that do not overlap in the plot, from the last backwards."""
    kept = []
    for one in reversed(forecasts):
        if not kept or one.origin + len(one.point) <= kept[-1].origin:
            kept.append(one)
    return kept[::-1]
