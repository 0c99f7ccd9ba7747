"""Forecasting task: predict the next steps of one or many series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from torch import nn

from unroll.data.options import SourceOptions
from unroll.data.timeseries.arrays import SeriesArrays
from unroll.data.timeseries.inputs import read_history
from unroll.data.timeseries.reader import read_frames
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.series import TimeSeriesSet, called
from unroll.data.timeseries.windows import ForecastWindows
from unroll.errors import DataError, RunError, nearest
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.strategies import Sizes
from unroll.runs import Run
from unroll.tasks.base import BaseTask, DataPaths, Log, Report, TrainingData
from unroll.tasks.describe import counted, parameters, recurrent_layers, some
from unroll.tasks.forecasting import report as figures
from unroll.tasks.forecasting import split
from unroll.tasks.forecasting.advice import advice
from unroll.tasks.forecasting.conformal import fitted_offsets
from unroll.tasks.forecasting.fitted import FILE, FittedSeries
from unroll.tasks.forecasting.inference import answer_in_pieces
from unroll.tasks.forecasting.options import ForecastingSettings
from unroll.tasks.forecasting.output_table import check_names
from unroll.tasks.forecasting.preset import choose_options
from unroll.tasks.forecasting.resolve import resolved_reach, settled, with_intervals
from unroll.tasks.forecasting.ridge import start_at_ridge

if TYPE_CHECKING:
    from unroll.tasks.forecasting.loss import ForecastObjective
    from unroll.tasks.predictions import Predictions


class ForecastingTask(BaseTask[TimeSeriesSet, ForecastWindows]):
    """Forecast one or many series, with one or more targets, from a look-back and covariates.

    Attributes:
        name: "forecasting".
        settings: every option; horizon, lookback, season and segment are resolved, never 0.
        measured: columns, scaler and naive errors, learnt from the training parts.
    """

    settings: ForecastingSettings

    def __init__(self, name: str, settings: ForecastingSettings, measured: FittedSeries) -> None:
        super().__init__(name, settings)
        self.measured = measured

    @property
    def layout(self) -> Schema:
        """Roles of the columns of a table."""
        return self.measured.layout

    @property
    def scaler(self) -> SeriesScaler:
        """Scaler of every series, fitted on its training part."""
        return self.measured.scaler

    @classmethod
    def read(
        cls, name: str, settings: ForecastingSettings, data: Any, say: Log, known: TimeSeriesSet | Self | None = None
    ) -> TimeSeriesSet:
        """Read series, from anything that `read_history` takes; see `BaseTask.read`."""
        if known is None:
            frames = read_frames(list(data), settings.frame, source=settings.source)
        else:
            frames = read_history(data, settings.frame, known.layout, source=settings.source, where="the data")
        for note in frames.notes:
            say(note)
        return frames

    @classmethod
    def prepare(cls, name: str, settings: ForecastingSettings, sources: DataPaths, say: Log) -> TrainingData:
        """Read the series, split them by time, fit the scaler on the training part, and cut windows.

        Validation and test files hold the rows after the training data.

        Raises:
            UserError: the data or the options cannot be used.
        """
        return cls.prepare_frames(name, settings, cls.read(name, settings, sources.data, say), sources, say)

    @classmethod
    def learn(
        cls, name: str, settings: ForecastingSettings, train: TimeSeriesSet, valid: TimeSeriesSet | None, say: Log
    ) -> Self:
        """Fit the scaler and naive errors on whole series."""
        return cls._measure(name, settings, train, {frame.name: len(frame) for frame in train}, say)

    @classmethod
    def _measure(
        cls, name: str, settings: ForecastingSettings, frames: TimeSeriesSet, upto: Mapping[str, int], say: Log
    ) -> Self:
        measured = FittedSeries.learn(frames, upto, season=settings.reach.season, scaling=settings.frame.scaling)
        for note in measured.scaler.notes:
            say(note)
        return cls(name, settings, measured)

    @classmethod
    def prepare_frames(
        cls,
        name: str,
        settings: ForecastingSettings,
        frames: TimeSeriesSet,
        sources: DataPaths,
        say: Log,
        validation: TimeSeriesSet | None = None,
    ) -> TrainingData:
        """Prepare series already read; of `sources`, only validation and test files are read.

        The rows after `frames` may also be given as `validation`, in place of validation files.
        """
        parts = split.split_series(frames, resolved_reach(settings, frames), sources, validation)
        settings, lines = choose_options(settings, frames, parts)
        for line in lines:
            say(line)
        settings.refuse_unused()
        settings = settled(settings, frames)
        frames, rows, upto = split.divided(frames, settings, sources, say, validation)
        settings = with_intervals(settings, rows["validation"])
        check_names(frames.layout, settings.forecaster)
        task = cls._measure(name, settings, frames, upto, say)
        arrays = SeriesArrays(frames, task.scaler)
        train = task._windows(frames, rows["training"], "training", arrays)
        valid, test = (
            task._windows(frames, rows[part], part, arrays) if any(map(len, rows[part])) else None
            for part in ("validation", "test")
        )
        for windows in (train, valid, test):
            for note in () if windows is None else windows.notes:
                say(note)
        return TrainingData(task, train, valid, test)

    def _windows(
        self, frames: TimeSeriesSet, rows: Sequence[range] | None, part: str, arrays: SeriesArrays | None = None
    ) -> ForecastWindows:
        reach, training = self.settings.reach, part == "training"
        return ForecastWindows(
            frames,
            self.scaler,
            history=reach.lookback,
            horizon=reach.horizon,
            rows=rows,
            reach_back=not training,
            stride=reach.stride if training else 1,
            batch_size=self.settings.batch.batch_size,
            seed=self.settings.batch.seed,
            short="drop",
            part=part,
            arrays=arrays,
        )

    def load(self, data: Any, source: SourceOptions, say: Log) -> ForecastWindows:
        """Read new data and cut every window of series that were trained on; see `BaseTask.load`."""
        made = super().load(data, source, say)
        for note in made.notes:
            say(note)
        return made

    def encode(self, records: TimeSeriesSet) -> ForecastWindows:
        """Cut every window of the series; series that were not trained on are left out, with a note.

        Raises:
            DataError: no series was trained on, or none is long enough.
        """
        known = tuple(self.scaler.series)
        new = [name for name in records.names if name not in self.scaler.series]
        if len(new) == len(records):
            raise DataError(
                f"{called(new[0])} was not in the training data, which its errors are measured by"
                f"{nearest(new[0], known)}"
            )
        windows = self._windows(records.only(known), None, "")
        if new:
            note = f"left out, as the training was without them: {split.listed([repr(name) for name in new])}"
            windows.notes = (*windows.notes, note)
        return windows

    def join(self, train: ForecastWindows, valid: ForecastWindows) -> ForecastWindows:
        """Cut the windows of both parts' rows together; the scale of each series stays that of its training part."""
        return train.join(valid)

    def network(self, training: ForecastWindows | None = None) -> Forecaster:
        """Build a new model."""
        settings, layout = self.settings, self.layout
        sizes = Sizes(
            lookback=settings.reach.lookback,
            horizon=settings.reach.horizon,
            channels=len(layout.target),
            past=len(layout.past),
            known=len(layout.known_names),
            static=len(layout.static_names),
            outputs=0,
            season=settings.reach.season,
        )
        model = Forecaster(settings.forecaster, settings.recurrent, sizes)
        if training is not None and settings.forecaster.skip == "linear":
            start_at_ridge(model, training, sizes)
        return model

    def objective(self, training: ForecastWindows | None = None) -> ForecastObjective:
        """Return the output's loss; the batches' series index those of the training part."""
        from unroll.tasks.forecasting.loss import ForecastObjective  # imports torchmetrics

        names = tuple(self.scaler.series) if training is None else training.frames.names
        return ForecastObjective(self.settings.forecaster, self.scaler.table(names), self.settings.reach.lookback)

    def calibrate(self, network: nn.Module, prepared: TrainingData, final: nn.Module) -> None:
        """Move the quantiles so that they cover on the validation windows what they say, with intervals 'conformal'.

        Those of `final`, which may be trained on these windows, are moved as far.
        """
        model, part, levels = _forecaster(network), prepared.valid, self.settings.forecaster.quantiles
        if model.offsets is None or part is None:
            return
        model.calibrate(np.zeros(model.offsets.shape))
        moves = fitted_offsets(model, part, self.scaler.table(part.frames.names), levels, self.settings.batch.seed)
        for calibrated in {model, _forecaster(final)}:
            calibrated.calibrate(moves)

    def batches(self, part: ForecastWindows, *, training: bool) -> ForecastWindows:
        """Return the windows, shuffled in every epoch for training, else in order."""
        again = part.shard(0, 1)
        again.shuffle = training
        return again

    def counts(self, part: ForecastWindows) -> dict[str, int]:
        """Count windows."""
        return {"windows": part.size}

    def summary(self) -> str:
        """Name the targets, the horizon and the look-back."""
        reach, layout = self.settings.reach, self.layout
        steps = f"{reach.horizon} step{'s' * (reach.horizon > 1)} from {reach.lookback}"
        return f"forecasting of {some([repr(name) for name in layout.target])}, {steps}, frequency {layout.frequency}"

    def describe(self, prepared: TrainingData, network: nn.Module) -> Iterator[str]:
        """Describe series and windows of each part, and the model."""
        reach, chosen, layout = self.settings.reach, self.settings.forecaster, self.layout
        named = (("train", prepared.train), ("validate", prepared.valid), ("test", prepared.test))
        counts = [f"{counted(self.counts(part))} to {word}" for word, part in named if part is not None]
        season = f"a season of {reach.season}" if reach.season > 1 else "no season"
        yield (
            f"{len(prepared.train.frames):,} series, {', '.join(counts)}; {reach.horizon} steps from {reach.lookback},"
            f" frequency {layout.frequency}, {season}"
        )
        beside = [f"{len(names)} {word}" for word, names in
                  (("past", layout.past), ("known", layout.known_names), ("static", layout.static_names))
                  if names]  # fmt: skip
        segments = f" of {chosen.segment}" if chosen.strategy == "segrnn" else ""
        yield (
            f"model: {chosen.strategy}{segments}, {recurrent_layers(self.settings.recurrent)}, output {chosen.output},"
            f" {parameters(network):,} parameters; {len(layout.target)} target{'s' * (len(layout.target) > 1)}"
            + (f", {', '.join(beside)} inputs" if beside else "")
        )

    def evaluate(self, network: nn.Module, part: ForecastWindows) -> Report:
        """Compute every metric on every window of a part, for the model and the naive forecasts."""
        names = part.frames.names
        scale = self.scaler.table(names)
        report = figures.evaluate(
            answer_in_pieces(_forecaster(network), part, scale, seed=self.settings.batch.seed),
            part,
            scale=scale,
            error=self.measured.error_table(names),
            season=self.settings.reach.season,
            levels=self.settings.forecaster.quantiles,
            targets=self.layout.target,
            with_theta=self.settings.forecasting.baseline == "auto",
        )
        report["in_training"] = self.in_training(part)
        return report

    def evaluate_and_list(self, network: nn.Module, part: ForecastWindows, records: Any) -> tuple[Report, Predictions]:
        """Compute every metric, and list the forecasts of windows that lie side by side beside the truth."""
        from unroll.tasks.forecasting.predictions import predictions

        listed = predictions(_forecaster(network), part, self.measured, self.settings.batch.seed)
        return self.evaluate(network, part), listed

    def example_use(self, run: str, data: str) -> tuple[list[str], list[str]]:
        """Return commands and lines of Python that forecast the steps after the end of the data."""
        return [f"unroll predict {run} {data} > forecast.jsonl"], [f'predictor.predict("{data}")']

    def in_training(self, part: ForecastWindows, rows: np.ndarray | None = None) -> int:
        """Count windows, or those numbered `rows`, with a first step in the rows that were trained on."""
        if not self.layout.time:
            return 0
        series, origins = part.locate(rows)
        count = 0
        for s, frame in enumerate(part.frames):
            if frame.stamps.dtype.kind != np.asarray(self.measured.trained[frame.name]).dtype.kind:
                raise DataError(f"the times of {frame.called} are not of the kind that the training data had")
            count += int((frame.stamps[origins[series == s]] <= self.measured.trained[frame.name]).sum())
        return count

    def format_report(self, report: Report, *, full: bool = True, every: bool = False) -> list[str]:
        """Format the metrics as a table, and say whether the model beats the naive forecasts."""
        return figures.format_report(report, full=full, every=every, advice=advice(self.settings, self.layout))

    def remarks(self, prepared: TrainingData) -> Iterator[str]:
        """Point out a validation part that is larger than the training part."""
        train, valid = len(prepared.train), 0 if prepared.valid is None else len(prepared.valid)
        if valid > train:
            yield f"{valid:,} validation windows outnumber {train:,} training windows; try a smaller --valid-size"

    def save_plots(self, run: Run, network: nn.Module, prepared: TrainingData, metrics: Report) -> None:
        """Plot forecast.png, the last windows of the test or validation part, and horizon.png, the error by step."""
        from unroll.tasks.forecasting.plots import plot_horizon, plot_last_windows

        shown, part = ("test", prepared.test) if prepared.test is not None else ("validation", prepared.valid)
        if part is None:
            return
        scale, season = self.scaler.table(part.frames.names), self.settings.reach.season
        levels, seed = self.settings.forecaster.quantiles, self.settings.batch.seed
        where = run.path / "forecast.png"
        plot_last_windows(_forecaster(network), part, scale, where, season=season, levels=levels, seed=seed)
        plot_horizon(metrics[shown], run.path / "horizon.png")

    def state(self) -> dict[str, str]:
        """Return scaler.json: layout, scaler, naive error of each series, and where its training ended."""
        return {FILE: self.measured.to_json()}

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read the task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = ForecastingSettings.of_run(run)
        reach = settings.reach
        if not (reach.horizon and reach.lookback and reach.season):
            raise RunError(f"{run.path / 'config.yaml'}: horizon, lookback and season of a run must be above 0")
        return cls(name, settings, FittedSeries.from_run(run))


def _forecaster(model: nn.Module) -> Forecaster:
    if not isinstance(model, Forecaster):
        raise TypeError("the model is not a forecaster")
    return model
