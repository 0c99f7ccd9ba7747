"""Say what looks wrong before a training, and what may help where a baseline is better."""

from __future__ import annotations

from collections.abc import Iterator

from unroll.data.labels import Labels
from unroll.data.ragged import RaggedDataset
from unroll.tasks.classification.options import ClassificationSettings
from unroll.training.optim import total_steps

_MANY_UNKNOWN = 0.15
_FEW_STEPS = 80


def remarks(
    settings: ClassificationSettings,
    labels: Labels,
    train: RaggedDataset,
    valid: RaggedDataset | None,
    *,
    steps: int,
    text: bool,
) -> Iterator[str]:
    """Point out unknown tokens, few updates, and labels that look like numbers; `steps`: of an epoch."""
    rows, K = len(train), len(labels)
    if text and valid is not None:
        unknown = valid.share_of(1)
        if unknown > _MANY_UNKNOWN:
            yield f"{unknown:.0%} of the validation tokens are unknown; try --level char"
    total = total_steps(settings.training, steps)
    if total < _FEW_STEPS:
        smaller = max(1, rows // 50)
        yield f"{steps} steps an epoch, {total} in all, are few; try more --epochs, or --batch-size {smaller}"
    if labels.kind == "single" and max(20, rows // 2) < K:
        yield f"{K:,} labels in {rows:,} rows; if they are numbers to predict, take `unroll fit regression`"


def advice(settings: ClassificationSettings, *, text: bool) -> list[str]:
    """List options that may help where the model loses to the baseline."""
    model, recurrent = settings.model, settings.recurrent
    options = {
        "--ngrams 2": text and model.ngrams == 1,
        "--pool-inputs": text and not model.pool_inputs,
        "--conv-filters 64": not text and not model.conv_filters,
        "--pooling max": model.pooling == "last",
        "--bidirectional": not recurrent.bidirectional,
        "more --epochs": True,
    }
    return [option for option, fits in options.items() if fits][:4]
