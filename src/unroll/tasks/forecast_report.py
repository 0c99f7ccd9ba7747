"""How good forecasts are, beside what costs nothing, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unroll.data.horizons import Windows
from unroll.data.scaling import Affine
from unroll.tasks import forecast_metrics as metrics
from unroll.tasks.forecast_answers import Answers
from unroll.tasks.task import Report

REPEAT, SEASONAL = "repeat_last", "seasonal_naive"
_FIGURES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE %",
    "smape": "sMAPE %",
    "mase": "MASE",
    "mse_scaled": "MSE, scaled",
    "mae_scaled": "MAE, scaled",
}


def naive(windows: Windows, rows: np.ndarray, season: int) -> dict[str, np.ndarray]:
    """The forecasts (N, F, K) that need no model; seasonal naive only where there is a season."""
    history = windows.history(rows, length=season)
    made = {REPEAT: metrics.repeat_last(history, windows.horizon)}
    if season > 1:
        made[SEASONAL] = metrics.seasonal_naive(history, windows.horizon, season)
    return made


def report(
    answers: Answers,
    windows: Windows,
    *,
    scale: Affine,
    error: np.ndarray,
    season: int,
    levels: Sequence[float],
    targets: Sequence[str],
    rows: np.ndarray | None = None,
) -> Report:
    """Every figure of forecasts and of the naive ones beside them.

    `mae`, `rmse`, `mape`, `smape`, `mase`, `pinball` and `width` are in the data's units; `mse_scaled` and `mae_scaled`
    are of the values as the model has them, as tables of long-horizon benchmarks state them. With intervals, `coverage`
    is the share of truths between the lowest and the highest level, `nominal` what it should be. `by_horizon` has the
    model's figures for each step, `by_step` the scaled MAE for each step beside the naive ones'. A model beats a naive
    forecast where both its scaled errors are smaller.

    Args:
        answers: of the windows.
        windows: with the truth.
        scale: (S, K) of the series' targets.
        error: (S, K) the seasonal naive errors of the training part, which MASE divides by.
        season: of the seasonal naive forecast.
        levels: of the quantiles.
        targets: names of the K columns.
        rows: numbers of the windows answered; None: all.
    """
    rows = np.arange(windows.size) if rows is None else rows
    truth, observed = windows.truth(rows)
    series, _ = windows.locate(rows)
    size, own = scale.scale[series], error[series]
    compared = {"model": answers.point, **naive(windows, rows, season)}
    every = {name: _figures(f, truth, observed, size, own) for name, f in compared.items()}
    mine = every.pop("model")
    found: Report = {"windows": len(rows), "horizon": windows.horizon, "season": season, **mine["figures"]}
    if answers.quantiles is not None:
        low, high = answers.quantiles[..., 0], answers.quantiles[..., -1]
        found["pinball"] = metrics.pinball(answers.quantiles, truth, levels, observed)
        found["nominal"] = levels[-1] - levels[0]
        found["coverage"] = metrics.coverage(low, high, truth, observed)
        found["width"] = metrics.width(low, high, observed)
    found["baselines"] = {name: figures["figures"] for name, figures in every.items()}
    found["beats"] = {name: _beats(found, found["baselines"][name]) for name in every}
    found["by_horizon"] = _by_horizon(answers, truth, observed, own, levels)
    found["by_step"] = {"model": mine["by_step"], **{name: f["by_step"] for name, f in every.items()}}
    if len(targets) > 1:
        found["per_target"] = {}
        for k, name in enumerate(targets):
            one = (truth[..., k : k + 1], observed[..., k : k + 1], size[:, k : k + 1], own[:, k : k + 1])
            each = {n: _figures(f[..., k : k + 1], *one)["figures"] for n, f in compared.items()}
            found["per_target"][name] = {**each.pop("model"), "baselines": each}
    return found


def _by_horizon(
    answers: Answers, truth: np.ndarray, observed: np.ndarray, error: np.ndarray, levels: Sequence[float]
) -> dict[str, list[float | None]]:
    """The model's figures for each of the F steps, in the data's units."""
    pair = (answers.point, truth)
    found = {
        name: metrics.by_step(metric, *pair, observed=observed)
        for name, metric in (
            ("mae", metrics.mae),
            ("rmse", metrics.rmse),
            ("mape", metrics.mape),
            ("smape", metrics.smape),
        )
    }
    found["mase"] = metrics.by_step(metrics.mase, *pair, observed=observed, scale=error)
    if answers.quantiles is not None:
        bounds = (answers.quantiles[..., 0], answers.quantiles[..., -1])
        found["pinball"] = metrics.by_step(metrics.pinball, answers.quantiles, truth, observed=observed, levels=levels)
        found["coverage"] = metrics.by_step(metrics.coverage, *bounds, truth, observed=observed)
    return found


def _figures(
    forecast: np.ndarray, truth: np.ndarray, observed: np.ndarray, size: np.ndarray, error: np.ndarray
) -> dict[str, Any]:
    found = metrics.scores(forecast, truth, observed, scale=error)
    scaled = (forecast / size[:, None], truth / size[:, None])
    figures = {name: value for name, value in found.items() if not name.endswith("_by_step") and name != "mse"}
    figures["mse_scaled"] = metrics.mse(*scaled, observed)
    figures["mae_scaled"] = metrics.mae(*scaled, observed)
    return {"figures": figures, "by_step": metrics.by_step(metrics.mae, *scaled, observed=observed)}


def _beats(model: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether both scaled errors are smaller; None where nothing was observed."""
    pairs = [(model[name], other[name]) for name in ("mse_scaled", "mae_scaled")]
    return None if any(a is None for a, _ in pairs) else all(a < b for a, b in pairs)


