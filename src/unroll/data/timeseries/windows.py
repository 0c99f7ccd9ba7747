"""Cut windows from series: rows of history, followed by the rows to forecast.

Rows of a series are numbered from 0. A window's origin o is the first row to forecast: its history is the rows from
o - L to before o, its future the rows from o to before o + F. No model input depends on rows from o on, except
known covariates; a gap that reaches beyond o is filled as it was known at o (see `missing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from unroll.data.batches import Batch
from unroll.data.sampler import EpochSampler
from unroll.data.timeseries.arrays import SeriesArrays, to_float32
from unroll.data.timeseries.scaler import SeriesScaler, ShiftScale
from unroll.data.timeseries.series import TimeSeries, TimeSeriesSet
from unroll.data.timeseries.split import Split, split
from unroll.errors import DataError, OptionError

__all__ = ["ForecastBatch", "ForecastWindows", "Split", "latest_windows", "split"]


@dataclass(frozen=True, kw_only=True)
class ForecastBatch(Batch):
    """Hold a batch of windows; x, past, known, static and target are float32 and scaled.

    Attributes:
        x: (B, L, K) the targets' history.
        target: (B, F, K) values to forecast, filled where nothing was observed; None for a forecast.
        rows: (B,) numbers of the windows.
        total: windows of the global batch, over all processes.
        seen: (B, L, K) bool, where the history was observed, not filled.
        past: (B, L, P).
        known: (B, L + F, Q).
        static: (B, S).
        observed: (B, F, K) bool, where the target was observed: the values that count in loss and metrics.
        observed_total: observed targets in the global batch, over all processes.
        series: (B,) int64, positions in `TimeSeriesSet.series`.
        origin: (B,) int64, rows of the first step to forecast.
    """

    counts: ClassVar[str] = "windows"

    seen: Tensor
    past: Tensor
    known: Tensor
    static: Tensor
    observed: Tensor
    observed_total: int
    series: Tensor
    origin: Tensor


class ForecastWindows(EpochSampler[ForecastBatch]):
    """Iterate over batches of all windows in some rows of each series; see `EpochSampler` for their order.

    Windows are numbered series by series, each from the earliest origin on, and cut when a batch is made.

    Args:
        frames: the series, unscaled.
        scaler: fitted on the training part; it must know every series (`SeriesScaler.extend`).
        history: L.
        horizon: F.
        rows: for each series the rows that futures may lie in; none given: all rows.
        reach_back: let the history lie before `rows`, as in validation; else it must lie within, as in training.
        stride: rows from one origin to the next.
        batch_size, shuffle, seed: see `EpochSampler`.
        short: what to do with a series too short for a window: raise an error, or drop it and add a note to `notes`.
            A series without any rows is ignored.
        part: name of the rows in messages, such as "training".
        arrays: of these frames and this scaler, to share them.

    Attributes:
        notes: series that were dropped.
        affine: shift and scale of the targets of each series, (S, K).

    Raises:
        DataError: a series is shorter than history and horizon, or there are no windows.
        OptionError: a history, horizon or stride below 1.
    """

    def __init__(
        self,
        frames: TimeSeriesSet,
        scaler: SeriesScaler,
        *,
        history: int,
        horizon: int,
        rows: Sequence[range] | None = None,
        reach_back: bool = True,
        stride: int = 1,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        short: Literal["error", "drop"] = "error",
        part: str = "",
        arrays: SeriesArrays | None = None,
    ) -> None:
        for name, value in (("history", history), ("horizon", horizon), ("stride", stride)):
            if value < 1:
                raise OptionError(f"{name} is {value}; it must be at least 1")
        self.frames = frames
        self.history_rows, self.horizon, self.stride = history, horizon, stride
        rows = [range(len(frame)) for frame in frames] if rows is None else list(rows)
        firsts: list[int] = []
        counts: list[int] = []
        left: list[tuple[TimeSeries, range]] = []
        for frame, part_rows in zip(frames, rows, strict=True):
            first = max(part_rows.start, history) if reach_back else part_rows.start + history
            count = max(0, (part_rows.stop - horizon - first) // stride + 1) if len(part_rows) else 0
            if len(part_rows) and not count:
                left.append((frame, part_rows))
            firsts.append(first)
            counts.append(count)
        if left and (short == "error" or not any(counts)):
            raise _too_short(left[0], len(left), history, horizon, reach_back, part)
        self.notes = _dropped(left, history, horizon, part)
        self.rows, self._scaler = tuple(rows), scaler
        self.firsts = np.array(firsts, dtype=np.int64)
        self.ends = np.cumsum(np.array(counts, dtype=np.int64))
        super().__init__(int(self.ends[-1]), batch_size, shuffle=shuffle, seed=seed, what="windows")
        self.affine = scaler.table(frames.names)
        self._arrays = arrays or SeriesArrays(frames, scaler)

    def join(self, later: ForecastWindows) -> ForecastWindows:
        """Cut the windows of these rows and those of a later part of the same series together."""
        pairs = zip(self.rows, later.rows, strict=True)
        return ForecastWindows(
            self.frames,
            self._scaler,
            history=self.history_rows,
            horizon=self.horizon,
            rows=[range(a.start, b.stop) if len(a) and len(b) else a or b for a, b in pairs],
            reach_back=False,
            stride=self.stride,
            batch_size=self.batch_size,
            seed=self.seed,
            short="drop",
            part="training and validation",
            arrays=self._arrays,
        )

    @property
    def _begins(self) -> np.ndarray:
        return self._arrays.begins

    def fingerprint(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of the series and the positions of the windows, for a hash."""
        yield from self.frames.fingerprint()
        yield self.firsts.tobytes()
        yield self.ends.tobytes()

    def locate(self, rows: np.ndarray | Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return series positions and origins of the windows with these numbers (B,); default: all windows."""
        rows = np.arange(self.size) if rows is None else np.asarray(rows)
        series = np.searchsorted(self.ends, rows, side="right")
        before = np.concatenate([[0], self.ends])[series]
        return series, self.firsts[series] + (rows - before) * self.stride

    def _make(self, number: int) -> ForecastBatch:
        every = self.plan()[number]
        return self.take(every[self.rank :: self.world], every)

    def take(self, rows: np.ndarray, every: np.ndarray | None = None) -> ForecastBatch:
        """Cut the windows with these numbers (B,), as a part of the global batch with the numbers `every`."""
        L, F = self.history_rows, self.horizon
        target, past, known = self._arrays.target, self._arrays.past, self._arrays.known
        series, origins = self.locate(rows)
        at = self._begins[series] + origins
        ahead = at[:, None] + np.arange(F)
        observed = target.observed(ahead)
        count = int(observed.sum())
        if every is not None and len(every) != len(rows):
            of_all, all_origins = self.locate(every)
            count = int(target.observed((self._begins[of_all] + all_origins)[:, None] + np.arange(F)).sum())
        return ForecastBatch(
            x=torch.from_numpy(target.scaled(target.history(at, L), series)),
            lengths=torch.full((len(rows),), L, dtype=torch.int64),
            target=torch.from_numpy(target.scaled(target.values[ahead], series)),
            rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
            total=len(rows) if every is None else len(every),
            all_targets=None,
            seen=torch.from_numpy(target.observed(at[:, None] + np.arange(-L, 0))),
            past=torch.from_numpy(past.scaled(past.history(at, L), series)),
            known=torch.from_numpy(known.scaled(known.values[at[:, None] + np.arange(-L, F)], series)),
            static=torch.from_numpy(self._arrays.static[series]),
            observed=torch.from_numpy(observed),
            observed_total=count,
            series=torch.from_numpy(series.astype(np.int64)),
            origin=torch.from_numpy(origins),
        )

    def series(self) -> tuple[list[np.ndarray], list[int]]:
        """Return the scaled targets of each series up to the end of its last window, each target (T,) by itself.

        Also returns the position of the series that each of them belongs to.
        """
        counts = np.diff(self.ends, prepend=0)
        stops = self.firsts + (counts - 1) * self.stride + self.horizon
        values, groups = [], []
        for s, frame in enumerate(self.frames):
            if counts[s]:
                scaled = ShiftScale(self.affine.shift[s], self.affine.scale[s]).apply(frame.target[: stops[s]])
                values += list(scaled.T)
                groups += [s] * scaled.shape[1]
        return values, groups

    def truth(self, rows: np.ndarray | Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the futures of windows in the data's units, (n, F, K) float64, and where they were observed, bool."""
        series, origins = self.locate(rows)
        ahead = (self._begins[series] + origins)[:, None] + np.arange(self.horizon)
        return self._arrays.target.values[ahead], self._arrays.target.observed(ahead)

    def history(self, rows: np.ndarray | Tensor | None = None, length: int | None = None) -> np.ndarray:
        """Return the history before windows in the data's units, (n, length, K) float64, as known at their origins.

        The length may differ from the model's history; rows before the series' first are NaN.
        """
        length = length or self.history_rows
        series, origins = self.locate(rows)
        before = self._arrays.target.history(self._begins[series] + origins, length)
        before[np.arange(-length, 0) < -origins[:, None]] = np.nan
        return before


def latest_windows(frames: TimeSeriesSet, scaler: SeriesScaler, *, history: int, horizon: int) -> ForecastBatch:
    """Cut one window for each series, with the future after its last row, to forecast from.

    Args:
        frames: the series, unscaled; see `TimeSeriesSet.extended` for how far known covariates must reach.
        scaler: as in training; unknown series are scaled by all their rows.
        history: L.
        horizon: F.

    Raises:
        DataError: a series has fewer than L rows, or known covariates do not reach the horizon.
    """
    for frame in frames:
        if len(frame) < history:
            raise DataError(f"{frame.called} has {_rows(len(frame))}, but the model looks back on {history}")
    scaled = [scaler.transform(frame) for frame in frames.extended(horizon)]
    B, K = len(frames), len(frames.targets)

    def stacked(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(to_float32(np.stack(values)))

    return ForecastBatch(
        x=stacked([f.target[-history:] for f in scaled]),
        lengths=torch.full((B,), history, dtype=torch.int64),
        target=None,
        rows=torch.arange(B),
        total=B,
        all_targets=None,
        seen=torch.from_numpy(np.stack([f.observed[-history:] for f in scaled])),
        past=stacked([f.past[-history:] for f in scaled]),
        known=stacked([f.known[-history - horizon :] for f in scaled]),
        static=stacked([f.static for f in scaled]),
        observed=torch.zeros(B, horizon, K, dtype=torch.bool),
        observed_total=0,
        series=torch.arange(B),
        origin=torch.tensor([len(f) for f in scaled]),
    )


def _too_short(
    one: tuple[TimeSeries, range], many: int, history: int, horizon: int, reach_back: bool, part: str
) -> DataError:
    frame, part_rows = one
    whose = f"the {part} part of {frame.called}" if part else frame.called
    others = f" ({many} series are too short)" if many > 1 else ""
    if horizon > len(frame):
        return DataError(f"the horizon is {horizon} steps, but {frame.called} has only {_rows(len(frame))}{others}")
    if len(part_rows) < horizon:
        return DataError(
            f"{whose} has {_rows(len(part_rows))}, but the horizon is {horizon} steps{others}; give a shorter horizon, "
            "or that part more rows"
        )
    has = part_rows.stop if reach_back else len(part_rows)
    before = " with the rows before it" if part and reach_back else ""
    return DataError(
        f"{whose}{before} has {_rows(has)}, but a history of {history} and a horizon of {horizon} need "
        f"{history + horizon}{others}; give a shorter lookback or horizon, or more data"
    )


def _dropped(left: list[tuple[TimeSeries, range]], history: int, horizon: int, part: str) -> tuple[str, ...]:
    if not left:
        return ()
    names = ", ".join(f"'{frame.name}' ({_rows(len(own))})" for frame, own in left[:3])
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    within = f" in the {part} part" if part else ""
    return (f"left out{within}, too short for a history of {history} and a horizon of {horizon}: {names}{more}",)


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"
