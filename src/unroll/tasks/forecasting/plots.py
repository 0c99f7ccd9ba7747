"""Plot forecasts with observations and intervals, and the error by step of the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.dates as dates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from unroll.data.timeseries.scaler import ShiftScale
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.data.timeseries.windows import ForecastWindows
from unroll.models.forecaster.model import Forecaster
from unroll.tasks.base import Report
from unroll.tasks.forecasting.inference import Forecasts, answer
from unroll.tasks.forecasting.report import called, naive
from unroll.training.plots import COLOURS, GREY, drawable, new_figure, save_figure, text_fonts

_PANELS = 4
_LEAST_HISTORY = 24
# by tick unit: years, months, days, hours, minutes, seconds; days include the month
_FORMATS = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"]
_ZERO = ["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
_OFFSET = ["", "%Y", "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"]
_BLUE, _ORANGE, _GREEN = COLOURS[0], COLOURS[1], COLOURS[2]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Hold a forecast of one column of one series to plot: F steps from row `origin` on.

    Attributes:
        series, column: positions in the frames.
        origin: the first row forecast.
        point: (F,).
        quantiles: (F, Q) increasing, or None.
        beside: (F,) another forecast, such as the naive one, or None.
    """

    series: int
    column: int
    origin: int
    point: np.ndarray
    quantiles: np.ndarray | None = None
    beside: np.ndarray | None = None


def drawn(
    answers: Forecasts, series: np.ndarray, origins: np.ndarray, beside: np.ndarray | None = None
) -> list[list[Drawn]]:
    """Group the forecasts of N windows by series and column, at most four panels: targets of the first, then series."""
    K = answers.point.shape[2]
    names = list(dict.fromkeys(series.tolist()))
    pairs = [(names[0], k) for k in range(K)] + [(s, 0) for s in names[1:]]
    panels = []
    for s, k in pairs[:_PANELS]:
        rows = np.flatnonzero(series == s)
        panels.append(
            [
                Drawn(
                    s,
                    k,
                    int(origins[i]),
                    answers.point[i, :, k],
                    None if answers.quantiles is None else answers.quantiles[i, :, k],
                    None if beside is None else beside[i, :, k],
                )
                for i in rows
            ]
        )
    return panels


def plot_forecasts(
    panels: Sequence[Sequence[Drawn]],
    frames: TimeSeriesSet,
    path: Path,
    *,
    levels: Sequence[float],
    beside: str = "",
    history: int = 0,
) -> None:
    """Plot forecasts and observed values, with one panel for each column of a series.

    Args:
        panels: forecasts of one column each, in order of time.
        frames: the series.
        path: image file to write.
        levels: of the quantiles.
        beside: legend label of the other forecast.
        history: rows shown before the first forecast (0: twice the horizon, at least 24).

    Raises:
        RunError: the file cannot be written.
    """
    figure, axes = new_figure(1, width=9.0, height=0.6 + 2.9 * len(panels), rows=len(panels))
    for at, forecasts in zip(axes, panels, strict=True):
        frame = frames.series[forecasts[0].series]
        column = forecasts[0].column
        F = len(forecasts[0].point)
        first = max(0, forecasts[0].origin - (history or max(_LEAST_HISTORY, 2 * F)))
        stop = min(len(frame), forecasts[-1].origin + F)
        rows = slice(first, stop)
        truth = np.where(frame.observed[rows, column], frame.target[rows, column], np.nan)
        times = frames.layout.clock.local(frame.stamps)
        at.plot(times[rows], truth, color="black", linewidth=1.2, label="observed", zorder=3)
        style = {"marker": "o", "markersize": 3.5} if F * len(forecasts) <= 30 else {}
        for i, forecast in enumerate(forecasts):
            stamps = times[forecast.origin : forecast.origin + F]
            _forecast(at, stamps, forecast, levels, beside if i == 0 else None, style)
        _axis(at, times[rows])
        fonts = text_fonts()
        title = "forecast of " + " · ".join(part for part in (frame.name, frames.targets[column]) if part)
        if not drawable(title, fonts):
            title = f"forecast of series no. {forecasts[0].series + 1}, target no. {column + 1}"
        at.set_title(title, loc="left", fontfamily=fonts, parse_math=False)
    axes[-1].set_xlabel("time" if frames.layout.time else "row")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False, fontsize=9)
    save_figure(figure, path)


