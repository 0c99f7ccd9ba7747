"""`Forecaster`: fit time series and forecast the next steps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, Unpack

from sklearn.utils.validation import check_is_fitted

from unroll.data.timeseries.inputs import read_history
from unroll.data.timeseries.reader import append
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.errors import DataError
from unroll.estimators.base import Estimator, takes
from unroll.estimators.parameters import ForecasterParameters
from unroll.serving.forecaster import ForecastPredictor, ShortSeriesWarning
from unroll.tasks.base import DataPaths, Report
from unroll.tasks.forecasting.backtest import backtest, forecast_table
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.output_table import table
from unroll.tasks.forecasting.split import listed
from unroll.tasks.forecasting.task import ForecastingTask

if TYPE_CHECKING:
    import pandas as pd


@takes(ForecastingSettings, "train_size", "test_size")
class Forecaster(Estimator):
    """Recurrent forecaster of one or many time series.

    Every option of `unroll fit forecasting` is a parameter, with the same name and default, except file options,
    `train_size` and `test_size`; `verbose` shows the training.

    X is a DataFrame, wide (a column for each target) or long (with `series_id`, the column of series names), with a
    column or an index of times; or a Series; or an array (N,) or (N, K) of equal steps; or files.

    Attributes:
        predictor_: the fitted model at the end of its history; see `unroll.serving.forecaster.ForecastPredictor`.
        task_, model_: the fitted task, which encodes and decodes series, and the trained model.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: warnings of the training monitor.

    Raises (in every method):
        OptionError: a parameter's value cannot be used.
        DataError: unusable rows, times or columns.

    Example:
        >>> sales = pd.DataFrame({"month": pd.date_range("2015-01", periods=96, freq="MS"), "sold": range(96)})
        >>> forecaster = unroll.Forecaster(target="sold", horizon=2, lookback=12, epochs=5).fit(sales)
        >>> forecaster.predict()["month"].astype(str).tolist()
        ['2023-01-01', '2023-02-01']
    """

    _task_name = "forecasting"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[ForecasterParameters]) -> None: ...

    def fit(self, X: Any, y: None = None, X_val: Any = None) -> Self:
        """Fit on series, and keep them as the history to forecast from.

        Args:
            X: the series, see `Forecaster`.
            y: ignored.
            X_val: the rows after X that select the best epoch, which end the history (None: the last rows of X do, as
                many as `valid_size` says).
        """
        settings = ForecastingSettings.from_flat(self._options())
        frames = read_history(X, settings.frame)
        say = print if self.verbose else _silent
        for note in frames.notes:
            say(note)
        valid = None if X_val is None else read_history(X_val, settings.frame, frames.layout, where="X_val")
        sources = DataPaths([])
        self._train(ForecastingTask.prepare_frames("forecasting", settings, frames, sources, say, valid))
        _warn([f"left out of the training: {listed(out)}"] if (out := self._without(frames)) else [])
        self.predictor_ = ForecastPredictor(self.task_, self.model_)
        self.predictor_.stand(frames if valid is None else append(frames, valid))
        return self

    def _loaded(self) -> None:
        self.predictor_ = ForecastPredictor(self.task_, self.model_)

    def predict(
        self,
        X: Any = None,
        *,
        horizon: int | None = None,
        future_covariates: pd.DataFrame | None = None,
        samples: int = 0,
    ) -> pd.DataFrame:
        """Forecast the steps after the history, as a DataFrame with the columns of the data.

        Args:
            X: the history, as in `fit` (None: that of `fit` and `update`).
            horizon: number of steps (None: as in training).
            future_covariates: rows with the known future covariates, where the series have none.
            samples: number of sample paths to draw instead of forecasts and quantiles, numbered in a column `path`.

        Returns:
            A row for each series, step and path: the series' name, the time, each target, and its quantiles as
            `target_0.1`, ... where the model has them. Series shorter than the look-back are left out with a warning.
        """
        check_is_fitted(self)
        forecast = self.predictor_.forecast(X, horizon=horizon, future_covariates=future_covariates, samples=samples)
        return table(forecast.frames, forecast.stamps, forecast.answers, self.task_.settings.forecaster.quantiles)

    def update(self, X: Any) -> Self:
        """Append new observations to the history; weights do not change."""
        check_is_fitted(self)
        self.predictor_.update(self._frames(X))
        return self

    def evaluate(self, X: Any) -> Report:
        """Evaluate forecasts of every window of the series, compared with naive forecasts.

        Args:
            X: series of the training data; others are left out with a warning.

        Returns:
            Metrics by name, as in `unroll evaluate`.
        """
        check_is_fitted(self)
        windows = self.task_.encode(self._frames(X))
        _warn(windows.notes)
        return self.task_.evaluate(self.model_, windows)

    def backtest(
        self, X: Any = None, *, origins: int | None = None, stride: int | None = None
    ) -> tuple[Report, pd.DataFrame]:
        """Backtest the model: forecast from successive origins, without retraining.

        Args:
            X: the series (None: the history).
            origins: number of forecasts per series, the last ones (None: as many as fit, at most 10).
            stride: rows from one origin to the next (None: the horizon).

        Returns:
            Metrics of the model and the naive forecasts, also by origin and by step; and every forecast with its
            truth, a row each. Series that are too short are left out with a warning.
        """
        check_is_fitted(self)
        frames = self.predictor_.frames if X is None else self._frames(X)
        if frames is None:
            raise DataError("there are no series to test on; give X")
        result = backtest(self.task_, self.predictor_.model, frames, origins=origins, stride=stride)
        _warn(result.notes)
        return result.report, forecast_table(result, self.task_)

    def _without(self, frames: TimeSeriesSet) -> list[str]:
        """List the series, with their number of rows, that were left out of training."""
        return [
            f"'{f.name}' ({len(f)} row{'s' * (len(f) != 1)})" for f in frames if f.name not in self.task_.scaler.series
        ]

    def _frames(self, X: Any) -> TimeSeriesSet:
        return read_history(X, self.task_.settings.frame, self.task_.layout)


def _warn(notes: Iterable[str]) -> None:
    for note in notes:
        warnings.warn(note, ShortSeriesWarning, stacklevel=3)


def _silent(_: str) -> None:
    pass
