"""Options of forecasting: horizon, look-back, held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.models.options import ForecasterOptions, RecurrentOptions
from unroll.options import check_range, check_types
from unroll.tasks.settings import Settings

_MANY = 2**31


@dataclass(frozen=True)
class HorizonOptions:
    """How far a forecast looks back and ahead, and which rows are held out."""

    horizon: int = 0
    """Steps to forecast (0: a season)."""
    lookback: int = 0
    """Steps before them that are read (0: two seasons, or two horizons if that is more)."""
    season: int = 0
    """Steps after which the series repeat themselves (0: by the frequency, such as 24 for hours and 12 for months)."""
    stride: int = 1
    """Rows between the windows of the training part; every window of the held-out parts counts."""
    train_size: str = ""
    """Rows, or share of each series, at its start that are trained on; validation and test follow, and what is left is
    not used (none given: all that is not held out)."""
    valid_size: str = ""
    """What chooses the best weights, before the test part: rows, a share of each series, or its first time (none given:
    a tenth, or a horizon if that is more; 0: nothing)."""
    test_size: str = ""
    """What the last figures are measured on, at the end: rows, a share of each series, or its first time (none given:
    nothing)."""

    def __post_init__(self) -> None:
        for name in ("train_size", "valid_size", "test_size"):
            if isinstance(value := getattr(self, name), int | float) and not isinstance(value, bool):
                object.__setattr__(self, name, f"{value}")
        check_types(self)
        check_range(self, "horizon", "lookback", "season", least=0, below=_MANY)
        check_range(self, "stride", least=1, below=_MANY)


@dataclass(frozen=True)
class ForecastingOptions:
    """What is chosen by the data, and what the model is held against."""

    preset: Literal["auto", "none"] = "auto"
    """auto: options that were not given are chosen by the series' length, number and autocorrelation, and told; none:
    every option keeps its default."""
    baseline: Literal["auto", "none"] = "auto"
    """The Theta method beside the naive forecasts in the figures."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class ForecastingSettings(Settings):
    """Every option of forecasting."""

    option_order: ClassVar[tuple[str, ...]] = ("frame", "reach", "forecasting", "forecaster")
    common: ClassVar[tuple[str, ...]] = (
        *("time", "series_id", "target", "past_covariates", "future_covariates"),
        *("horizon", "lookback", "test_size", "strategy", "output", "preset"),
        *("recurrence", "hidden_size", "epochs", "seed"),
    )
    excluded: ClassVar[tuple[str, ...]] = ("validation_fraction", "bucket_batches")

    frame: TimeSeriesOptions = TimeSeriesOptions()
    reach: HorizonOptions = HorizonOptions()
    forecasting: ForecastingOptions = ForecastingOptions()
    forecaster: ForecasterOptions = ForecasterOptions()
    recurrent: RecurrentOptions = RecurrentOptions()

    def refuse_unused(self) -> None:
        """Reject options that were set but are unused by the chosen strategy or output.

        Raises:
            OptionError: naming the option.
        """
        chosen, unused = self.forecaster, {}
        if chosen.strategy != "segrnn":
            unused["segment"] = "strategy 'segrnn'"
        if chosen.strategy != "seq2seq":
            unused["attention"] = unused["teacher_forcing"] = "strategy 'seq2seq'"
        if chosen.output != "point":
            unused["loss"] = "output 'point'"
        if chosen.output == "point" and chosen.intervals != "conformal":
            unused["quantiles"] = "output 'quantile', a distribution, or intervals 'conformal'"
        feeds = chosen.strategy == "recursive" or (chosen.strategy == "seq2seq" and chosen.teacher_forcing > 0)
        if chosen.output == "point" or not feeds:
            unused["paths"] = "quantiles of strategies that feed on their own answers: recursive, seq2seq"
        self.refuse(unused)
