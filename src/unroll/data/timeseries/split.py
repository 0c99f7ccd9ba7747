"""Split series by time into training, validation and test parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unroll.data.timeseries.series import TimeSeries, TimeSeriesSet
from unroll.data.timeseries.time_zones import Clock
from unroll.errors import DataError, OptionError

Part = Literal["training", "validation", "test"]
Border = float | int | str
"""A share of a series' rows (below 1), a number of rows (1 or more), or a time; also as text."""

_TIME = re.compile(r"\d{4}-\d{2}(-\d{2}([ T]\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?)?)?")

PARTS: tuple[Part, ...] = ("training", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Hold the rows of each part, for each series.

    Attributes:
        names: the series.
        parts: for each series the rows of training, validation and test; validation and test may be empty.
        rows: number of rows of each series; those after the test part are not used.
        left_out: series with no row left for training, and their number of rows.
    """

    names: tuple[str, ...]
    parts: tuple[tuple[range, range, range], ...]
    rows: tuple[int, ...]
    left_out: tuple[tuple[str, int], ...] = ()

    def of(self, part: Part) -> tuple[range, ...]:
        """Return the rows of one part, for each series."""
        return tuple(own[PARTS.index(part)] for own in self.parts)

    @property
    def upto(self) -> dict[str, int]:
        """Length of each series' training part, which begins at row 0: the rows that a scaler may use."""
        return {name: own[0].stop for name, own in zip(self.names, self.parts, strict=True)}

    def counts(self) -> dict[str, int]:
        """Count the rows of each part over all series; rows in no part count as `unused`."""
        counts: dict[str, int] = {part: sum(map(len, self.of(part))) for part in PARTS}
        return {**counts, "unused": sum(self.rows) - sum(counts.values())}


def split(
    frames: TimeSeriesSet,
    validation: Border = 0.1,
    test: Border = 0.0,
    *,
    train: Border | None = None,
    short: Literal["error", "drop"] = "error",
) -> Split:
    """Split every series by time into training, validation and test parts.

    Test is the last part, validation the one before it, training the rest. A share or a number of rows applies to
    each series; a time is the start of the part in every series. With `train` (a share or a number of rows) the
    training part is the first rows, validation and test follow it, and the rest is not used: `split(frames, 2880,
    2880, train=8640)` is the usual split of ETTh1. With `short="drop"`, series with no row left for training are
    dropped, unless that would drop all.

    Raises:
        OptionError: an invalid share, number or time.
        DataError: a series with no row left for training, or shorter than its parts, or a time that no series
            reaches.
    """
    borders = {"training": train, "validation": validation, "test": test}
    read = {name: _read(name, value) for name, value in borders.items() if value is not None}
    if train is not None and any(isinstance(value, str) for value in read.values()):
        raise OptionError("the training part is given, so all parts must be shares or numbers of rows, not times")
    if all(isinstance(read[part], str) for part in ("validation", "test")):
        begins, ends = (np.datetime64(str(read[part]), "ns") for part in ("validation", "test"))
        if begins >= ends:
            raise OptionError(
                f"the validation part begins at {validation}, but the test part at {test}; validation comes first"
            )
    parts: dict[str, tuple[range, range, range]] = {}
    left_out: list[tuple[str, int]] = []
    for frame in frames:
        N = len(frame)
        n_test = _rows(frame, read["test"], "test", N, frames.layout.clock)
        n_val = _rows(frame, read["validation"], "validation", N - n_test, frames.layout.clock)
        n_train = (
            N - n_val - n_test if train is None else _rows(frame, read["training"], "training", N, frames.layout.clock)
        )
        if n_train < 1 or n_train + n_val + n_test > N:
            left_out.append((frame.name, N))
            if short == "drop" and len(left_out) < len(frames):
                continue
        if n_train + n_val + n_test > N:
            raise DataError(
                f"{frame.called} has {N} rows, but training, validation and test take {n_train + n_val + n_test}"
            )
        if n_train < 1:
            rows = f"{N} row{'s' if N != 1 else ''}"
            raise DataError(f"{frame.called} has {rows}, of which validation and test leave none for training")
        parts[frame.name] = (
            range(n_train),
            range(n_train, n_train + n_val),
            range(n_train + n_val, n_train + n_val + n_test),
        )
    rows = tuple(frames.rows[name] for name in parts)
    result = Split(tuple(parts), tuple(parts.values()), rows, tuple(left_out))
    for part in ("validation", "test"):
        value = read[part]
        if isinstance(value, str) and not any(map(len, result.of(part))):
            last = max(frame.stamps[-1] for frame in frames)
            raise DataError(
                f"the {part} part begins at {value}, but the data ends at"
                f" {frames.layout.clock.format_timestamp(last)}, before it"
            )
    return result


def _read(name: str, value: Border) -> Border:
    if isinstance(value, str):
        for kind in (int, float):
            try:
                value = kind(value)
                break
            except ValueError:
                continue
    if isinstance(value, str):
        try:
            if not _TIME.fullmatch(value):
                raise ValueError
            np.datetime64(value, "ns")
        except ValueError:
            raise OptionError(
                f"the {name} part is {value!r:.40}; it must be a share below 1, a number of rows, or a time such as "
                "2020-01-31"
            ) from None
        return value
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not (whole and value >= 0) and not (isinstance(value, float) and 0 <= value < 1):
        raise OptionError(f"the {name} part is {value!r:.40}; it must be a share below 1, a number of rows, or a time")
    return value


def _rows(frame: TimeSeries, value: Border, part: str, stop: int, clock: Clock) -> int:
    """Count the rows of a part that ends at row `stop`; a time is local time of the clock."""
    if isinstance(value, str):
        if frame.stamps.dtype.kind != "M":
            raise DataError(
                f"the {part} part is {value!r}, but the times of {frame.called} are whole numbers; give a number of "
                "rows"
            )
        begin = clock.stamp(np.datetime64(value, "ns"))
        return max(0, stop - int(np.searchsorted(frame.stamps, begin)))
    if isinstance(value, float):
        return max(1, round(value * len(frame))) if value > 0 else 0
    return int(value)
