"""List predicted tags beside the true ones, and the sentences with the most errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unroll.tasks.predictions import Predictions, largest
from unroll.tasks.tagging.records import Sentences


def predictions(answered: Sequence[np.ndarray], records: Sentences, names: Sequence[str]) -> Predictions:
    """List the predicted tags of sentences; `answered` are numbers (T,) of `names`, the training part's tags."""
    rows: list[dict[str, Any]] = []
    for row, tokens, truth, guess in zip(records.rows.tolist(), records.tokens(), records.tags, answered, strict=True):
        tags, predicted = [records.names[i] for i in truth.tolist()], [names[i] for i in guess.tolist()]
        wrong = sum(a != b for a, b in zip(tags, predicted, strict=True))
        rows.append(
            {"sentence": row + 1, "errors": wrong, "tokens": list(tokens), "tags": tags, "predicted": predicted}
        )
    return Predictions(rows, [rows[i] for i in largest(np.array([row["errors"] for row in rows], float)).tolist()])
