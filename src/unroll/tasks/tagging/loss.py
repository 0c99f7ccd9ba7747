"""Loss and metrics of tagging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from unroll.data.batches import Batch
from unroll.data.text.tagged import NO_TAG, TaggingBatch
from unroll.models.tagger import Tagger
from unroll.tasks.tagging.spans import Counts, count, total


class Scored(NamedTuple):
    """Hold a batch's scores (B, T, K), and the model to decode them."""

    scores: Float[Tensor, "B T K"]
    model: Tagger


class TaggingObjective:
    """Cross-entropy of each token's tag, or a CRF's negative log-likelihood of each sentence's tags.

        loss = sum over sentences of -log p(tags) / number of tokens in the batch, over all processes

    which for the softmax is the mean over tokens of -log p(tag). Accuracy counts tokens; for tags that mark spans
    `span_f1` counts spans as the CoNLL scorer does, and chooses the best weights. A tag that is not in the training
    data counts as wrong in both; its token, or with the CRF its sentence, adds nothing to the loss. Nor does a sentence
    with tags that the CRF does not allow.

    Args:
        names: the tags.
        spans: whether they mark spans.
    """

    def __init__(self, names: Sequence[str], *, spans: bool) -> None:
        self.names = tuple(names)
        self.spans = spans

    @property
    def monitor(self) -> tuple[str, Literal["min", "max"]]:
        """Metric to monitor: accuracy, or the F1 of spans."""
        return ("span_f1" if self.spans else "accuracy", "max")

    def output(self, model: Tagger, batch: TaggingBatch) -> Scored:
        """Compute the scores of the tags."""
        return Scored(model(batch.x, batch.lengths, batch.chars, batch.places), model)

    def loss(self, output: Scored, batch: TaggingBatch) -> Tensor:
        """Compute this process's sum, divided by the number of tokens of all processes."""
        target, crf = _target(batch), output.model.crf
        unseen_tags = target >= len(self.names)
        if crf is not None:
            known = target.masked_fill(unseen_tags, 0)
            each = crf.log_likelihood(output.scores, known, batch.lengths)
            left_out = unseen_tags.any(1) | ~crf.allows(known, batch.lengths)
            return -each.masked_fill(left_out, 0.0).sum() / batch.total
        target = target.masked_fill(unseen_tags, NO_TAG)
        summed = functional.cross_entropy(
            output.scores.flatten(0, 1), target.flatten(), ignore_index=NO_TAG, reduction="sum"
        )
        return summed / batch.total

    def metrics(self) -> MetricCollection:
        """Accuracy over tokens; F1 over spans, where there are any."""
        parts: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(len(self.names), average="micro", validate_args=False)
        }
        if self.spans:
            parts["span_f1"] = SpanF1(self.names)
        return MetricCollection(parts, compute_groups=False)  # pyright: ignore[reportArgumentType] (dict is invariant)

    def update(self, metrics: MetricCollection, output: Scored, batch: TaggingBatch) -> None:
        """Count a batch in the metrics."""
        target = _target(batch)
        answered = output.model.decode(output.scores, batch.lengths)
        inside = target != NO_TAG
        metrics["accuracy"].update(answered[inside], target[inside])
        if self.spans:
            metrics["span_f1"].update(answered, target, batch.lengths, batch.unseen_tags)

    def watched(self, output: Scored, batch: TaggingBatch) -> tuple[Tensor, Tensor]:
        """Return scores and tags of the tokens, without padding and tags that are not in the training data."""
        target = _target(batch)
        inside = (target != NO_TAG) & (target < len(self.names))
        return output.scores[inside], target[inside]


class SpanF1(Metric):
    """Span F1: 2 right / (found + gold), over all spans; 0 where none is right."""

    full_state_update = False
    right: Tensor
    either: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        for state in ("right", "either"):
            self.add_state(state, torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        answered: Int[Tensor, "B T"],
        target: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"],
        unseen_tags: Sequence[str] = (),
    ) -> None:
        """Count the spans of a batch of tag numbers; those of `unseen_tags` follow those of the names."""
        names = (*self.names, *unseen_tags)
        told = [_named(tags, lengths, names) for tags in (target, answered)]
        counts: Counts = total(count(*told).values())
        self.right += counts.right
        self.either += counts.found + counts.gold

    def compute(self) -> Tensor:
        """Compute the F1 so far."""
        return 2.0 * self.right / self.either.clamp(min=1)


def _named(tags: Tensor, lengths: Tensor, names: tuple[str, ...]) -> list[list[str]]:
    rows = zip(tags.tolist(), lengths.tolist(), strict=True)
    return [[names[i] for i in row[:n]] for row, n in rows]


def _target(batch: Batch) -> Tensor:
    if batch.target is None:
        raise TypeError("the batch has no targets")
    return batch.target
