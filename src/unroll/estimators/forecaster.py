"""`Forecaster`: fit a table of series, predict what follows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, Unpack

from sklearn.utils.validation import check_is_fitted

from unroll.data.timeseries.inputs import read_history
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.errors import DataError
from unroll.estimators.base import Estimator, takes
from unroll.estimators.parameters import ForecasterParameters
from unroll.serving.forecaster import ForecastPredictor, ShortSeriesWarning
from unroll.tasks.base import DataPaths, Report
from unroll.tasks.forecasting.backtest import backtest, records
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.output_table import table
from unroll.tasks.forecasting.split import listed
from unroll.tasks.forecasting.task import ForecastingTask

if TYPE_CHECKING:
    import pandas as pd


@takes(ForecastingSettings, "train_size", "test_size")
class Forecaster(Estimator):
    """A recurrent forecaster of one or many series.

    Every option of `unroll fit forecasting` is a parameter, with the same name and default, but those of files and of
    held-out test rows; `verbose` shows the training.

    X is a DataFrame, wide (a column for each target) or long (with `series`, the column of the series' names), with a
    column or an index of times; or a Series; or an array (N,) or (N, K) of equal steps; or files.

    Attributes:
        predictor_: the fitted model at the end of its history; see `unroll.serving.forecaster.ForecastPredictor`.
        task_, model_: what makes windows and series of each other, and the trained model.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: what the watch over the training had to say.

    Raises (in every method):
        OptionError: a parameter's value cannot be used.
        DataError: rows, times or columns that cannot be used (named).

    Example:
        >>> sales = pd.DataFrame({"month": pd.date_range("2015-01", periods=96, freq="MS"), "sold": range(96)})
        >>> forecaster = unroll.Forecaster(target="sold", horizon=2, lookback=12, epochs=5).fit(sales)
        >>> forecaster.predict()["month"].astype(str).tolist()
        ['2023-01-01', '2023-02-01']
    """

    _task_name = "forecasting"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[ForecasterParameters]) -> None: ...

    def fit(self, X: Any, y: None = None) -> Self:
        """Train on series, and stand at their end; `y` is not used."""
        settings = ForecastingSettings.from_flat(self._options())
        frames = read_history(X, settings.frame)
        say = print if self.verbose else _silent
        for note in frames.notes:
            say(note)
        prepared = ForecastingTask.prepare_frames("forecasting", settings, frames, DataPaths([]), say)
        self._train(prepared)
        _warn([f"left out of the training: {listed(out)}"] if (out := self._without(frames)) else [])
        self.predictor_ = ForecastPredictor(self.task_, self.model_)
        self.predictor_.stand(frames)
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
        """Forecast the steps after the last that was seen, as a DataFrame with the columns of the data.

        Args:
            X: series to stand at the end of, as in `fit` (None: those of `fit` and `update`).
            horizon: steps (None: as many as were trained).
            future_covariates: rows with the future covariates of the times to come, where the series have none.
            samples: in place of forecasts and their quantiles, so many sample paths, numbered in a column `path`.

        Returns:
            A row for each series, step and path: the series' name, the time, each target, and its quantiles as
            `target_0.1`, ... where the model has them. Series shorter than the look-back are left out with a warning.
        """
        check_is_fitted(self)
        found = self.predictor_.forecast(X, horizon=horizon, future_covariates=future_covariates, samples=samples)
        return table(found.frames, found.stamps, found.answers, self.task_.settings.forecaster.quantiles)

    def update(self, X: Any) -> Self:
        """Go on by what was observed since; no weight changes."""
        check_is_fitted(self)
        self.predictor_.update(self._frames(X))
        return self

    def evaluate(self, X: Any) -> Report:
        """Measure the forecasts of every window within series, beside the naive forecasts.

        Args:
            X: series of the training data; others are left out with a warning.

        Returns:
            Figures by name, as `unroll evaluate` prints them.
        """
        check_is_fitted(self)
        windows = self.task_.encode(self._frames(X))
        _warn(windows.notes)
        return self.task_.evaluate(self.model_, windows)

    def backtest(
        self, X: Any = None, *, origins: int | None = None, stride: int | None = None
    ) -> tuple[Report, pd.DataFrame]:
        """What the model would have said at successive origins, without training.

        Args:
            X: the series (None: those seen so far, the training data among them).
            origins: forecasts of each series, the last ones (None: as many as fit, at most 10).
            stride: rows from one origin to the next (None: the horizon).

        Returns:
            The figures beside those of the naive forecasts, also by origin and by step; and every forecast with its
            truth, a row each. Series too short for it are left out with a warning.
        """
        import pandas as pd

        check_is_fitted(self)
        frames = self.predictor_.frames if X is None else self._frames(X)
        if frames is None:
            raise DataError("there are no series to test on; give X")
        found = backtest(self.task_, self.predictor_.model, frames, origins=origins, stride=stride)
        _warn(found.notes)
        return found.report, pd.DataFrame(records(found, self.task_))

    def _without(self, frames: TimeSeriesSet) -> list[str]:
        """The series, and their rows, that the training was without."""
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
