"""Time series as arrays without missing values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from unroll.data.timeseries import calendar
from unroll.data.timeseries.frequency import STEPS, parse
from unroll.data.timeseries.missing import as_known_at
from unroll.data.timeseries.schema import Schema
from unroll.errors import DataError, nearest

_AT_ONCE = 1 << 16
Keys = Literal["text", "integer", "date"]


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Hold one time series of N rows. Its arrays have no NaN.

    Attributes:
        name: "" where the data is one series.
        stamps: (N,) datetime64[ns] or int64, increasing; with a time zone, as in `time_zones.Clock`.
        target: (N, K) float64.
        past: (N, P) float64, past covariates.
        known: (N + A, Q) float64, covariates also known in the future, then the calendar features; A rows (mostly
            0) reach beyond the last target.
        static: (S,) float64.
        observed: (N, K) bool, false where a target was filled in.
        past_observed: (N, P) bool, the same of `past`.
    """

    name: str
    stamps: np.ndarray
    target: np.ndarray
    past: np.ndarray
    known: np.ndarray
    static: np.ndarray
    observed: np.ndarray = field(default=None)  # type: ignore[assignment]
    past_observed: np.ndarray = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, values in (("observed", self.target), ("past_observed", self.past)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.ones(values.shape, dtype=bool))

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def called(self) -> str:
        """Name of the series in messages."""
        return called(self.name)

    def upto(self, rows: int) -> TimeSeries:
        """Return the first `rows` rows as known then: a gap that reaches beyond them is not interpolated.

        Known covariates keep their later rows.
        """
        return replace(
            self,
            stamps=self.stamps[:rows],
            target=as_known_at(self.target, self.observed, rows),
            past=as_known_at(self.past, self.past_observed, rows),
            observed=self.observed[:rows],
            past_observed=self.past_observed[:rows],
        )


@dataclass(frozen=True, eq=False)
class TimeSeriesSet:
    """Hold time series with the same columns.

    Attributes:
        series: one or more, with distinct names.
        targets, past, known, static: the names of the K, P, Q and S columns of their arrays.
        frequency: step from one stamp to the next, as named in `unroll.data.timeseries.frequency`.
        notes: what was inferred, filled or left out, for the user.
        layout: roles of the columns, to read more data of the same kind.
        keys: what the names of the series were in the data, where they are text.
    """

    series: tuple[TimeSeries, ...]
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    frequency: str = STEPS
    notes: tuple[str, ...] = ()
    layout: Schema = field(default=None)  # type: ignore[assignment]
    keys: Keys = "text"

    def __post_init__(self) -> None:
        if self.layout is None:
            own = Schema(
                "time",
                target=self.targets,
                past=self.past,
                known=self.known,
                static=self.static,
                frequency=self.frequency,
            )
            object.__setattr__(self, "layout", own)

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[TimeSeries]:
        return iter(self.series)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the series, in order."""
        return tuple(frame.name for frame in self.series)

    def key(self, name: str) -> str | int | np.datetime64:
        """Return the name of a series as it is in the data."""
        if self.keys == "integer":
            return int(name)
        return np.datetime64(name, "ns") if self.keys == "date" else name

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of each series."""
        return {frame.name: len(frame) for frame in self.series}

    def named(self, name: str) -> TimeSeries:
        """Return the series with that name.

        Raises:
            DataError: there is none; the message suggests the nearest name.
        """
        for frame in self.series:
            if frame.name == name:
                return frame
        raise DataError(f"there is no series '{name}'{nearest(name, self.names)}")

    def only(self, names: Iterable[str]) -> TimeSeriesSet:
        """Select the series with these names, in the order of this set."""
        kept = set(names)
        return replace(self, series=tuple(frame for frame in self.series if frame.name in kept))

    def upto(self, rows: Mapping[str, int]) -> TimeSeriesSet:
        """Return the first rows of every series; see `TimeSeries.upto`."""
        return replace(self, series=tuple(frame.upto(rows[frame.name]) for frame in self.series))

    def extended(self, horizon: int) -> TimeSeriesSet:
        """Extend or cut the known covariates to exactly `horizon` rows beyond the last target.

        Calendar features are computed; columns must have been given, in rows with empty targets.

        Raises:
            DataError: they were given for fewer steps.
        """
        return replace(self, series=tuple(self._extended(frame, horizon) for frame in self.series))

    def _extended(self, frame: TimeSeries, horizon: int) -> TimeSeries:
        N, given, columns = len(frame), len(frame.known) - len(frame), self.layout.known
        if columns and given < horizon:
            raise DataError(
                f"{frame.called} has the known columns {', '.join(repr(name) for name in columns)} for {given} of the "
                f"{horizon} steps to forecast; add rows with them after the last target, the targets empty"
            )
        known = frame.known[: N + horizon]
        if not columns:
            ahead = np.zeros((horizon, 0))
            if self.layout.calendar:
                stamps = future_stamps(frame, self.frequency, horizon)
                ahead = calendar.features(self.layout.clock.local(stamps), self.layout.calendar)
            known = np.concatenate([frame.known[:N], ahead])
        return replace(frame, known=known)

    def fingerprint(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes of the layout and the series, for a hash."""
        yield self.layout.to_json().encode()
        for frame in self.series:
            yield frame.name.encode("utf-8", "surrogatepass")
            for values in (frame.stamps, frame.target, frame.past, frame.known, frame.static, frame.observed):
                yield repr((values.shape, values.dtype.str)).encode()
                for first in range(0, len(values), _AT_ONCE):
                    yield np.ascontiguousarray(values[first : first + _AT_ONCE]).reshape(-1).view(np.uint8).data


def future_stamps(frame: TimeSeries, frequency: str, horizon: int, *, step: int = 0) -> np.ndarray:
    """Return the stamps (horizon,) after a series' last.

    With frequency `steps`, whole numbers continue (by `step`, or by the difference of the last two), and dates, whose
    future is not known, are followed by step numbers: 1, 2, ...
    """
    ahead = np.arange(1, horizon + 1)
    if frequency != STEPS:
        return parse(frequency).stamps(frame.stamps[-1], ahead)
    if frame.stamps.dtype.kind == "M":
        return ahead
    apart = step or (int(frame.stamps[-1] - frame.stamps[-2]) if len(frame) > 1 else 1)
    return frame.stamps[-1] + apart * ahead


def called(name: str) -> str:
    """Name a series in messages."""
    return f"series '{name}'" if name else "the series"
