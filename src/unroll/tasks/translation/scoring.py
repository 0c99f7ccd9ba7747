"""Score given targets: the log-probability of each token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from unroll.data.pairs.batches import padded
from unroll.tasks.translation.records import PairRecords
from unroll.tasks.translation.task import TranslationTask

_ROWS_AT_ONCE = 64


def score_pairs(task: TranslationTask, network: Any, records: PairRecords) -> Iterator[dict[str, Any]]:
    """Compute the log-probability of each target's tokens, given its source and the tokens before; in order."""
    part = task.encode(records)
    for start in range(0, len(part), _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(part)))
        (x, lengths), (target, target_lengths) = padded(part.source, rows), padded(part.target, rows)
        device = next(network.parameters()).device
        with torch.inference_mode():
            moved = [t.to(device) for t in (x, lengths, target)]
            nll = network.nll(network(*moved, target_lengths), moved[2]).double().cpu()
        for row, values, n in zip(rows.tolist(), nll, target_lengths.tolist(), strict=True):
            each = (-values[:n]).tolist()
            total = sum(each)
            yield {
                task.settings.translation.source: records.sources[row],
                task.settings.translation.target: records.references[row][0],
                "tokens": [*task.target_encoder.tokens(part.target.take(np.array([row]))[0][:-1]), "</s>"],
                "log_probabilities": [round(value, 6) for value in each],
                "total": round(total, 6),
                "per_token": round(total / n, 6),
            }