def called(baseline: str, season: int) -> str:
    """A naive forecast's name for a person."""
    return f"seasonal naive ({season})" if baseline == SEASONAL else "repeat last"


def lines(found: Report, *, full: bool = True) -> list[str]:
    """The report for a person: a row a figure, the naive forecasts beside the model's, and what that means."""
    season, baselines = found["season"], found["baselines"]
    heads = ["model", *(called(name, season) for name in baselines)]
    table = [["", *heads]]
    for name, text in _FIGURES.items():
        values = [found.get(name), *(b.get(name) for b in baselines.values())]
        if any(v is not None for v in values):
            table.append([text, *map(number, values)])
    shown = aligned(table)
    if "coverage" in found:
        inside = "not defined" if found["coverage"] is None else f"{found['coverage']:.1%}"
        shown.append(
            f"{inside} of the truths lie in the {found['nominal']:.0%} interval, {number(found['width'])} wide;"
            f" pinball loss {number(found['pinball'])}"
        )
    for name, text in (("mape_left_out", "MAPE leaves out {} truths that are 0"),
                       ("mase_left_out", "MASE leaves out {} truths of series without a naive error")):  # fmt: skip
        if name in found:
            shown.append(text.format(f"{found[name]:,}"))
    if found.get("in_training"):
        shown.append(
            f"{found['in_training']:,} of {found['windows']:,} windows begin in the rows that the model was trained on;"
            " their figures are too good"
        )
    if full:
        shown += _steps(found, heads) + _targets(found, heads)
    return shown + verdict(found)


def verdict(found: Report) -> list[str]:
    """Whether the model is worth having: a sentence for each naive forecast that it does not beat."""
    names = {name: called(name, found["season"]) for name in found["baselines"]}
    lost = [name for name, won in found["beats"].items() if won is False]
    shown = []
    for name in lost:
        other = found["baselines"][name]
        both = [f"{t} {number(found[k])} against {number(other[k])}"
                for k, t in (("mse_scaled", "squared error"), ("mae_scaled", "absolute error"))]  # fmt: skip
        shown.append(f"the model does not beat {names[name]}: {', '.join(both)}")
    if not lost and all(found["beats"].values()):
        shown.append(f"the model beats {' and '.join(names.values())}")
    return shown


def _steps(found: Report, heads: Sequence[str]) -> list[str]:
    """The scaled MAE at some steps of the horizon."""
    F = found["horizon"]
    if F == 1:
        return []
    at = sorted({1, *(max(1, round(F * share)) for share in (0.25, 0.5, 0.75)), F})
    table = [["MAE, scaled", *heads]]
    table += [[f"step {f}", *(number(values[f - 1]) for values in found["by_step"].values())] for f in at]
    return ["", *aligned(table)]


def _targets(found: Report, heads: Sequence[str]) -> list[str]:
    table = [["MAE", *heads]]
    for name, scores in found.get("per_target", {}).items():
        table.append([name, number(scores["mae"]), *(number(b["mae"]) for b in scores["baselines"].values())])
    return ["", *aligned(table)] if len(table) > 1 else []


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[c]) for row in table) for c in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]


def number(value: float | None) -> str:
    """Four figures that matter, without exponents for what a person can read."""
    if value is None:
        return "not defined"
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        decimals = 4 if abs(value) < 10 else 3 if abs(value) < 100 else 2 if abs(value) < 1000 else 1
        return f"{value:,.{decimals}f}"
    return f"{value:.3e}"
