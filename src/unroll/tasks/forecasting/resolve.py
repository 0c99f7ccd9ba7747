"""Resolve the options of forecasting whose defaults depend on the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unroll.data.timeseries.frequency import season_length
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.errors import DataError, OptionError
from unroll.models.forecaster.inputs import segment_length
from unroll.tasks.forecasting.conformal import LEAST_WINDOWS
from unroll.tasks.forecasting.options import ForecastingSettings, HorizonOptions


def settled(settings: ForecastingSettings, frames: TimeSeriesSet) -> ForecastingSettings:
    """Resolve the defaults of horizon, lookback, season and segment."""
    reach, chosen = resolved_reach(settings, frames), settings.forecaster
    if chosen.strategy == "segrnn":
        chosen = replace(chosen, segment=segment_length(chosen.segment, reach.lookback, reach.horizon))
    counts = chosen.output == "negative_binomial"
    if counts and (bad := _no_counts(frames)):
        raise DataError(f"{bad}; output 'negative_binomial' is for whole numbers from 0 up")
    return replace(settings, reach=reach, forecaster=chosen)


def resolved_reach(settings: ForecastingSettings, frames: TimeSeriesSet) -> HorizonOptions:
    """Resolve the defaults of horizon, lookback and season."""
    reach = settings.reach
    season = reach.season or season_length(frames.frequency)
    horizon = reach.horizon or season
    lookback = reach.lookback or 2 * max(season, horizon)
    longest = max(frames, key=len)
    if horizon >= len(longest):
        raise DataError(f"the horizon is {horizon} steps, but {longest.called} has only {len(longest)} rows")
    return replace(reach, season=season, horizon=horizon, lookback=lookback)


def with_intervals(settings: ForecastingSettings, valid: Sequence[range]) -> ForecastingSettings:
    """Resolve the option `intervals` by the number of validation windows.

    Raises:
        OptionError: conformal intervals without any.
    """
    reach, chosen = settings.reach, settings.forecaster
    count = sum(max(0, r.stop - max(r.start, reach.lookback) - reach.horizon + 1) for r in valid if len(r))
    if chosen.intervals == "conformal" and not count:
        raise OptionError("intervals is 'conformal', but there is no validation window to calibrate them on")
    if chosen.intervals != "auto":
        return settings
    fits = chosen.output in ("quantile", "normal", "student_t") and count >= LEAST_WINDOWS
    return replace(settings, forecaster=replace(chosen, intervals="conformal" if fits else "model"))


def _no_counts(frames: TimeSeriesSet) -> str:
    for frame in frames:
        wrong = frame.observed & ((frame.target < 0) | (frame.target != np.floor(frame.target)))
        if wrong.any():
            t, k = np.argwhere(wrong)[0]
            return f"{frame.called} has {frame.target[t, k]:g} in column '{frames.targets[k]}' (row {t + 1})"
    return ""
