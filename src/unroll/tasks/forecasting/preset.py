"""Choose the options that were not given by what the training series are like."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unroll.data.timeseries.frequency import season_length
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.data.timeseries.split import Split
from unroll.models.forecaster.inputs import segment_length
from unroll.options import shown
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.ridge import fit_ridge
from unroll.tasks.forecasting.seasonality import find_season

Given = frozenset[str] | set[str]

_COMMON: dict[str, Any] = {
    "hidden_size": 64, "init": "orthogonal", "optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.01,
    "schedule": "cosine", "average": "ema", "ema_decay": 0.98, "head_dropout": 0.1, "max_grad_norm": 1.0,
}  # fmt: skip
_UNFIT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "ema_decay": ("average", ("ema",)), "learning_rate": ("optimizer", ("adamw", "adam")),
    "weight_decay": ("optimizer", ("adamw",)), "output": ("loss", ()),
}  # fmt: skip
"""Options that are not chosen where another one was given that is not among these."""
_REASONS: dict[tuple[str, ...], str] = {
    ("strategy", "skip", "instance_norm"): "the network corrects a linear forecast of normalised look-backs",
    ("output",): "medians and intervals",
    ("stride", "batch_size", "epochs"): "some hundreds of updates, whatever the size of the data",
}
_OTHERWISE = "small networks that are trained for so long"
_LOOKBACKS = (1, 2, 3, 4, 6, 8, 12)
_LONGEST = 512
_NEAR = 1.01
_SERIES = 200
"""Series that the look-back is chosen by, at most."""
_WINDOWS = 6000
_SEGMENT = 4
"""Steps of a segment below which segrnn would save nothing."""
_UPDATES = (300, 1000)
_ROWS = 1024
_FEW_VALID = 10
_FEW = 20
"""Windows that are enough for a look-back of one season."""


def choose_options(
    settings: ForecastingSettings, frames: TimeSeriesSet, parts: Split
) -> tuple[ForecastingSettings, list[str]]:
    """Choose the options that were not given by the training parts of the series, split with the options as they are.

    Returns:
        The settings, and lines that say what was chosen and why; none if nothing was.
    """
    if settings.forecasting.preset == "none":
        return settings, []
    upto = parts.upto
    flat, given = settings.flat(), settings.set_by_user()
    series, groups = _training(frames, upto)
    options, lines = _season(flat, frames, series)
    season = options.get("season") or flat["season"] or season_length(frames.frequency)
    horizon = flat["horizon"] or season
    if not given & {"valid_size", "train_size"} and (held := _validation(parts, season, horizon)):
        size, reason = held
        options["valid_size"] = f"{size}"
        lines.append(f"valid_size {size}: {reason}")
        upto = {name: n + len(own[1]) - size for (name, n), own in zip(upto.items(), parts.parts, strict=True)}
        series, groups = _training(frames, upto)
    rows = np.array(sorted(upto.values()))
    if rows[-1] <= horizon:
        return settings, []
    lookback = flat["lookback"]
    if not lookback:
        lookback, reason = _lookback(series, groups, rows, season, horizon)
        options["lookback"] = lookback
        lines.append(f"lookback {lookback}: {reason}")
    options |= _model(flat, given, lookback, horizon)
    options |= _training_options(flat | options, given, rows, len(frames.targets), lookback, horizon)
    for name, (other, values) in _UNFIT.items():
        if other in given and flat[other] not in values:
            options.pop(name, None)
    explained = ("season", "valid_size", "lookback")
    told = {name: value for name, value in options.items() if name not in given and name not in explained}
    options = told | {name: options[name] for name in explained if name in options}
    if told:
        counts = f"{len(upto):,} series of {rows[0]:,}" + (f" to {rows[-1]:,}" if rows[0] < rows[-1] else "") + " rows"
        lines.append(f"chosen for {counts} to train on (--preset none keeps the defaults):")
        lines += _told(told)
    return settings.with_chosen(options), lines


def _told(options: Mapping[str, Any]) -> list[str]:
    """Say what was chosen, and why, in groups."""
    groups: dict[str, list[str]] = {}
    for name, value in options.items():
        reason = next((reason for names, reason in _REASONS.items() if name in names), _OTHERWISE)
        groups.setdefault(reason, []).append(f"{name} {shown(value)}".replace(" ", "\N{NO-BREAK SPACE}"))
    lines = []
    for reason, each in groups.items():
        text = f"{', '.join(each)}: {reason}"
        lines += textwrap.wrap(text, 110, initial_indent="  ", subsequent_indent="    ")
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _training(frames: TimeSeriesSet, upto: Mapping[str, int]) -> tuple[list[np.ndarray], list[int]]:
    """Return the scaled targets of up to 200 series, each by itself, and the series of each."""
    names = [name for name in frames.names if name in upto]
    kept = {names[i] for i in np.linspace(0, len(names) - 1, min(len(names), _SERIES)).astype(int)}
    series, groups = [], []
    for number, frame in enumerate(frames):
        if frame.name in kept:
            values = frame.target[: upto[frame.name]]
            spread = values.std(0)
            scaled = (values - values.mean(0)) / np.where(spread > 0, spread, 1.0)
            series += list(scaled.T)
            groups += [number] * scaled.shape[1]
    return series, groups


def _season(
    flat: Mapping[str, Any], frames: TimeSeriesSet, series: Sequence[np.ndarray]
) -> tuple[dict[str, Any], list[str]]:
    """Find a season where the frequency has none."""
    if flat["season"] or season_length(frames.frequency) > 1:
        return {}, []
    season, r = find_season(series)
    if season == 1:
        return {}, []
    line = f"season {season}: the autocorrelation of the changes peaks there ({r:.2f}); the frequency names no season"
    return {"season": season}, [line]


def _validation(parts: Split, season: int, horizon: int) -> tuple[int, str] | None:
    """Choose the rows of the validation part where a default would not do, and say why."""
    held = np.array([len(r) for r in parts.of("validation")])
    rows = np.array([len(r) for r in parts.of("training")])
    if not held.any():
        return None
    if _windows(rows, season, horizon) < _FEW <= _windows(rows + held, season, horizon):
        return 0, f"with a validation part there would be too few training windows that look back on {season} steps"
    size = horizon - 1 + math.ceil(_FEW_VALID / len(held))
    if _windows(held, 0, horizon) < _FEW_VALID and held.max() < size <= min(parts.rows) / 5:
        return size, f"{_FEW_VALID} validation windows, to choose weights and intervals by"
    return None


def _lookback(
    series: Sequence[np.ndarray], groups: Sequence[int], rows: np.ndarray, season: int, horizon: int
) -> tuple[int, str]:
    """Choose the shortest look-back that ridge regression is nearly best with; return it, and the reason.

    Nearly all series are as long as the look-back, and at least half of the windows are left of those that there would
    be with a look-back of one step.
    """
    unit = max(season, horizon, 4)
    if horizon >= _SEGMENT:
        unit = math.ceil(unit / horizon) * horizon  # so that segments divide both
    short = int(np.quantile(rows, 0.05))
    every = _windows(rows, 1, horizon)
    lengths = []
    for L in (k * unit for k in _LOOKBACKS):
        windows = _windows(rows, L, horizon)
        if min(max(_LONGEST, 2 * unit), short) >= L and (2 * windows >= every or (unit == L and windows >= _FEW)):
            lengths.append(L)
    if not lengths:
        L = min(short, (max(1, int(np.median(rows)) - horizon) + 1) // 2)
        return max(1, L), f"half of the rows that a series of {int(np.median(rows))} has beside the horizon"
    fits = {L: fit_ridge(series, groups, lookback=L, horizon=horizon, season=season, longest=lengths[-1])
            for L in lengths}  # fmt: skip
    some = {L: fit for L, fit in fits.items() if fit is not None}
    if len(some) < 2:
        L = lengths[0]
        return L, "a longer one would leave too few windows, or be longer than some series"
    least = min(fit.error for fit in some.values())
    best = next(L for L, fit in some.items() if fit.error <= _NEAR * least)
    told = ", ".join(f"{L}: {fit.error:.3f}" for L, fit in some.items())
    return best, f"the shortest within 1 % of ridge regression's least error ({told})"


def _model(flat: Mapping[str, Any], given: Given, lookback: int, horizon: int) -> dict[str, Any]:
    """Choose strategy, normalisation, skip connection and output."""
    options: dict[str, Any] = dict(_COMMON)
    if flat["proj_size"] or flat["last_hidden_size"]:
        del options["hidden_size"]
    strategy = flat["strategy"]
    one_way = not any(flat[name] for name in ("bidirectional", "last_hidden_size", "proj_size"))
    if "strategy" not in given and one_way and flat["channels"] != "mixed" and flat["hidden_size"] > 1:
        divides = flat["segment"] and not (lookback % flat["segment"] or horizon % flat["segment"])
        if divides or (not flat["segment"] and segment_length(0, lookback, horizon) >= _SEGMENT):
            strategy = options["strategy"] = "segrnn"
    if strategy in ("direct", "segrnn"):
        options["skip"] = "linear"
    if strategy != "recursive":
        options["instance_norm"] = "revin"
    options["output"] = "quantile"
    return options


def _training_options(
    flat: Mapping[str, Any],
    given: Given,
    rows: np.ndarray,
    targets: int,
    lookback: int,
    horizon: int,
) -> dict[str, Any]:
    """Choose stride, batch size and epochs, so that there are some hundreds of updates, whatever the data's size."""
    windows = _windows(rows, lookback, horizon)
    stride = flat["stride"] if "stride" in given else max(1, min(horizon, windows // _WINDOWS))
    windows = _windows(rows, lookback, horizon, stride)
    each = targets if flat["strategy"] == "segrnn" or flat["channels"] == "independent" else 1
    batch_size = max(4, min(32 if windows >= 200 else 16, _ROWS // each))
    options: dict[str, Any] = {"stride": stride, "batch_size": batch_size}
    if "batch_size" in given:
        batch_size = flat["batch_size"]
    steps = max(1, math.ceil(windows / batch_size))
    updates = min(max(int(30 * math.sqrt(windows)), _UPDATES[0]), _UPDATES[1])
    return options | {"epochs": max(3, math.ceil(updates / steps))}


def _windows(rows: np.ndarray, lookback: int, horizon: int, stride: int = 1) -> int:
    """Count the windows of series with so many rows."""
    return int(np.maximum(0, (rows - lookback - horizon) // stride + 1).sum())
