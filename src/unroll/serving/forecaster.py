"""Serve a trained forecaster: forecast from a history, and append new observations without training."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from unroll.data.timeseries.future import require_known, with_known
from unroll.data.timeseries.inputs import is_in_memory, read_history
from unroll.data.timeseries.reader import append
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.data.timeseries.series import TimeSeries, TimeSeriesSet, future_stamps
from unroll.data.timeseries.windows import ForecastWindows, latest_windows
from unroll.errors import DataError, OptionError
from unroll.models.forecaster.inputs import ForecastInputs
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.strategies import DecoderState, joined
from unroll.serving.predictor import Predictor
from unroll.tasks.forecasting.inference import Forecasts, Units, answer_batch, seeded
from unroll.tasks.forecasting.output_table import records, table
from unroll.tasks.forecasting.task import ForecastingTask

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Forecast:
    """Hold forecasts of the steps after the end of each of S series.

    Attributes:
        frames: the series.
        stamps: for each series (F,), datetime64[ns] or int64.
        answers: (S, F, K) arrays in the data's units.
    """

    frames: TimeSeriesSet
    stamps: list[np.ndarray]
    answers: Forecasts


class ShortSeriesWarning(UserWarning):
    """Series were left out of training or a forecast because they are too short."""


class ForecastPredictor(Predictor):
    """Forecast from a history with a trained model.

    `predict` with a history sets it; `update` appends new observations. Strategy recursive carries its state: after an
    update it forecasts from all values since the start of the first look-back, each read once. The other strategies
    read the newest look-back again.
    """

    task: ForecastingTask
    model: Forecaster

    def __init__(self, task: ForecastingTask, model: nn.Module) -> None:
        super().__init__(task, model)
        self.frames: TimeSeriesSet | None = None
        self._scaler: SeriesScaler = task.scaler
        self._streams: dict[str, DecoderState] | None = None

    def predict_files(
        self,
        data: Sequence[str],
        *,
        horizon: int | None = None,
        future_covariates: Sequence[str] = (),
        samples: int = 0,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """Forecast from a history in files, with one record for each series and step; see `predict`.

        Raises:
            DataError: as `predict`.
        """
        source = self.source(skip_bad_rows, encoding)
        frames = self.task.read_new(list(data), source, say)
        ahead = None
        if future_covariates:
            from unroll.data.files.dataset import read

            ahead = cast("pd.DataFrame", read(list(future_covariates), source=source).to_pandas())
        with warnings.catch_warnings(record=True) as left_out:
            warnings.simplefilter("always", ShortSeriesWarning)
            forecast = self.predict(
                frames, horizon=horizon, future_covariates=ahead, samples=samples, where=" ".join(future_covariates)
            )
        for warning in left_out:
            say(str(warning.message))
        yield from forecast

    def predict(
        self,
        X: Any = None,
        *,
        horizon: int | None = None,
        future_covariates: pd.DataFrame | None = None,
        samples: int = 0,
        where: str = "future_covariates",
    ) -> Any:
        """Forecast the steps after the history of each series, with the data's own columns.

        Args:
            X: the history, at least the look-back: files, a DataFrame, a Series, an array or a TimeSeriesSet; None: the
                history of the last call or `update`. A series that is not in the training data is scaled by its
                history; one shorter than the look-back is left out with a warning.
            horizon: steps; None: as in training. Beyond that, strategies recursive and seq2seq continue, direct and
                segrnn roll forward on their own forecasts.
            future_covariates: rows with the known future covariates, where the history does not have them.
            samples: number of sample paths to draw; reproducible for the run's seed.
            where: name of `future_covariates` in messages.

        Returns:
            For a DataFrame, a Series or an array, a DataFrame: a row for each series and step, with the series' name,
            the time, each target, and its quantiles as `target_0.1`, ... where the model has them; with `samples`, a
            row for each path too, numbered in a column `path`, and no quantiles. For anything else a list of records
            of the same, with the paths of a step as `target_paths`.

        Raises:
            DataError: the history is too short or has other columns, or known columns end too early.
            OptionError: an option does not apply to this model.
        """
        forecast = self.forecast(X, horizon=horizon, future_covariates=future_covariates, samples=samples, where=where)
        levels = self.task.settings.forecaster.quantiles
        if is_in_memory(X):
            return table(forecast.frames, forecast.stamps, forecast.answers, levels)
        return list(records(forecast.frames, forecast.stamps, forecast.answers, levels))

    def forecast(
        self,
        X: Any = None,
        *,
        horizon: int | None = None,
        future_covariates: pd.DataFrame | None = None,
        samples: int = 0,
        where: str = "future_covariates",
    ) -> Forecast:
        """Forecast as `predict` does, but return arrays."""
        steps = self.task.settings.reach.horizon if horizon is None else _whole("horizon", horizon, 1)
        samples = _whole("samples", samples, 0)
        if X is not None:
            self.stand(self._frames(X))
        if self.frames is None:
            raise DataError("there is no history to forecast from; give it to predict")
        frames = self.frames if future_covariates is None else with_known(self.frames, future_covariates, where)
        frames = self._long_enough(frames)
        require_known(frames, steps)
        batch = latest_windows(frames, self._scaler, history=self.task.settings.reach.lookback, horizon=steps)
        scale = self._scaler.table(frames.names)
        streams = joined(list(self._standing(frames).values())) if self.model.streams else None
        with seeded(self.task.settings.batch.seed, next(self.model.parameters()).device):
            answers = answer_batch(self.model, batch, scale, horizon=steps, paths=samples, at=streams)
        layout = frames.layout
        stamps = [future_stamps(frame, frames.frequency, steps, step=layout.step) for frame in frames]
        return Forecast(frames, stamps, answers)

    def _long_enough(self, frames: TimeSeriesSet) -> TimeSeriesSet:
        """Select the series that fill a look-back, and warn about the others.

        Raises:
            DataError: there is none.
        """
        lookback = self.task.settings.reach.lookback
        short = [frame for frame in frames if len(frame) < lookback]
        if not short:
            return frames
        names = ", ".join(f"{frame.called} has {len(frame)}" for frame in short[:3])
        rows = f"{names}{f' and {len(short) - 3} more have too few' if len(short) > 3 else ''} rows"
        if len(short) == len(frames):
            raise DataError(f"{rows}, but the model looks back on {lookback}")
        warnings.warn(
            f"left out, as {rows} and the model looks back on {lookback}: {len(short)} of {len(frames)} series",
            ShortSeriesWarning,
            stacklevel=3,
        )
        return replace(frames, series=tuple(frame for frame in frames if len(frame) >= lookback))

    def part(self, data: Any, skip_bad_rows: bool, encoding: str | None, say: Callable[[str], None]) -> ForecastWindows:
        """Cut every window of data in any form that `predict` takes; see `Predictor.part`."""
        return self.task.load(data, self.source(skip_bad_rows, encoding), say)

    def update(self, X: Any) -> Self:
        """Append new observations, in any form that `predict` takes. Weights do not change.

        A series that was too short is forecast once it fills a look-back.

        Raises:
            DataError: there is no history yet, or the new observations do not follow it.
        """
        if self.frames is None:
            raise DataError("there is no history to go on from; give it to predict first")
        before = self.frames.rows
        if self.model.streams:
            lookback = self.task.settings.reach.lookback
            self._standing(replace(self.frames, series=tuple(f for f in self.frames if len(f) >= lookback)))
        frames = append(self.frames, self._frames(X))
        if self._streams is not None:
            named = {frame.name: frame for frame in frames}
            self._streams = {n: self._read(at, named[n], before[n]) for n, at in self._streams.items()}
        self.frames = frames
        self._measure(frames)
        return self

    def _frames(self, X: Any) -> TimeSeriesSet:
        source = self.source(self.task.settings.source.skip_bad_rows, None)
        return read_history(
            X,
            self.task.settings.frame,
            self.task.layout,
            source=source,
        )

    def stand(self, frames: TimeSeriesSet) -> None:
        """Set the history to these series, without carried state."""
        self.frames, self._streams = frames, None
        self._scaler = self.task.scaler
        self._measure(frames)

    def _measure(self, frames: TimeSeriesSet) -> None:
        """Fit the scaler on new series that fill a look-back; shorter series are too short for that."""
        lookback = self.task.settings.reach.lookback
        self._scaler = self._scaler.extend(frames.only([f.name for f in frames if len(f) >= lookback]))

    def _standing(self, frames: TimeSeriesSet) -> dict[str, DecoderState]:
        """Return the state of each series after its history, read from the last look-back if none is carried."""
        if self._streams is None:
            self._streams = {}
        lookback = self.task.settings.reach.lookback
        for frame in frames:
            if frame.name not in self._streams:
                self._streams[frame.name] = self._read(None, frame, len(frame) - lookback)
        return {frame.name: self._streams[frame.name] for frame in frames}

    @torch.inference_mode()
    def _read(self, at: DecoderState | None, frame: TimeSeries, first: int) -> DecoderState:
        """Read the rows from `first` on; return the new state."""
        scaled = self._scaler.transform(frame)
        rows = slice(first, len(frame))
        if at is not None and first == len(frame):
            return at
        device = next(self.model.parameters()).device

        def there(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).unsqueeze(0).to(device)

        units = Units(self._scaler.table((frame.name,))).place(torch.zeros(1, dtype=torch.int64, device=device))
        window = ForecastInputs(
            there(scaled.target[rows]), there(scaled.past[rows]), there(scaled.known[rows]), there(scaled.static), units
        )
        return self.model.start(window) if at is None else self.model.read(at, window)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise OptionError(f"{name} is {value!r:.60}; it must be a whole number of at least {least}")
    return int(value)
