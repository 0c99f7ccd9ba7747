"""Compute forecast metrics next to naive baselines, and format them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unroll.data.timeseries.scaler import ShiftScale
from unroll.data.timeseries.windows import ForecastWindows
from unroll.tasks.base import Report
from unroll.tasks.forecasting import metrics
from unroll.tasks.forecasting.inference import Forecasts
from unroll.tasks.forecasting.theta import history_length, theta
from unroll.tasks.reporting import MOST_ROWS, aligned, number

REPEAT, SEASONAL, THETA = "repeat_last", "seasonal_naive", "theta"
_MODEL = "model"
_MEANS = ("mae", "mse", "mape", "smape", "mase", "mse_scaled", "mae_scaled")
_FIGURES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE %",
    "smape": "sMAPE %",
    "mase": "MASE",
    "mse_scaled": "MSE, scaled",
    "mae_scaled": "MAE, scaled",
}


def naive(windows: ForecastWindows, rows: np.ndarray, season: int) -> dict[str, np.ndarray]:
    """Compute the naive forecasts (N, F, K); seasonal naive only if the season is above 1."""
    history = windows.history(rows, length=season)
    made = {REPEAT: metrics.repeat_last(history, windows.horizon)}
    if season > 1:
        made[SEASONAL] = metrics.seasonal_naive(history, windows.horizon, season)
    return made


def evaluate(
    answers: Forecasts | Iterable[Forecasts],
    windows: ForecastWindows,
    *,
    scale: ShiftScale,
    error: np.ndarray,
    season: int,
    levels: Sequence[float],
    targets: Sequence[str],
    rows: np.ndarray | None = None,
    with_theta: bool = True,
) -> Report:
    """Compute all metrics of forecasts and of naive forecasts.

    `mae`, `rmse`, `mape`, `smape`, `mase`, `pinball` and `width` are in the data's units; `mse_scaled` and `mae_scaled`
    are of the scaled values, as in tables of long-horizon benchmarks. With intervals, `coverage` is the share of truths
    between the lowest and the highest level, `nominal` its target value. `by_horizon` has the model's metrics for each
    step, `by_step` the scaled MAE for each step, also of naive forecasts. A model beats a naive forecast if both its
    scaled errors are smaller.

    Args:
        answers: forecasts of the windows, all at once or in chunks; only one chunk is kept in memory.
        windows: with the truth.
        scale: (S, K) of the series' targets.
        error: (S, K) the seasonal naive errors of the training part, the denominator of MASE.
        season: of the seasonal naive forecast.
        levels: of the quantiles.
        targets: names of the K columns.
        rows: numbers of the forecast windows; None: all.
        with_theta: add the Theta method to the naive forecasts.
    """
    rows = np.arange(windows.size) if rows is None else rows
    errors: dict[str, _Errors] = {}
    intervals = _Intervals(levels)
    start = 0
    for piece in [answers] if isinstance(answers, Forecasts) else answers:
        piece_rows = rows[start : start + len(piece.point)]
        start += len(piece_rows)
        truth, observed = windows.truth(piece_rows)
        series, _ = windows.locate(piece_rows)
        others = naive(windows, piece_rows, season)
        if with_theta:
            history = windows.history(piece_rows, length=history_length(season))
            others[THETA] = theta(history, windows.horizon, season)
        for name, forecast in {_MODEL: piece.point, **others}.items():
            errors.setdefault(name, _Errors()).add(forecast, truth, observed, scale.scale[series], error[series])
        if piece.quantiles is not None:
            intervals.add(piece.quantiles, truth, observed)
    mine = errors.pop(_MODEL)
    result: Report = {"windows": len(rows), "horizon": windows.horizon, "season": season, **mine.figures()}
    if intervals.some:
        result |= intervals.figures()
    result["baselines"] = {name: one.figures() for name, one in errors.items()}
    result["beats"] = {name: _beats(result, result["baselines"][name]) for name in errors}
    result["by_horizon"] = mine.by_horizon() | (intervals.by_horizon() if intervals.some else {})
    result["by_step"] = {name: one.by_step() for name, one in ((_MODEL, mine), *errors.items())}
    if len(targets) > 1:
        result["per_target"] = {
            name: {**mine.figures(k), "baselines": {n: one.figures(k) for n, one in errors.items()}}
            for k, name in enumerate(targets)
        }
    return result


class _Errors:
    """Accumulate the errors of one forecast, in the data's units and scaled."""

    def __init__(self) -> None:
        self._means = {name: metrics.Means() for name in _MEANS}

    def add(
        self, forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray, size: np.ndarray, error: np.ndarray
    ) -> None:
        """Add windows (n, F, K); size and naive error are (n, K)."""
        pair, scaled = (forecast, truth), (forecast / size[:, None], truth / size[:, None])
        values = {
            "mae": metrics.absolute_error(*pair),
            "mse": metrics.squared_error(*pair),
            "mape": metrics.percentage_error(*pair),
            "smape": metrics.symmetric_percentage_error(*pair),
            "mase": metrics.absolute_scaled_error(*pair, error),
            "mse_scaled": metrics.squared_error(*scaled),
            "mae_scaled": metrics.absolute_error(*scaled),
        }
        for name, means in self._means.items():
            means.add(values[name], observed)

    def figures(self, column: int | None = None) -> dict[str, Any]:
        """Compute metrics over everything, or one column; `..._left_out` counts truths where it is undefined."""
        means = {name: means.mean(column) for name, means in self._means.items()}
        values: dict[str, Any] = {
            "mae": means["mae"],
            "rmse": metrics.root(means["mse"]),
            "mape": means["mape"],
            "smape": means["smape"],
        }
        if zeros := self._left_out("mape", column):
            values["mape_left_out"] = zeros
        values["mase"] = means["mase"]
        if unscaled := self._left_out("mase", column):
            values["mase_left_out"] = unscaled
        return values | {"mse_scaled": means["mse_scaled"], "mae_scaled": means["mae_scaled"]}

    def _left_out(self, name: str, column: int | None) -> int:
        return self._means["mae"].count(column) - self._means[name].count(column)

    def by_step(self) -> list[metrics.Mean]:
        """Compute the scaled MAE of each step."""
        return self._means["mae_scaled"].by_step()

    def by_horizon(self) -> dict[str, list[metrics.Mean]]:
        """Compute the metrics of each step, in the data's units."""
        each = {name: self._means[name].by_step() for name in ("mae", "mse", "mape", "smape", "mase")}
        each["rmse"] = [metrics.root(value) for value in each.pop("mse")]
        return {name: each[name] for name in ("mae", "rmse", "mape", "smape", "mase")}


