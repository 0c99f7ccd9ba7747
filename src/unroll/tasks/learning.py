"""A task's model, new and then trained; what training from files and an estimator's `fit` share."""

from __future__ import annotations

from pathlib import Path

import torch

from unroll.data.batches import Batches
from unroll.data.examples import Examples
from unroll.errors import OptionError
from unroll.models.many_to_one import ManyToOne
from unroll.tasks.labelled import LabelledTask
from unroll.training.fit import Outcome, fit


def new_model(task: LabelledTask, training: Examples) -> ManyToOne:
    """The task's model as the seed and the training part make it; PyTorch's random state is set to the seed.

    Raises:
        OptionError: the model is too large for the memory.
    """
    torch.manual_seed(task.settings.batch.seed)
    try:
        return task.model(training)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise OptionError("the model does not fit into memory; make hidden, layers or embedding smaller") from error


def train(
    task: LabelledTask,
    model: ManyToOne,
    training: Examples,
    held: Examples | None,
    folder: Path,
    *,
    quiet: bool,
    resume: bool = False,
    identity: str = "",
) -> Outcome:
    """Train `model` on the examples as the task's settings say; see `unroll.training.fit.fit`."""
    options = task.settings.batch
    return fit(
        model,
        task.objective(training.targets),
        Batches(training, options, shuffle=True),
        None if held is None else Batches(held, options, shuffle=False),
        task.settings.training,
        folder,
        resume=resume,
        seed=options.seed,
        quiet=quiet,
        identity=identity,
    )