def plot_last_windows(
    model: Forecaster,
    part: ForecastWindows,
    scale: ShiftScale,
    path: Path,
    *,
    season: int,
    levels: Sequence[float],
    seed: int,
) -> None:
    """Plot the forecast of the last window of each series, beside the naive forecast; see `plot_forecasts`."""
    rows = part.ends[np.diff(part.ends, prepend=0) > 0] - 1
    answers = answer(model, part, scale, seed=seed, rows=rows)
    name, other = list(naive(part, rows, season).items())[-1]
    panels = drawn(answers, *part.locate(rows), other)
    plot_forecasts(panels, part.frames, path, levels=levels, beside=called(name, season))


def plot_horizon(report: Report, path: Path) -> None:
    """Plot the scaled error by step of the horizon, for the model and the naive forecasts.

    Raises:
        RunError: the file cannot be written.
    """
    figure, (at,) = new_figure(1, width=6.5, height=3.8)
    styles = (("-", _ORANGE), ("--", GREY), (":", _GREEN))
    for (name, values), (dash, colour) in zip(report["by_step"].items(), styles, strict=False):
        steps = np.arange(1, len(values) + 1)
        label = "model" if name == "model" else called(name, report["season"])
        marker = "o" if len(values) <= 30 else ""
        shown = np.array([np.nan if v is None else v for v in values])
        at.plot(steps, shown, dash, color=colour, linewidth=1.6, marker=marker, markersize=3.5, label=label)
    at.set_ylim(bottom=0.0)
    at.set_xlabel("steps ahead")
    at.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    at.set_ylabel("of the scaled values", color=GREY, fontsize=9)
    at.set_title("mean absolute error by steps ahead", loc="left")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


def _forecast(
    at: Axes, stamps: np.ndarray, forecast: Drawn, levels: Sequence[float], beside: str | None, style: dict[str, Any]
) -> None:
    """Plot one forecast with its intervals; only the first has legend labels, `beside` is None for the others."""
    named = beside is not None
    if forecast.beside is not None:
        at.plot(stamps, forecast.beside, color=GREY, linewidth=1.0, linestyle="--", label=beside, zorder=2, **style)
    if forecast.quantiles is not None:
        for q in range(len(levels) // 2):
            low, high = forecast.quantiles[:, q], forecast.quantiles[:, -1 - q]
            label = f"{levels[-1 - q] - levels[q]:.0%} interval" if named else None
            shade: dict[str, Any] = {"color": _ORANGE, "alpha": 0.15 + 0.12 * q, "linewidth": 0.0}
            at.fill_between(stamps, low, high, label=label, zorder=1, **shade)
            if len(stamps) == 1:
                at.vlines(stamps, low, high, color=_ORANGE, alpha=0.4, linewidth=4)
    label = "forecast" if named else None
    at.plot(stamps, forecast.point, color=_ORANGE, linewidth=1.6, label=label, zorder=4, **style)
    at.axvline(stamps[0], color=GREY, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)


def _axis(at: Axes, stamps: np.ndarray) -> None:
    if stamps.dtype.kind == "M":
        locator = dates.AutoDateLocator(minticks=4, maxticks=9)
        at.xaxis.set_major_locator(locator)
        at.xaxis.set_major_formatter(
            dates.ConciseDateFormatter(locator, formats=_FORMATS, zero_formats=_ZERO, offset_formats=_OFFSET)
        )
    else:
        at.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
