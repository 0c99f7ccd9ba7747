"""Train a model again on the training and the validation data together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from unroll.errors import OptionError
from unroll.tasks.base import BaseTask, TrainingData
from unroll.training.check import check
from unroll.training.loop import Outcome
from unroll.training.options import TrainingOptions, seconds_of

FOLDER = "refit"
"""Folder of a run with the history and the checkpoints of the second training."""


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: the model.
        outcome: the result of its training.
        data: the part it was trained on.
    """

    model: nn.Module
    outcome: Outcome
    data: Any


def wanted(prepared: TrainingData) -> bool:
    """Whether a second training is to follow."""
    return prepared.task.settings.batch.refit and prepared.valid is not None


def first_options(prepared: TrainingData) -> TrainingOptions:
    """Return the options of the first training: where a second one follows, each has half of the time."""
    options: TrainingOptions = prepared.task.settings.training
    if not wanted(prepared) or not options.max_time:
        return options
    return replace(options, max_time=f"{seconds_of(options.max_time) / 2:g}s")


def check_refit(prepared: TrainingData) -> None:
    """Check that the model can be trained a second time, without validation data.

    Raises:
        OptionError: an option needs validation data throughout, or the task cannot join its parts.
    """
    if wanted(prepared):
        check(prepared.task.objective(), _options(prepared, epochs=1), has_valid=False)
        if type(prepared.task).join is BaseTask.join:
            raise OptionError(f"refit is set, but {prepared.task.name} cannot join training and validation data")


def refit(
    prepared: TrainingData,
    first: Outcome,
    train: Callable[[TrainingData, TrainingOptions], tuple[nn.Module, Outcome]],
) -> Trained:
    """Train a new model on both parts, for as many epochs as the first: those up to its best if it stopped early.

    What was learnt from the training part (vocabulary, scaler, labels) stays.

    Args:
        prepared: the task and its data.
        first: the result of the first training.
        train: trains a new model on data, with options.
    """
    whole = prepared.task.join(prepared.train, prepared.valid)
    epochs = first.best_epoch if first.stopped == "early" else len(first.history)
    together = replace(prepared, train=whole, valid=None)
    return Trained(*train(together, _options(prepared, epochs=epochs)), whole)


def _options(prepared: TrainingData, epochs: int) -> TrainingOptions:
    options = first_options(prepared)
    return replace(options, epochs=epochs, max_steps=0, patience=0, min_delta=0.0, monitor="")
