"""Write the predictions of a fit's test part beside the truth, and the worst of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unroll.runs import PREDICTIONS, WORST, Run

MOST_WORST = 50
"""Rows of worst.csv, at most."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Predictions:
    """Hold predictions beside the truth, as rows of tables.

    Attributes:
        rows: of predictions.csv, in the order of the data.
        worst: of worst.csv: the rows with the largest errors, with their input, the worst first.
    """

    rows: Iterable[Row]
    worst: Sequence[Row]

    def write(self, run: Run) -> None:
        """Write predictions.csv, and worst.csv if there are errors.

        Raises:
            RunError: a file cannot be written.
        """
        run.write(PREDICTIONS, _table(self.rows))
        if self.worst:
            run.write(WORST, _table(self.worst))


def largest(errors: np.ndarray) -> np.ndarray:
    """Return the positions of the largest errors (N,), the largest first; none where the error is 0 or NaN."""
    order = np.argsort(-np.nan_to_num(errors), kind="stable")[:MOST_WORST]
    return order[np.nan_to_num(errors[order]) > 0]


def _table(rows: Iterable[Row]) -> str:
    """Format rows as CSV; lists become JSON."""
    text = io.StringIO(newline="")
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple) else value
