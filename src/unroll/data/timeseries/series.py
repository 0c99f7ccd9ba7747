"""Series with their times, as arrays without holes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from unroll.data.timeseries import calendar
from unroll.data.timeseries.frequency import STEPS, parse
from unroll.data.timeseries.missing import as_known_at
from unroll.data.timeseries.schema import Schema
from unroll.errors import DataError, nearest

_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """One series of N rows. Nothing in its arrays is NaN.

    Attributes:
        name: "" where the data is one series.
        stamps: (N,) datetime64[ns] or int64, rising; with a time zone, as `time_zones.Clock` counts them.
        target: (N, K) float64.
        past: (N, P) float64, covariates known up to now.
        known: (N + A, Q) float64, covariates also known in the future, and then the calendar's features; A rows (mostly
            0) reach beyond the last target.
        static: (S,) float64.
        observed: (N, K) bool, whether a target was there or has been filled in.
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
        """What messages call it."""
        return called(self.name)

    def upto(self, rows: int) -> TimeSeries:
        """The first `rows` rows as they were known then: a gap that lasts beyond them has no line drawn through it.

        The known covariates keep what lies beyond.
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
    """Series of the same columns.

    Attributes:
        series: one or more, with names all different.
        targets, past, known, static: the names of the K, P, Q and S columns of their arrays.
        frequency: from a stamp to the next, as `unroll.data.timeseries.frequency` names it.
        notes: what was inferred, filled or left out, for the person to read.
        layout: which column is what, to read more data of the same kind.
    """

    series: tuple[TimeSeries, ...]
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    frequency: str = STEPS
    notes: tuple[str, ...] = ()
    layout: Schema = field(default=None)  # type: ignore[assignment]

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
        """The series' names, in order."""
        return tuple(frame.name for frame in self.series)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each series."""
        return {frame.name: len(frame) for frame in self.series}

    def named(self, name: str) -> TimeSeries:
        """The series of that name.

        Raises:
            DataError: there is none; the nearest is named.
        """
        for frame in self.series:
            if frame.name == name:
                return frame
        raise DataError(f"there is no series '{name}'{nearest(name, self.names)}")

    def only(self, names: Iterable[str]) -> TimeSeriesSet:
        """The series of these names, in their own order."""
        kept = set(names)
        return replace(self, series=tuple(frame for frame in self.series if frame.name in kept))

    def upto(self, rows: Mapping[str, int]) -> TimeSeriesSet:
        """Every series' first rows, as `TimeSeries.upto` gives them."""
        return replace(self, series=tuple(frame.upto(rows[frame.name]) for frame in self.series))

    def extended(self, horizon: int) -> TimeSeriesSet:
        """The same with the known covariates reaching exactly `horizon` rows beyond the last target.

        The calendar's features are computed; columns must have been given, in rows whose targets are empty.

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
        """Everything in the series, for a hash."""
        yield self.layout.to_json().encode()
        for frame in self.series:
            yield frame.name.encode("utf-8", "surrogatepass")
            for values in (frame.stamps, frame.target, frame.past, frame.known, frame.static, frame.observed):
                yield repr((values.shape, values.dtype.str)).encode()
                for first in range(0, len(values), _AT_ONCE):
                    yield np.ascontiguousarray(values[first : first + _AT_ONCE]).reshape(-1).view(np.uint8).data


def future_stamps(frame: TimeSeries, frequency: str, horizon: int, *, step: int = 0) -> np.ndarray:
    """The stamps (horizon,) after a series' last.

    With the frequency `steps` whole numbers go on (by `step`, or as the last two stood apart), and dates, whose future
    is not known, are followed by the numbers of the steps: 1, 2, ...
    """
    ahead = np.arange(1, horizon + 1)
    if frequency != STEPS:
        return parse(frequency).stamps(frame.stamps[-1], ahead)
    if frame.stamps.dtype.kind == "M":
        return ahead
    apart = step or (int(frame.stamps[-1] - frame.stamps[-2]) if len(frame) > 1 else 1)
    return frame.stamps[-1] + apart * ahead


def called(name: str) -> str:
    """What messages call a series."""
    return f"series '{name}'" if name else "the series"
