"""Losses and metrics for single-label and multi-label classification, and regression.

Shapes: output (B, K); target (B,) class numbers, (B, K) zeros and ones, or (B, K) numbers. Each loss is the
sum over this process's rows over the normaliser of the whole batch, so that the gradients of several
processes add up to the gradient of one. Rows may have weights s_b, which are 1 if there are none.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassF1Score,
    MultilabelAccuracy,
    MultilabelF1Score,
)

from unroll.data.batches import Batch

Monitor = tuple[str, Literal["min", "max"]]


def _target(batch: Batch) -> Tensor:
    if batch.target is None:
        raise TypeError("the batch has no targets")
    return batch.target


def _reduction(batch: Batch) -> Literal["sum", "none"]:
    return "sum" if batch.weights is None else "none"


def _total(losses: Tensor, batch: Batch) -> Tensor:
    """Sum the losses (B,) or (B, K) of the rows, each times its weight; a sum without weights stays."""
    if batch.weights is None:
        return losses
    return (losses.reshape(len(batch.weights), -1).sum(1) * batch.weights.to(losses)).sum()


class _Head:
    """Base class of the three objectives: call the model with a batch's inputs and lengths."""

    def output(self, model: nn.Module, batch: Batch) -> Float[Tensor, "B K"]:
        """Compute the model's logits or values."""
        return model(batch.x, batch.lengths)

    def weight(self, batch: Batch) -> float | Tensor:
        """Return the normaliser of the loss, which is the batch's weight in the epoch's mean loss: the sum of s_b."""
        return float(batch.total) if batch.all_weights is None else batch.all_weights.sum()

    def update(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        """Count a batch in the metrics."""
        metrics.update(output.float(), _target(batch))


class SingleLabel(_Head):
    """Softmax cross-entropy over K classes, with optional class weights and label smoothing.

    loss = sum_b s_b w[y_b] CE_b / sum_b s_b w[y_b]
    """

    monitor: Monitor = ("accuracy", "max")

    def __init__(self, classes: int, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.classes = classes
        self.weights = weights
        self.smoothing = smoothing

    def loss(self, output: Float[Tensor, "B K"], batch: Batch) -> Tensor:
        """Mean cross-entropy of the batch."""
        weights = None if self.weights is None else self.weights.to(output)
        losses = functional.cross_entropy(
            output, _target(batch), weight=weights, reduction=_reduction(batch), label_smoothing=self.smoothing
        )
        return _total(losses, batch) / self.weight(batch)

    def weight(self, batch: Batch) -> float | Tensor:
        """Return the sum of the rows' weights, each times that of its class."""
        if self.weights is None:
            return super().weight(batch)
        everyone = _target(batch) if batch.all_targets is None else batch.all_targets
        weights = self.weights.to(everyone.device)[everyone]
        return (weights if batch.all_weights is None else weights * batch.all_weights).sum()

    def metrics(self) -> MetricCollection:
        """Accuracy and macro F1."""
        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(self.classes, average="micro"),
                "f1_macro": MulticlassF1Score(self.classes, average="macro"),
            }
        )


class MultiLabel(_Head):
    """Sigmoid and binary cross-entropy for each of K labels.

    loss = sum_b s_b sum_k w_k BCE_bk / (K sum_b s_b), where w_k weighs label k's positive rows.
    """

    monitor: Monitor = ("f1_macro", "max")

    def __init__(self, classes: int, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.classes = classes
        self.weights = weights
        self.smoothing = smoothing

    def loss(self, output: Float[Tensor, "B K"], batch: Batch) -> Tensor:
        """Mean binary cross-entropy of the batch."""
        target = _target(batch) * (1.0 - self.smoothing) + 0.5 * self.smoothing
        weights = None if self.weights is None else self.weights.to(output)
        losses = functional.binary_cross_entropy_with_logits(
            output, target.to(output.dtype), pos_weight=weights, reduction=_reduction(batch)
        )
        return _total(losses, batch) / (self.weight(batch) * self.classes)

    def metrics(self) -> MetricCollection:
        """Label accuracy and macro F1."""
        return MetricCollection(
            {
                "accuracy": MultilabelAccuracy(self.classes, average="micro"),
                "f1_macro": MultilabelF1Score(self.classes, average="macro"),
            }
        )

    def update(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        """Count a batch in the metrics."""
        metrics.update(output.float(), _target(batch).long())


class _RootMeanSquaredError(MeanSquaredError):
    def __init__(self) -> None:
        super().__init__(squared=False)


class Regression(_Head):
    """Squared error of K numbers, standardised by the training part's `mean` and `scale` (K,).

    loss = sum_b s_b sum_k ((y_bk - target_bk) / scale_k)^2 / (K sum_b s_b); the model's outputs are
    standardised, metrics are in the target's own units.
    """

    monitor: Monitor = ("rmse", "min")

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.mean = mean.double()
        self.scale = scale.double()

    def loss(self, output: Float[Tensor, "B K"], batch: Batch) -> Tensor:
        """Mean squared error of the standardised targets."""
        mean, scale = self.mean.to(output.device), self.scale.to(output.device)
        target = ((_target(batch).double() - mean) / scale).to(output.dtype)
        losses = functional.mse_loss(output, target, reduction=_reduction(batch))
        return _total(losses, batch) / (self.weight(batch) * len(self.mean))

    def metrics(self) -> MetricCollection:
        """MAE and RMSE; R2, which is undefined for one row, is only in the report."""
        parts: dict[str, Metric] = {"mae": MeanAbsoluteError(), "rmse": _RootMeanSquaredError()}
        return MetricCollection(parts)  # pyright: ignore[reportArgumentType] (dict is invariant)

    def update(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        """Count a batch in the metrics."""
        mean, scale = self.mean.to(output.device), self.scale.to(output.device)
        # Subtracting the mean from both does not change errors, and keeps the precision of small numbers.
        values, target = (output.double() * scale).float(), (_target(batch).double() - mean).float()
        if values.size(1) == 1:
            values, target = values.squeeze(1), target.squeeze(1)
        metrics.update(values, target)