class _Intervals:
    """Accumulate metrics of quantiles, and of the interval from the lowest to the highest."""

    def __init__(self, levels: Sequence[float]) -> None:
        self.some = False
        self._levels = levels
        self._pinball, self._coverage, self._width = metrics.Means(), metrics.Means(), metrics.Means()

    def add(self, quantiles: np.ndarray, truth: np.ndarray, observed: np.ndarray) -> None:
        """Add the quantiles of windows, (n, F, K, Q)."""
        self.some = True
        low, high = quantiles[..., 0], quantiles[..., -1]
        self._pinball.add(metrics.pinball_loss(quantiles, truth, self._levels), observed)
        self._coverage.add(metrics.inside(low, high, truth), observed)
        self._width.add(high - low, observed)

    def figures(self) -> dict[str, Any]:
        """Compute the metrics over everything."""
        return {
            "pinball": self._pinball.mean(),
            "nominal": self._levels[-1] - self._levels[0],
            "coverage": self._coverage.mean(),
            "width": self._width.mean(),
        }

    def by_horizon(self) -> dict[str, list[metrics.Mean]]:
        """Compute the metrics of each step."""
        return {"pinball": self._pinball.by_step(), "coverage": self._coverage.by_step()}


def _beats(model: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Tell whether both scaled errors are smaller; None where nothing was observed."""
    pairs = [(model[name], other[name]) for name in ("mse_scaled", "mae_scaled")]
    return None if any(a is None for a, _ in pairs) else all(a < b for a, b in pairs)


def called(baseline: str, season: int) -> str:
    """Return a baseline's display name."""
    return {REPEAT: "repeat last", SEASONAL: f"seasonal naive ({season})", THETA: "Theta"}[baseline]


def format_report(report: Report, *, full: bool = True, every: bool = False, advice: Sequence[str] = ()) -> list[str]:
    """Format the report: one row per metric, for model and baselines, and a verdict; `every` shows all steps.

    `advice` lists options to try where a baseline is better than the model.
    """
    season, baselines = report["season"], report["baselines"]
    heads = ["model", *(called(name, season) for name in baselines)]
    table = [["", *heads]]
    for name, text in _FIGURES.items():
        values = [report.get(name), *(b.get(name) for b in baselines.values())]
        if any(v is not None for v in values):
            table.append([text, *map(number, values)])
    shown = aligned(table)
    if "coverage" in report:
        inside = "not defined" if report["coverage"] is None else f"{report['coverage']:.1%}"
        shown.append(
            f"{inside} of the truths lie in the {report['nominal']:.0%} interval, {number(report['width'])} wide;"
            f" pinball loss {number(report['pinball'])}"
        )
    for name, text in (("mape_left_out", "MAPE leaves out {} truths that are 0"),
                       ("mase_left_out", "MASE leaves out {} truths of series without a naive error")):  # fmt: skip
        if name in report:
            shown.append(text.format(f"{report[name]:,}"))
    if report.get("in_training"):
        shown.append(
            f"{report['in_training']:,} of {report['windows']:,} windows begin in the rows that the model was trained"
            " on; their figures are too good"
        )
    if full:
        shown += _steps(report, heads, every=every) + _targets(report, heads, every=every)
    shown += verdict(report)
    if advice and False in report["beats"].values():
        shown.append(f"  try {', '.join(advice)}")
    return shown


def verdict(report: Report) -> list[str]:
    """Say whether the model beats the baselines: a sentence for each that it does not beat."""
    names = {name: called(name, report["season"]) for name in report["baselines"]}
    lost = [name for name, won in report["beats"].items() if won is False]
    shown = []
    for name in lost:
        other = report["baselines"][name]
        both = [f"{t} {number(report[k])} against {number(other[k])}"
                for k, t in (("mse_scaled", "squared error"), ("mae_scaled", "absolute error"))]  # fmt: skip
        shown.append(f"the model does not beat {names[name]}: {', '.join(both)}")
    if not lost and all(report["beats"].values()):
        *most, last = names.values()
        shown.append(f"the model beats {', '.join(most)} and {last}")
    return shown


def _steps(report: Report, heads: Sequence[str], *, every: bool) -> list[str]:
    """Format the scaled MAE at some steps of the horizon, or at every one."""
    F = report["horizon"]
    if F == 1:
        return []
    at = range(1, F + 1) if every else sorted({1, *(max(1, round(F * share)) for share in (0.25, 0.5, 0.75)), F})
    table = [["MAE, scaled", *heads]]
    table += [[f"step {f}", *(number(values[f - 1]) for values in report["by_step"].values())] for f in at]
    return ["", *aligned(table)]


def _targets(report: Report, heads: Sequence[str], *, every: bool) -> list[str]:
    """Format the MAE of each target; of many, those with the largest scaled errors."""
    table, targets = [["MAE", *heads]], report.get("per_target", {})
    names = list(targets)
    if len(names) > MOST_ROWS and not every:
        names = sorted(names, key=lambda name: -(targets[name]["mae_scaled"] or 0.0))[:MOST_ROWS]
    for name in names:
        scores = targets[name]
        table.append([name, number(scores["mae"]), *(number(b["mae"]) for b in scores["baselines"].values())])
    left = len(targets) - len(names)
    more = f"{left:,} targets with smaller scaled errors are left out; --full shows all"
    return ["", *aligned(table), *([more] if left else [])] if names else []
