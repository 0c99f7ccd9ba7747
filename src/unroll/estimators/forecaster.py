"""`Forecaster`: fit a table of series, predict what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unroll.data.frame import Frames
from unroll.data.frames import from_dataframe
from unroll.errors import DataError
from unroll.estimators.base import Estimator, parameters, takes
from unroll.serving.forecaster import Forecast, ForecastPredictor
from unroll.tasks.backtest import backtest, records
from unroll.tasks.forecasting import ForecastingTask
from unroll.tasks.forecasting_options import ForecastingSettings
from unroll.tasks.task import Report, Sources

if TYPE_CHECKING:
    import pandas as pd


@takes(
    parameters(
        ForecastingSettings, "encoding", "delimiter", "quoting", "decimal", "skip_bad_rows", "train_part", "test_part"
    )
)
class Forecaster(Estimator):
    """A recurrent forecaster of one or many series.

    Every option of `unroll fit forecasting` is a parameter, with the same name and default, but those of files and of
    held-out test rows; `verbose` shows the training.

    X is a DataFrame, wide (a column for each target) or long (with `series`, the column of the series' names), with a
    column or an index of times; or a Series; or an array (N,) or (N, K) of equal steps.

    Attributes:
        predictor_: the fitted model at the end of its history; see `unroll.serving.forecaster.ForecastPredictor`.
        task_, model_: what makes windows and series of each other, and the trained model.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: what the watch over the training had to say.

    Raises (in every method):
        OptionError: a parameter's value cannot be used.
        DataError: rows, times or columns that cannot be used (named).
    """

    def fit(self, X: Any, y: None = None) -> Self:
        """Train on series, and stand at their end; `y` is not used."""
        settings = ForecastingSettings.from_flat(self._options())
        frames = from_dataframe(_table(X), settings.frame, where="X")
        say = print if self.verbose else _silent
        for note in frames.notes:
            say(note)
        prepared = ForecastingTask.prepare_frames("forecasting", settings, frames, Sources([]), say)
        self._train(prepared)
        self.predictor_ = ForecastPredictor(self.task_, self.model_)
        self.predictor_.stand(frames)
        return self

    def predict(self, horizon: int | None = None, *, known: pd.DataFrame | None = None, samples: int = 0) -> Any:
        """The steps after the last that was seen, as a DataFrame with the columns of the data.

        Args:
            horizon: steps (None: as many as were trained).
            known: rows with the known columns of the times to come, where `fit` or `update` had none.
            samples: in place of forecasts and their quantiles, so many sample paths, numbered in a column `path`.

        Returns:
            A row for each series, step and path: the series' name, the time, each target, and its quantiles as
            `target_0.1`, ... where the model has them.
        """
        check_is_fitted(self)
        return self._frame(self.predictor_.forecast(horizon=horizon, known=known, samples=samples), samples)

    def update(self, X: Any) -> Self:
        """Go on by what was observed since; no weight changes."""
        check_is_fitted(self)
        self.predictor_.update(self._frames(X))
        return self

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
            truth, a row each.
        """
        import pandas as pd

        check_is_fitted(self)
        frames = self.predictor_.frames if X is None else self._frames(X)
        if frames is None:
            raise DataError("there are no series to test on; give X")
        found = backtest(self.task_, self.predictor_.model, frames, origins=origins, stride=stride)
        return found.report, pd.DataFrame(records(found, self.task_))

    def _frames(self, X: Any) -> Frames:
        return from_dataframe(_table(X), self.task_.settings.frame, layout=self.task_.layout, where="X")

    def _frame(self, forecast: Forecast, samples: int) -> pd.DataFrame:
        import pandas as pd

        layout, answers = self.task_.layout, forecast.answers
        parts = []
        for s, frame in enumerate(forecast.frames):
            stamps = forecast.stamps[s]
            for path in range(max(1, samples)):
                columns: dict[str, Any] = {layout.series: frame.name} if layout.series else {}
                columns[layout.time or "step"] = stamps
                columns |= {"path": path} if samples else {}
                for k, target in enumerate(layout.target):
                    if answers.paths is not None:
                        columns[target] = answers.paths[s, path, :, k]
                        continue
                    columns[target] = answers.point[s, :, k]
                    if answers.quantiles is not None:
                        for q, level in enumerate(self.task_.settings.forecaster.quantiles):
                            columns[f"{target}_{level:g}"] = answers.quantiles[s, :, k, q]
                parts.append(pd.DataFrame(columns, index=range(len(stamps))))
        return pd.concat(parts, ignore_index=True)


def _table(X: Any) -> Any:
    """What `from_dataframe` takes; an array becomes columns of equal steps."""
    import pandas as pd

    if isinstance(X, pd.DataFrame | pd.Series):
        return X
    values = np.asarray(X)
    if values.ndim not in (1, 2) or values.dtype.kind not in "iuf":
        raise DataError("X must be a DataFrame, a Series, or an array (N,) or (N, K) of numbers")
    names = ["value"] if values.ndim == 1 else [f"value_{k}" for k in range(values.shape[1])]
    return pd.DataFrame(values.reshape(len(values), -1), columns=names)


def _silent(_: str) -> None:
    pass
