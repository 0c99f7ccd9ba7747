"""A trained forecaster in use: history in, the steps after it out; news move it on without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from unroll.data.frame import Frame, Frames, future_stamps
from unroll.data.frames import append, read_frames
from unroll.data.horizons import latest
from unroll.data.scaling import FrameScaler
from unroll.errors import DataError, OptionError
from unroll.models.forecaster import Forecaster, Window
from unroll.models.strategies import Streaming, joined
from unroll.serving.known_future import require_known, with_known
from unroll.serving.predictor import Predictor
from unroll.tasks.forecast_answers import Answers, Units, answer_batch, seeded
from unroll.tasks.forecasting import ForecastingTask

if TYPE_CHECKING:
    import pandas as pd

_DAYS = ("D", "B", "W", "M", "Q", "Y")


@dataclass(frozen=True, eq=False)
class Forecast:
    """The steps after the end of each of S series.

    Attributes:
        frames: the series.
        stamps: for each series (F,), datetime64[ns] or int64.
        answers: (S, F, K) arrays in the data's units.
    """

    frames: Frames
    stamps: list[np.ndarray]
    answers: Answers


class ForecastPredictor(Predictor):
    """A forecaster and the history that it stands at the end of.

    `predict` of a history puts it there; `update` moves it on by new observations. Strategy recursive carries its
    state: after an update its forecast is that of all that came since the first look-back began, each value read once.
    The others read the newest look-back again.
    """

    takes: ClassVar[tuple[str, ...]] = ("horizon", "known", "samples", "say")

    task: ForecastingTask
    model: Forecaster

    def __init__(self, task: ForecastingTask, model: nn.Module) -> None:
        super().__init__(task, model)
        self.frames: Frames | None = None
        self._scaler: FrameScaler = task.scaler
        self._streams: list[Streaming] | None = None

    def predict_files(
        self,
        data: Sequence[str],
        *,
        horizon: int | None = None,
        known: Sequence[str] = (),
        samples: int = 0,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """One record for each series and step after the history in files; see `predict`.

        Raises:
            DataError: as `predict`.
        """
        source = self.source(skip_bad_rows, encoding)
        frames = self.task.frames(list(data), source, say)
        table = None
        if known:
            from unroll.data.sources import read

            table = cast("pd.DataFrame", read(list(known), source=source).to_pandas())
        yield from self.predict(frames, horizon=horizon, known=table, samples=samples, where=" ".join(known))

    def predict(
        self,
        history: Any = None,
        *,
        horizon: int | None = None,
        known: pd.DataFrame | None = None,
        samples: int = 0,
        where: str = "known",
    ) -> list[dict[str, Any]]:
        """The steps after the history: one record a step, series by series, with the data's own columns.

        A record holds the series' name and the time, each target's forecast, its quantiles as `target_0.1`, ... where
        the model has them, and with `samples` its values in so many sample paths, as `target_paths`.

        Args:
            history: files, a DataFrame or Frames with at least the look-back; None: where the last call or `update`
                stood. A series that the training data had not is measured on its history.
            horizon: steps; None: as many as were trained. Beyond them strategies recursive and attention go on, direct
                and segment roll forward on their own answers.
            known: rows with the known columns of the times to come, where `history` does not hold them.
            samples: sample paths to draw; the same for the same seed of the run.
            where: what to call `known` in messages.

        Raises:
            DataError: the history is too short or has other columns, or known columns end too early (the missing times
                are named).
            OptionError: what was asked for cannot be had of this model.
        """
        return list(self.records(self.forecast(history, horizon=horizon, known=known, samples=samples, where=where)))

    def forecast(
        self,
        history: Any = None,
        *,
        horizon: int | None = None,
        known: pd.DataFrame | None = None,
        samples: int = 0,
        where: str = "known",
    ) -> Forecast:
        """As `predict`, as arrays."""
        steps = self.task.settings.reach.horizon if horizon is None else horizon
        if steps < 1:
            raise OptionError(f"horizon is {steps}; it must be at least 1")
        if samples < 0:
            raise OptionError(f"samples is {samples}; it must be at least 0")
        if history is not None:
            self.stand(self._frames(history))
        if self.frames is None:
            raise DataError("there is no history to forecast from; give it to predict")
        frames = self.frames if known is None else with_known(self.frames, known, where)
        require_known(frames, steps)
        batch = latest(frames, self._scaler, history=self.task.settings.reach.lookback, horizon=steps)
        scale = self._scaler.table(frames.names)
        streams = joined(self._standing()) if self.model.streams else None
        with seeded(self.task.settings.batch.seed, next(self.model.parameters()).device):
            answers = answer_batch(self.model, batch, scale, horizon=steps, paths=samples, at=streams)
        layout = frames.layout
        stamps = [future_stamps(frame, frames.frequency, steps, step=layout.step) for frame in frames]
        return Forecast(frames, stamps, answers)

    def update(self, observations: Any) -> Self:
        """Move on by what has been observed since: files, a DataFrame or Frames. No weight changes.

        Raises:
            DataError: there is no history yet, or the news do not follow it.
        """
        if self.frames is None:
            raise DataError("there is no history to go on from; give it to predict first")
        before = self.frames.rows
        streams = self._standing() if self.model.streams else None
        frames = append(self.frames, self._frames(observations))
        if streams is not None:
            self._streams = [
                self._read(at, frame, before[frame.name]) for at, frame in zip(streams, frames, strict=True)
            ]
        self.frames = frames
        return self

    def records(self, forecast: Forecast) -> Iterator[dict[str, Any]]:
        """One record for each series and step."""
        layout, answers = self.task.layout, forecast.answers
        daily = layout.frequency.lstrip("0123456789")[:1] in _DAYS
        for s, frame in enumerate(forecast.frames):
            for f, stamp in enumerate(forecast.stamps[s]):
                record: dict[str, Any] = {layout.series: frame.name} if layout.series else {}
                record[layout.time or "step"] = _told(stamp, daily)
                for k, target in enumerate(layout.target):
                    record[target] = float(answers.point[s, f, k])
                    if answers.quantiles is not None:
                        levels = self.task.settings.forecaster.quantiles
                        values = answers.quantiles[s, f, k].tolist()
                        record |= {f"{target}_{q:g}": v for q, v in zip(levels, values, strict=True)}
                    if answers.paths is not None:
                        record[f"{target}_paths"] = answers.paths[s, :, f, k].tolist()
                yield record

    def _frames(self, data: Any) -> Frames:
        if isinstance(data, Frames):
            return data
        source = self.source(self.task.settings.source.skip_bad_rows, None)
        return read_frames(
            data,
            self.task.settings.frame,
            source=source,
            layout=self.task.layout,
        )

    def stand(self, frames: Frames) -> None:
        """At the end of these series, with nothing carried."""
        self.frames, self._streams = frames, None
        new = [name for name in frames.names if name not in self.task.scaler.series]
        self._scaler = self.task.scaler.extend(frames) if new else self.task.scaler

    def _standing(self) -> list[Streaming]:
        """The state of every series at the end of its history, read from the look-back before it where none is carried.

        Raises:
            DataError: a series is shorter than the look-back.
        """
        if self._streams is None:
            frames, lookback = self.frames, self.task.settings.reach.lookback
            assert frames is not None  # noqa: S101 (there is a history wherever this is called)
            self._streams = []
            for frame in frames:
                if len(frame) < lookback:
                    raise DataError(f"{frame.called} has {len(frame)} rows, but the model looks back on {lookback}")
                self._streams.append(self._read(None, frame, len(frame) - lookback))
        return self._streams

    @torch.inference_mode()
    def _read(self, at: Streaming | None, frame: Frame, first: int) -> Streaming:
        """The state after the rows from `first` on."""
        scaled = self._scaler.transform(frame)
        rows = slice(first, len(frame))
        if at is not None and first == len(frame):
            return at
        device = next(self.model.parameters()).device

        def there(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).unsqueeze(0).to(device)

        units = Units(self._scaler.table((frame.name,))).place(torch.zeros(1, dtype=torch.int64, device=device))
        window = Window(
            there(scaled.target[rows]), there(scaled.past[rows]), there(scaled.known[rows]), there(scaled.static), units
        )
        return self.model.start(window) if at is None else self.model.read(at, window)


def _told(stamp: Any, daily: bool) -> str | int:
    """A stamp for a record: ISO 8601, a day without a clock where steps are days or more, or a whole number."""
    if not isinstance(stamp, np.datetime64):
        return int(stamp)
    whole = daily and stamp == stamp.astype("datetime64[D]")
    seconds = stamp == stamp.astype("datetime64[s]")
    return str(np.datetime_as_string(stamp, unit="D" if whole else "s" if seconds else "ns"))
