"""A task's model, new and then trained; what training from files and an estimator's `fit` share."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from unroll.errors import OptionError
from unroll.tasks.base import TrainingData
from unroll.training.loop import Outcome, fit


def new_model(prepared: TrainingData) -> nn.Module:
    """The task's model as the seed and the training part make it; PyTorch's random state is set to the seed.

    Raises:
        OptionError: the model is too large for the memory.
    """
    torch.manual_seed(prepared.task.settings.batch.seed)
    try:
        return prepared.task.model(prepared.train)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise OptionError("the model does not fit into memory; make hidden, layers or embedding smaller") from error


def train(
    prepared: TrainingData, model: nn.Module, folder: Path, *, quiet: bool, resume: bool = False, identity: str = ""
) -> Outcome:
    """Train `model` on the training part as the task's settings say; see `unroll.training.loop.fit`."""
    task = prepared.task
    return fit(
        model,
        task.objective(prepared.train),
        task.batches(prepared.train, shuffle=True),
        None if prepared.valid is None else task.batches(prepared.valid, shuffle=False),
        task.settings.training,
        folder,
        resume=resume,
        seed=task.settings.batch.seed,
        quiet=quiet,
        identity=identity,
    )
