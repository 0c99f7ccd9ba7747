"""Concatenate the rows of several series, to slice windows from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unroll.data.timeseries.missing import last_seen
from unroll.data.timeseries.scaler import SeriesScaler, ShiftScale
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.errors import DataError

_AT_ONCE = 1 << 16


class SeriesArrays:
    """Concatenate the rows of all series, with their scaling; shared by the windows of several parts."""

    def __init__(self, frames: TimeSeriesSet, scaler: SeriesScaler) -> None:
        own = [scaler.of(frame) for frame in frames]
        self.begins = np.cumsum([0, *map(len, frames)])[:-1]
        self.target = _Flat([f.target for f in frames], [g["target"] for g in own], [f.observed for f in frames])
        self.past = _Flat([f.past for f in frames], [g["past"] for g in own], [f.past_observed for f in frames])
        self.known = _Flat([f.known[: len(f)] for f in frames], [g["known"] for g in own])
        self.static = to_float32(scaler.static.apply(np.stack([f.static for f in frames])))


class _Flat:
    """Concatenate the rows of all series, (N, C), for slicing at any rows.

    Raises:
        DataError: scaled values are too large for float32.
    """

    def __init__(
        self, values: Sequence[np.ndarray], scales: Sequence[ShiftScale], observed: Sequence[np.ndarray] | None = None
    ) -> None:
        for rows, affine in zip(values, scales, strict=True):
            for first in range(0, len(rows), _AT_ONCE):
                to_float32(affine.apply(rows[first : first + _AT_ONCE]))
        self.values = values[0] if len(values) == 1 else np.concatenate(values)
        self._shift, self._scale = np.stack([a.shift for a in scales]), np.stack([a.scale for a in scales])
        self._observed: np.ndarray | None = None
        if observed is not None and not all(o.all() for o in observed):
            self._observed = np.concatenate(observed)
            begins = np.cumsum([0, *map(len, observed)])[:-1]
            self._seen = np.concatenate(
                [np.maximum(last_seen(o), 0) + b for o, b in zip(observed, begins, strict=True)]
            )

    def scaled(self, values: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Scale values (B, F, C) of these series (B,), as for the model."""
        return ShiftScale(self._shift[series][:, None], self._scale[series][:, None]).apply(values).astype(np.float32)

    def observed(self, rows: np.ndarray) -> np.ndarray:
        """Tell whether the values of these rows (B, F) were observed, (B, F, C)."""
        if self._observed is None:
            return np.ones((*rows.shape, self.values.shape[1]), dtype=bool)
        return self._observed[rows]

    def history(self, at: np.ndarray, length: int) -> np.ndarray:
        """Return the `length` rows before each row of `at` (B,), as known there: (B, length, C).

        Rows before the first repeat the first; the caller must know where a series begins.
        """
        rows = np.maximum(at[:, None] + np.arange(-length, 0), 0)
        values = self.values[rows]
        if self._observed is None:
            return values
        seen = self._seen[at - 1][:, None]
        return np.where(rows[:, :, None] > seen, self.values[seen, np.arange(values.shape[2])], values)


def to_float32(values: np.ndarray) -> np.ndarray:
    """Convert to float32.

    Raises:
        DataError: a value is too large for it.
    """
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    if not np.isfinite(small).all():
        raise DataError("the series have values too large for 32-bit numbers; use --scaling standard or larger units")
    return small
