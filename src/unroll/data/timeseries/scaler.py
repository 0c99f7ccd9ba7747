"""Scale every series, and convert scaled forecasts back.

    scaled = (value - shift) / scale

`standard`: shift is the mean and scale the standard deviation (divisor n); `minmax`: shift is the minimum and scale the
range; `none`: 0 and 1. They are computed for each series and column only from observed values, not filled ones, in the
rows of the training part. Calendar features and static categories are not scaled; static numbers are scaled over the
training series.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from unroll.atomic_write import read_document
from unroll.data.timeseries import calendar
from unroll.data.timeseries.options import Scaling
from unroll.data.timeseries.series import TimeSeries, TimeSeriesSet, called
from unroll.errors import DataError, RunError

FORMAT = "unroll.scaler/1"

_GROUPS = ("target", "past", "known")


@dataclass(frozen=True, eq=False)
class ShiftScale:
    """Shift and scale of some columns, (C,) float64 each."""

    shift: np.ndarray
    scale: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scale values (..., C): (values - shift) / scale."""
        return (values - self.shift) / self.scale

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """Unscale values (..., C): values * scale + shift."""
        return values * self.scale + self.shift


class SeriesScaler:
    """Scale series with parameters computed by `learn`. Immutable: `extend` returns a new scaler.

    Attributes:
        kind: `standard`, `minmax` or `none`.
        columns: the names of the target, past, known and static columns.
        series: for each series' name, one `ShiftScale` for each of target, past and known.
        static: of the static columns.
        notes: columns that are constant in the training part.
    """

    def __init__(
        self,
        kind: Scaling,
        columns: Mapping[str, tuple[str, ...]],
        series: Mapping[str, Mapping[str, ShiftScale]],
        static: ShiftScale,
        unscaled: int = 0,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.kind: Scaling = kind
        self.columns = dict(columns)
        self.series = {name: dict(groups) for name, groups in series.items()}
        self.static = static
        self.unscaled = unscaled
        self.notes = notes

    @classmethod
    def learn(
        cls, frames: TimeSeriesSet, upto: Mapping[str, int] | None = None, kind: Scaling = "standard"
    ) -> SeriesScaler:
        """Compute shift and scale of every series.

        Args:
            frames: the series.
            upto: rows of each series' training part, by its name; none given: all rows.
            kind: `standard`, `minmax` or `none`.

        Raises:
            DataError: a column without an observed value in a training part, or with values too large.
        """
        columns = {"target": frames.targets, "past": frames.past, "known": frames.known, "static": frames.static}
        texts = {f"{name}={c}" for name, categories in frames.layout.categories for c in categories}
        static = np.stack([frame.static for frame in frames])
        measured, constant = _measure(static, np.ones(static.shape, dtype=bool), kind)
        _check_size(measured, frames.static, "the table")
        left = np.array([name in texts for name in frames.static], dtype=bool)
        static = ShiftScale(np.where(left, 0.0, measured.shift), np.where(left | constant, 1.0, measured.scale))
        empty = cls(kind, columns, {}, static, len(calendar.names(frames.layout.calendar)))
        return empty.extend(frames, upto)

    def extend(self, frames: TimeSeriesSet, upto: Mapping[str, int] | None = None) -> SeriesScaler:
        """Return a scaler that also has the new series in `frames`, computed on their first `upto` rows (default: all).

        Raises:
            DataError: other columns, or a column without an observed value.
        """
        own = {"target": frames.targets, "past": frames.past, "known": frames.known, "static": frames.static}
        for group, names in self.columns.items():
            if own[group] != names:
                raise DataError(
                    f"the data has the {group} columns {', '.join(own[group]) or 'none'}, but the scaler was made for "
                    f"{', '.join(names) or 'none'}"
                )
        series, constants = dict(self.series), []
        for frame in frames:
            if frame.name not in series:
                rows = len(frame) if upto is None else upto[frame.name]
                series[frame.name], still = self._learn(frame, rows)
                constants += [(frame.name, name) for name in still]
        return SeriesScaler(self.kind, self.columns, series, self.static, self.unscaled, self.notes + _said(constants))

    def _learn(self, frame: TimeSeries, rows: int) -> tuple[dict[str, ShiftScale], list[str]]:
        if self.kind == "none":
            return {g: _identity(len(self.columns[g])) for g in _GROUPS}, []
        observed = {
            "target": frame.observed,
            "past": frame.past_observed,
            "known": np.ones(frame.known.shape, dtype=bool),
        }
        groups, still = {}, []
        for group in _GROUPS:
            there = observed[group][:rows]
            if not there.any(0).all():
                name = self.columns[group][int((~there.any(0)).argmax())]
                raise DataError(
                    f"{frame.called} has no value in column '{name}' in the {rows} rows of its training part"
                )
            measured, constant = _measure(getattr(frame, group)[:rows], there, self.kind)
            _check_size(measured, self.columns[group], frame.called)
            if group == "known" and self.unscaled:
                measured.shift[-self.unscaled :], measured.scale[-self.unscaled :] = 0.0, 1.0
                constant[-self.unscaled :] = False
            groups[group] = measured
            still += [self.columns[group][c] for c in np.flatnonzero(constant)]
        return groups, still

    def transform(self, frame: TimeSeries) -> TimeSeries:
        """Scale all columns of a series.

        An unknown series is scaled by all its rows, which is right for a forecast from its end, where all rows are
        history; otherwise choose the rows with `extend`.
        """
        groups = self.of(frame)
        return replace(
            frame,
            target=groups["target"].apply(frame.target),
            past=groups["past"].apply(frame.past),
            known=groups["known"].apply(frame.known),
            static=self.static.apply(frame.static),
        )

    def of(self, frame: TimeSeries) -> dict[str, ShiftScale]:
        """Return the scaling of a series' target, past and known columns; see `transform`."""
        return self.series.get(frame.name) or self._learn(frame, len(frame))[0]

    def apply(self, name: str, values: np.ndarray) -> np.ndarray:
        """Scale target values (..., K) of a series, as for the model."""
        return self._of(name).apply(np.asarray(values))

    def inverse(self, name: str, values: np.ndarray) -> np.ndarray:
        """Convert scaled target values (..., K) of a series to its own units."""
        return self._of(name).inverse(np.asarray(values, dtype=np.float64))

    def inverse_scale(self, name: str, deviations: np.ndarray) -> np.ndarray:
        """Convert scaled standard deviations, or other distances, (..., K) to a series' own units."""
        return np.asarray(deviations, dtype=np.float64) * self._of(name).scale

    def table(self, names: tuple[str, ...]) -> ShiftScale:
        """Return shift and scale of the targets of several series, (S, K) each."""
        each = [self._of(name) for name in names]
        return ShiftScale(np.stack([a.shift for a in each]), np.stack([a.scale for a in each]))

    def _of(self, name: str) -> ShiftScale:
        if name not in self.series:
            raise DataError(f"{called(name)} was not in the training data, and its size has not been measured")
        return self.series[name]["target"]

    def to_json(self) -> str:
        """Return a JSON document, exact to the last bit."""

        def listed(affine: ShiftScale) -> list[list[float]]:
            return [affine.shift.tolist(), affine.scale.tolist()]

        document = {
            "format": FORMAT,
            "kind": self.kind,
            "columns": self.columns,
            "unscaled": self.unscaled,
            "static": listed(self.static),
            "series": [[name, *(listed(groups[g]) for g in _GROUPS)] for name, groups in self.series.items()],
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> SeriesScaler:
        """Read what `to_json` wrote; notes are not kept.

        Raises:
            RunError: the document is damaged.
        """
        document = read_document(text, FORMAT, "the scaler")
        try:
            columns = {group: _names(document["columns"][group]) for group in (*_GROUPS, "static")}
            unscaled, kind = document["unscaled"], document["kind"]
            if type(unscaled) is not int or not 0 <= unscaled <= len(columns["known"]) or kind not in get_args(Scaling):
                raise ValueError(f"kind is {kind!r:.40}, unscaled {unscaled!r:.40}")
            static = _affine(document["static"], len(columns["static"]))
            series: dict[str, dict[str, ShiftScale]] = {}
            for name, *groups in document["series"]:
                if not isinstance(name, str) or name in series:
                    raise ValueError(f"the series {name!r:.40} is no text or is there twice")
                pairs = zip(_GROUPS, groups, strict=True)
                series[name] = {group: _affine(value, len(columns[group])) for group, value in pairs}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RunError(f"the scaler is damaged: {error!s:.200}") from None
        return cls(kind, columns, series, static, unscaled)


def _measure(values: np.ndarray, there: np.ndarray, kind: Scaling) -> tuple[ShiftScale, np.ndarray]:
    """Compute shift and scale of columns (n, C) where `there` (n, C) is true, and which columns are constant (C,)."""
    C = values.shape[1]
    if kind == "none":
        return _identity(C), np.zeros(C, dtype=bool)
    shift, scale = np.zeros((2, C))
    with np.errstate(over="ignore", invalid="ignore"):  # the caller rejects results that are not finite
        for c in range(C):
            column = values[there[:, c], c]
            if kind == "minmax":
                shift[c] = column.min(initial=np.inf)
                scale[c] = column.max(initial=-np.inf) - shift[c]
            else:
                shift[c] = column.mean()
                scale[c] = column.std()
    # The deviation of a constant column is only rounding error.
    constant = scale <= 1e-12 * np.maximum(1e-300, np.abs(shift))
    return ShiftScale(shift, np.where(constant, 1.0, scale)), constant


def _check_size(measured: ShiftScale, columns: tuple[str, ...], whose: str) -> None:
    large = ~(np.isfinite(measured.shift) & np.isfinite(measured.scale))
    if large.any():
        raise DataError(
            f"{whose} has values too large to be measured in column '{columns[int(large.argmax())]}'; use larger units"
        )


def _identity(width: int) -> ShiftScale:
    return ShiftScale(np.zeros(width), np.ones(width))


def _said(constants: list[tuple[str, str]]) -> tuple[str, ...]:
    if not constants:
        return ()
    shown = "; ".join(f"{called(name)}: '{column}'" for name, column in constants[:3])
    more = f"; and {len(constants) - 3} more" if len(constants) > 3 else ""
    return (f"never changing in the training part, and only centred ({shown}{more})",)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("columns are not lists of texts")
    return tuple(value)


def _affine(value: Any, width: int) -> ShiftScale:
    shift, scale = (np.array(part, dtype=np.float64) for part in value)
    if shift.shape != (width,) or scale.shape != (width,):
        raise ValueError(f"shift and scale are not two lists of {width} numbers")
    if not (np.isfinite(shift).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("shift or scale is not finite, or a scale is not above 0")
    return ShiftScale(shift, scale)
