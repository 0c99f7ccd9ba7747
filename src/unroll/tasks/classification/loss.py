"""Losses and metrics for single-label and multi-label classification, and regression.

Shapes: output (B, K); target (B,) class numbers, (B, K) zeros and ones, or (B, K) numbers. Each loss is the
sum over this process's rows over the normaliser of the whole batch, so that the gradients of several
processes add up to the gradient of one.
"""

from __future__ import annotations

from typing import Literal

import torch
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


class _Head:
    """Base class of the three objectives: call the model with a batch's inputs and lengths."""

    def output(self, model: nn.Module, batch: Batch) -> Float[Tensor, "B K"]:
        """Compute the model's logits or values."""
        return model(batch.x, batch.lengths)

    def weight(self, batch: Batch) -> float | Tensor:
        """Return the normaliser of the loss, which is the batch's weight in the epoch's mean loss."""
        return float(batch.total)

    def update(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        """Count a batch in the metrics."""
        metrics.update(output.float(), _target(batch))


class SingleLabel(_Head):
    """Softmax cross-entropy over K classes, with optional class weights and label smoothing.

    loss = sum_b w[y_b] CE_b / sum_b w[y_b]
    """

    monitor: Monitor = ("accuracy", "max")

    def __init__(self, classes: int, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.classes = classes
        self.weights = weights
        self.smoothing = smoothing

    def loss(self, output: Float[Tensor, "B K"], batch: Batch) -> Tensor:
        """Mean cross-entropy of the batch."""
        weights = None if self.weights is None else self.weights.to(output)
        total = functional.cross_entropy(
            output, _target(batch), weight=weights, reduction="sum", label_smoothing=self.smoothing
        )
        return total / self.weight(batch)

    def weight(self, batch: Batch) -> float | Tensor:
        """Return the number of rows in the batch, or the sum of their class weights."""
        if self.weights is None:
            return float(batch.total)
        everyone = _target(batch) if batch.all_targets is None else batch.all_targets
        return self.weights.to(everyone.device)[everyone].sum()

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

    loss = sum_b sum_k w_k BCE_bk / (B K), where w_k weighs label k's positive rows.
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
        total = functional.binary_cross_entropy_with_logits(
            output, target.to(output.dtype), pos_weight=weights, reduction="sum"
        )
        return total / (batch.total * self.classes)

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

    loss = sum_b sum_k ((y_bk - target_bk) / scale_k)^2 / (B K); the model's outputs are standardised, metrics are
    in the target's own units.
    """

    monitor: Monitor = ("rmse", "min")

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.mean = mean.double()
        self.scale = scale.double()

    def loss(self, output: Float[Tensor, "B K"], batch: Batch) -> Tensor:
        """Mean squared error of the standardised targets."""
        mean, scale = self.mean.to(output.device), self.scale.to(output.device)
        target = ((_target(batch).double() - mean) / scale).to(output.dtype)
        return functional.mse_loss(output, target, reduction="sum") / (batch.total * len(self.mean))

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


def class_weights(targets: Tensor, classes: int) -> Float[Tensor, " K"]:
    """Compute balanced class weights from the training part's targets.

    Single label: w_k = N / (K n_k). Multi-label: (N - n_k) / n_k for the positive rows of label k.
    """
    if targets.ndim == 1:
        counts = torch.bincount(targets, minlength=classes).float()
        return len(targets) / (classes * counts.clamp(min=1.0))
    positive = targets.float().sum(0)
    return (len(targets) - positive).clamp(min=1.0) / positive.clamp(min=1.0)
