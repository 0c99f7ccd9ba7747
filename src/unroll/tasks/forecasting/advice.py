"""List options that may help where a forecaster loses to a baseline."""

from __future__ import annotations

from unroll.data.timeseries.frequency import STEPS
from unroll.data.timeseries.schema import Schema
from unroll.tasks.forecasting.options import ForecastingSettings


def advice(settings: ForecastingSettings, layout: Schema) -> list[str]:
    """List up to four options that are not set yet."""
    chosen = settings.forecaster
    options = {
        "--skip linear": chosen.skip != "linear" and chosen.strategy in ("direct", "segrnn"),
        "--instance-norm revin": chosen.instance_norm != "revin" and chosen.strategy != "recursive",
        f"--lookback {2 * settings.reach.lookback}": True,
        "--calendar auto": not layout.calendar and layout.frequency != STEPS,
        "more --epochs": settings.forecasting.preset == "none",
    }
    return [option for option, fits in options.items() if fits][:4]
