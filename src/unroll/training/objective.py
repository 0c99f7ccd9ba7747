"""What a task tells the training: the loss, the metrics, and which of them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

    from unroll.data.batches import Batch


class Objective(Protocol):
    """The part of a task that training needs; each task implements it.

    The model and the batches are the task's own: an `nn.Module`, and what derives from `Batch`.

    With several processes each of them sees its own rows of every batch. A loss must therefore be the
    sum over the rows at hand divided by the normaliser of the whole batch (`batch.total`, or the summed
    class weights of `batch.all_targets`): the losses of the processes then add up to the loss that one
    process would have computed. In one process that is the ordinary mean.

    What an objective may have beside these:

    - `weight(batch) -> float | Tensor`, where the normaliser is not `batch.total` or a constant times it: see
      `batch_weight`.
    - `watched(output, batch) -> (Tensor (..., K), Tensor (...) | None) | None`, where the output is not one tensor
      of an answer for each target: see `watched_output`.
    - `state_dict() -> dict` and `load_state_dict(dict)`, where something is carried from batch to batch, such as a
      language model's hidden state: see `objective_state`. Such an objective sees from the batch itself when to start
      anew, and keeps training and validation apart by `model.training`.
    """

    @property
    def monitor(self) -> tuple[str, Literal["min", "max"]]:
        """The value that chooses the best weights, and which way is better; "loss" is the validation loss."""
        ...

    def output(self, model: Any, batch: Any) -> Any:
        """The model's answer, e.g. logits (B, K), or whatever `loss` and `update` understand."""
        ...

    def loss(self, output: Any, batch: Any) -> Tensor:
        """The scalar to make small: a sum over this process's rows over the whole batch's normaliser."""
        ...

    def metrics(self) -> MetricCollection:
        """New, empty metrics whose `compute()` gives one number under each name."""
        ...

    def update(self, metrics: MetricCollection, output: Any, batch: Any) -> None:
        """Add the rows of one batch to the metrics."""
        ...


def batch_weight(objective: Objective, batch: Batch) -> float | Tensor:
    """How much a batch's loss counts in the mean over many: what `loss` divided by; `batch.total` if not said.

    sum_b weight_b loss_b / sum_b weight_b is then the loss of all rows as one batch, however they are cut.
    """
    given = getattr(objective, "weight", None)
    return float(batch.total) if given is None else given(batch)


def watched_output(objective: Objective, output: Any, batch: Batch) -> tuple[Tensor, Tensor | None] | None:
    """The answers (..., K) in which dead outputs are looked for, and their targets (...), if they are classes.

    Without the objective's own word these are the output and the batch's target; None, which is nothing to look at,
    where the output is not a tensor.
    """
    given = getattr(objective, "watched", None)
    if given is not None:
        return given(output, batch)
    return (output, batch.target) if isinstance(output, Tensor) else None


def objective_state(objective: Objective) -> dict[str, Any] | None:
    """What the objective carries from one batch to the next in this process; None where it carries nothing.

    Tensors, lists, tuples, dictionaries, numbers, text and None can be kept. They are put into a checkpoint between
    two batches and given back to `load_state_dict`, every tensor on the device of the training, before the first batch
    of a resumed training.
    """
    given = getattr(objective, "state_dict", None)
    return None if given is None else given()
