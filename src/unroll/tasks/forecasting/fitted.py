"""Learnt state of a forecasting run: columns, scaler, naive errors, and where training ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unroll.data.timeseries.options import Scaling
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.errors import RunError
from unroll.runs import Run, json_text
from unroll.tasks.forecasting.metrics import naive_scale

FILE = "scaler.json"
_FORMAT = "unroll.forecasting/1"
Stamp = np.datetime64 | np.int64


@dataclass(frozen=True, eq=False)
class FittedSeries:
    """Hold what is learnt from the training series; nothing in it comes from after their training parts.

    Attributes:
        layout: roles of the columns.
        scaler: scaling of every series.
        errors: for each series (K,), the seasonal naive error, the denominator of MASE.
        trained: for each series the last stamp of its training part.
    """

    layout: Schema
    scaler: SeriesScaler
    errors: dict[str, np.ndarray]
    trained: dict[str, Stamp]

    @classmethod
    def learn(cls, frames: TimeSeriesSet, upto: Mapping[str, int], *, season: int, scaling: Scaling) -> Self:
        """Compute scaler and naive errors from the first `upto` rows of each series."""
        return cls(
            frames.layout,
            SeriesScaler.learn(frames, upto, scaling),
            {f.name: naive_scale(f.target[: upto[f.name]], season, f.observed[: upto[f.name]]) for f in frames},
            {f.name: f.stamps[upto[f.name] - 1] for f in frames},
        )

    def error_table(self, names: Sequence[str]) -> np.ndarray:
        """Return the naive errors of these series (S, K)."""
        return np.stack([self.errors[name] for name in names])

    def to_json(self) -> str:
        """Return the content of scaler.json."""
        stamps = [[name, str(s) if isinstance(s, np.datetime64) else int(s)] for name, s in self.trained.items()]
        document = {
            "format": _FORMAT,
            "layout": json.loads(self.layout.to_json()),
            "scaler": json.loads(self.scaler.to_json()),
            "errors": [[name, error.tolist()] for name, error in self.errors.items()],
            "trained": stamps,
        }
        return json_text(document)

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read scaler.json from a run folder.

        Raises:
            RunError: it is missing, damaged, or of another kind of task.
        """
        document, where = run.read_document(FILE, _FORMAT), run.path / FILE
        try:
            layout = Schema.from_json(json.dumps(document.get("layout")))
            scaler = SeriesScaler.from_json(json.dumps(document.get("scaler")))
        except RunError as error:
            raise RunError(f"{where} is damaged: {error}") from None
        if scaler.columns["target"] != layout.target or len(scaler.columns["known"]) != len(layout.known_names):
            raise RunError(f"{where} is damaged: the scaler is for other columns than the layout's")
        errors = _errors(document.get("errors"), scaler, str(where))
        return cls(layout, scaler, errors, _trained(document.get("trained"), scaler, str(where)))


def _errors(value: Any, scaler: SeriesScaler, where: str) -> dict[str, np.ndarray]:
    try:
        # a series that has no naive error is written as null
        errors = {str(name): np.array(error, dtype=np.float64) for name, error in value}
    except (TypeError, ValueError):
        errors = {}
    K = len(scaler.columns["target"])
    if errors.keys() != scaler.series.keys() or any(
        e.shape != (K,) or (e <= 0).any() or np.isinf(e).any() for e in errors.values()
    ):
        raise RunError(f"{where} is damaged: 'errors' must hold {K} numbers for each series")
    return errors


def _trained(value: Any, scaler: SeriesScaler, where: str) -> dict[str, Stamp]:
    try:
        stamps = {str(name): np.int64(s) if type(s) is int else np.datetime64(s, "ns") for name, s in value}
    except (TypeError, ValueError, OverflowError):
        stamps = {}
    if stamps.keys() != scaler.series.keys() or any(
        isinstance(s, np.datetime64) and np.isnat(s) for s in stamps.values()
    ):
        raise RunError(f"{where} is damaged: 'trained' must hold a time for each series")
    return stamps
