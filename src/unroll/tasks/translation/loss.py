"""Loss and metrics of an encoder-decoder that is taught known targets."""

from __future__ import annotations

from typing import Literal, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from unroll.data.pairs.batches import PairBatch
from unroll.models.seq2seq import Seq2Seq
from unroll.tasks.likelihood import Perplexity


class Scored(NamedTuple):
    """Hold a batch's losses."""

    nll: Float[Tensor, "B U"]
    """Negative log-likelihood of each target token, in nats."""
    loss: Float[Tensor, "B U"]
    """The same with label smoothing, in training."""
    coverage: Float[Tensor, " B"] | None
    """See `Seq2Seq.coverage`; None if it has no weight."""
    inside: Bool[Tensor, "B U"]


class KnownTargets:
    """Negative log-likelihood of the target's tokens, given the source and the tokens before them.

        loss = sum over tokens of the smoothed nll / tokens + coverage_loss * sum over rows of coverage / rows

    with the tokens and rows of the whole batch; label smoothing applies in training only.

    Args:
        label_smoothing: share of the target probability spread over all tokens.
        coverage_loss: weight of the coverage.
    """

    monitor: tuple[str, Literal["min", "max"]] = ("perplexity", "min")

    def __init__(self, label_smoothing: float = 0.0, coverage_loss: float = 0.0) -> None:
        self.label_smoothing = label_smoothing
        self.coverage_loss = coverage_loss

    def output(self, model: Seq2Seq, batch: PairBatch) -> Scored:
        """Compute the losses of every token."""
        if batch.target is None:
            raise TypeError("the batch has no targets")
        decoded = model(batch.x, batch.lengths, batch.target, batch.target_lengths)
        nll, loss = model.losses(decoded, batch.target, self.label_smoothing if model.training else 0.0)
        coverage = model.coverage(decoded, batch.lengths) if self.coverage_loss and model.training else None
        return Scored(nll, loss, coverage, decoded.inside)

    def loss(self, output: Scored, batch: PairBatch) -> Tensor:
        """Compute this process's part of the batch's loss."""
        loss = output.loss.sum() / batch.total
        if output.coverage is not None:
            loss = loss + self.coverage_loss * output.coverage.sum() / (len(batch.rows) * self._world(batch))
        return loss

    def _world(self, batch: PairBatch) -> float:
        """The processes, as the share of tokens says; 1 in one process."""
        own = int(batch.target_lengths.sum())
        return batch.total / own if own else 1.0

    def watched(self, output: Scored, batch: PairBatch) -> None:
        """Return None: outputs over a vocabulary are not checked for dead ones."""

    def metrics(self) -> MetricCollection:
        """Perplexity of a token."""
        parts: dict[str, Metric] = {"perplexity": Perplexity()}
        return MetricCollection(parts)  # pyright: ignore[reportArgumentType] (dict is invariant)

    def update(self, metrics: MetricCollection, output: Scored, batch: PairBatch) -> None:
        """Count a batch's tokens."""
        metrics.update(output.nll, output.inside)
