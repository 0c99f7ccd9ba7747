"""What a task tells the training: the loss, the metrics, and which of them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchmetrics import MetricCollection

    from unroll.data.batches import Batch


class Objective(Protocol):
    """The part of a task that training needs; each task implements it.

    With several processes each of them sees its own rows of every batch. A loss must therefore be the
    sum over the rows at hand divided by the normaliser of the whole batch (`batch.total`, or the summed
    class weights of `batch.all_targets`): the losses of the processes then add up to the loss that one
    process would have computed. In one process that is the ordinary mean.

    An objective whose normaliser is not `batch.total`, or a constant times it, also has a method
    `weight(batch) -> float | Tensor`, which gives it: see `batch_weight`.
    """

    @property
    def monitor(self) -> tuple[str, Literal["min", "max"]]:
        """The value that chooses the best weights, and which way is better; "loss" is the validation loss."""
        ...

    def output(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's answer, e.g. logits (B, K)."""
        ...

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """The scalar to make small: a sum over this process's rows over the whole batch's normaliser."""
        ...

    def metrics(self) -> MetricCollection:
        """New, empty metrics whose `compute()` gives one number under each name."""
        ...

    def update(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        """Add the rows of one batch to the metrics."""
        ...


def batch_weight(objective: Objective, batch: Batch) -> float | Tensor:
    """How much a batch's loss counts in the mean over many: what `loss` divided by; `batch.total` if not said.

    sum_b weight_b loss_b / sum_b weight_b is then the loss of all rows as one batch, however they are cut.
    """
    given = getattr(objective, "weight", None)
    return float(batch.total) if given is None else given(batch)
