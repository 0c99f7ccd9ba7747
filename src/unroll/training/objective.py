"""The training objective of a task: its loss, its metrics, and the monitored value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

    from unroll.data.batches import Batch


class Objective(Protocol):
    """Protocol of a training objective; each task implements it.

    The model and the batches are the task's own: an `nn.Module`, and a subclass of `Batch`.

    With several processes each of them gets its own rows of every batch. The loss must therefore be the
    sum over this process's rows divided by the normaliser of the whole batch (`batch.total`, or the summed
    class weights of `batch.all_targets`): the losses of the processes then add up to the loss that one
    process would have computed. In one process that is the ordinary mean.

    Optional methods of an objective:

    - `weight(batch) -> float | Tensor`, if the normaliser is not `batch.total` or a constant times it: see
      `batch_weight`.
    - `watched(output, batch) -> (Tensor (..., K), Tensor (...) | None) | None`, if the output is not a single tensor
      with one answer for each target: see `watched_output`.
    - `state_dict() -> dict` and `load_state_dict(dict)`, if something is carried from batch to batch, such as a
      language model's hidden state: see `objective_state`. Such an objective decides from the batch itself when to
      reset, and keeps training and validation apart by `model.training`.
    """

    @property
    def monitor(self) -> tuple[str, Literal["min", "max"]]:
        """The monitored value that chooses the best weights, and "min" or "max"; "loss" is the validation loss."""
        ...

    def output(self, model: Any, batch: Any) -> Any:
        """Run the model: e.g. logits (B, K), or whatever `loss` and `update` accept."""
        ...

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Compute the scalar loss: the sum over this process's rows, divided by the whole batch's normaliser."""
        ...

    def metrics(self) -> MetricCollection:
        """Make new, empty metrics; their `compute()` gives one number for each name."""
        ...

    def update(self, metrics: MetricCollection, output: Any, batch: Any) -> None:
        """Update the metrics with the rows of one batch."""
        ...


def batch_weight(objective: Objective, batch: Batch) -> float | Tensor:
    """Weight of a batch's loss in the mean over batches: the divisor of `loss`; `batch.total` by default.

    sum_b weight_b loss_b / sum_b weight_b is then the loss of all rows as one batch, however they are split.
    """
    given = getattr(objective, "weight", None)
    return float(batch.total) if given is None else given(batch)


def watched_output(objective: Objective, output: Any, batch: Batch) -> tuple[Tensor, Tensor | None] | None:
    """Select the outputs (..., K) to check for dead outputs, and their targets (...) or None.

    If the objective has no `watched`, these are the output and the batch's target, or None (nothing to check)
    if the output is not a tensor.
    """
    given = getattr(objective, "watched", None)
    if given is not None:
        return given(output, batch)
    return (output, batch.target) if isinstance(output, Tensor) else None


def objective_state(objective: Objective) -> dict[str, Any] | None:
    """Return the state that the objective carries between batches in this process; None if it has none.

    It may hold tensors, lists, tuples, dictionaries, numbers, text and None. It is saved in a checkpoint between
    two batches and passed to `load_state_dict`, every tensor on the training device, before the first batch of a
    resumed training.
    """
    given = getattr(objective, "state_dict", None)
    return None if given is None else given()
