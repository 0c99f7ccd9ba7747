"""List predicted labels or numbers beside the true ones, and the worst errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unroll.data.labels import Labels
from unroll.tasks.classification.records import Records
from unroll.tasks.predictions import Predictions, largest


def list_answers(outputs: np.ndarray, labels: Labels) -> list[dict[str, Any]]:
    """List `label` or `labels` and `probabilities`, or `value`, for outputs (N, K) as `predictions` takes them."""
    if labels.kind == "regression":
        return [{"value": value} for value in labels.decode(outputs)]
    if labels.kind == "single":
        key, decoded = "label", labels.decode(outputs.argmax(1))
    else:
        key, decoded = "labels", labels.decode(outputs >= 0.5)
    return [
        {key: label, "probabilities": {n: round(p, 6) for n, p in zip(labels.names, row, strict=True)}}
        for label, row in zip(decoded, outputs.astype(float).tolist(), strict=True)
    ]


def predictions(outputs: np.ndarray, records: Records, labels: Labels) -> Predictions:
    """List the predictions for usable rows of labelled data.

    The worst are the most confident wrong labels, the rows with the most wrong labels, or the largest absolute errors.

    Args:
        outputs: (N, K) probabilities, or values in the target's units.
        records: the rows; their labels may have more names than `labels`.
        labels: of the training part.
    """
    made = {"single": _single, "multi": _multi, "regression": _regression}[labels.kind]
    columns, errors = made(outputs, records, labels)
    table: dict[str, list[Any]] = {"row": (records.rows + 1).tolist(), **columns}
    worst = largest(errors)
    values = records.take(worst).inputs() if records.options.text and len(worst) else iter(())
    shown = [{name: cells[i] for name, cells in table.items()} for i in worst.tolist()]
    if records.options.text:
        shown = [{**row, records.options.column: value} for row, value in zip(shown, values, strict=True)]
    return Predictions(_rows(table), shown)


def _rows(table: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for cells in zip(*table.values(), strict=True):
        yield dict(zip(table, cells, strict=True))


def _single(outputs: np.ndarray, records: Records, labels: Labels) -> tuple[dict[str, list[Any]], np.ndarray]:
    guess = outputs.argmax(1)
    confidence = outputs[np.arange(len(outputs)), guess].astype(float)
    columns = {
        "label": records.labels.decode(records.targets),
        "predicted": labels.decode(guess),
        "probability": confidence.round(6).tolist(),
    }
    return columns, np.where(guess == records.targets, 0.0, confidence)


def _multi(outputs: np.ndarray, records: Records, labels: Labels) -> tuple[dict[str, list[Any]], np.ndarray]:
    targets, guess = records.targets > 0, outputs >= 0.5
    known = targets[:, : len(labels)]
    columns = {"labels": records.labels.decode(targets), "predicted": labels.decode(guess)}
    return columns, (known != guess).sum(1) + targets[:, len(labels) :].sum(1).astype(float)


def _regression(outputs: np.ndarray, records: Records, labels: Labels) -> tuple[dict[str, list[Any]], np.ndarray]:
    error = outputs - records.targets
    columns: dict[str, list[Any]] = {}
    for k, name in enumerate(labels.names):
        after = "" if len(labels) == 1 else f".{name}"
        columns |= {
            f"value{after}": records.targets[:, k].tolist(),
            f"predicted{after}": outputs[:, k].tolist(),
            f"error{after}": error[:, k].tolist(),
        }
    spread = records.targets.std(0)
    return columns, (np.abs(error) / np.where(spread > 0, spread, 1.0)).max(1)
