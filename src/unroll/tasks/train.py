"""Train a task's model from files to a run folder, or resume an interrupted training."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unroll.data.files.early import check_files
from unroll.errors import DataError, OptionError, RunError
from unroll.runs import CONFIG, Run
from unroll.tasks import refit
from unroll.tasks.base import BaseTask, DataPaths, Log, Report, TrainingData, ignore
from unroll.tasks.refit import Trained
from unroll.tasks.registry import entry, run_files
from unroll.tasks.results import write_results
from unroll.tasks.settings import Settings
from unroll.training.check import check
from unroll.training.distributed import is_main
from unroll.training.loop import Outcome, conclude, fit
from unroll.training.options import TrainingOptions
from unroll.training.status import Status, say_line


def new_model(prepared: TrainingData) -> nn.Module:
    """Build the task's model for training; sets PyTorch's random state to the seed.

    Raises:
        OptionError: the model is too large for the memory.
    """
    torch.manual_seed(prepared.task.settings.batch.seed)
    try:
        return prepared.task.network(prepared.train)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise OptionError(
            "the model does not fit into memory; make hidden_size, num_layers or embedding_dim smaller"
        ) from error


def train(
    prepared: TrainingData, model: nn.Module, folder: Path, *, quiet: bool, resume: bool = False, identity: str = ""
) -> tuple[Outcome, Trained | None]:
    """Train `model` on the training part with the task's settings; see `unroll.training.loop.fit`.

    Returns:
        The result, and with `refit` a model trained again on training and validation data.
    """

    def run(prepared: TrainingData, model: nn.Module, options: TrainingOptions, folder: Path) -> Outcome:
        return _fit(prepared, model, options, folder, quiet=quiet, resume=resume, identity=identity)

    def again(prepared: TrainingData, options: TrainingOptions) -> tuple[nn.Module, Outcome]:
        second = new_model(prepared)
        return second, run(prepared, second, options, folder / refit.FOLDER)

    outcome = run(prepared, model, refit.first_options(prepared), folder)
    return outcome, refit.refit(prepared, outcome, again) if refit.wanted(prepared) else None


def _fit(prepared: TrainingData, model: nn.Module, options: TrainingOptions, folder: Path, **arguments: Any) -> Outcome:
    task = prepared.task
    return fit(
        model,
        task.objective(prepared.train),
        task.batches(prepared.train, training=True),
        None if prepared.valid is None else task.batches(prepared.valid, training=False),
        options,
        folder,
        seed=task.settings.batch.seed,
        **arguments,
    )


def train_from_files(
    name: str,
    sources: DataPaths,
    settings: Settings,
    out: str | Path,
    *,
    overwrite: bool = False,
    slim: bool = False,
    full: bool = False,
    say: Log = say_line,
) -> Report:
    """Train a model on files and save it as a run folder.

    `slim` leaves no checkpoints in it at the end; `full` prints all rows of long tables.

    Returns the metrics, as saved in metrics.json.

    Raises:
        UserError: the data, the options or the run folder cannot be used.
        Interrupted: the user stopped the training; the checkpoint is written.
    """
    run = Run.claim(out, files=run_files(), overwrite=overwrite) if is_main() else Run(Path(out))
    with Status("reading the data") as status:
        prepared = entry(name).load_task().prepare(name, settings, sources, status.around(say) if is_main() else ignore)
    model = new_model(prepared)
    check(prepared.task.objective(), prepared.task.settings.training, has_valid=prepared.valid is not None)
    refit.check_refit(prepared)
    with _writing(run, say):
        if is_main():
            Run.claim(
                out, files=run_files(), overwrite=overwrite, held=True
            ).begin()  # another run may have claimed it since
            prepared.task.save(run)
            where = {f.name: list(map(str, getattr(sources, f.name))) for f in fields(DataPaths)}
            run.write_config(name, prepared.task.settings.flat(), where)
        return _train(run, prepared, model, resume=False, slim=slim, full=full, say=say)


def resume(path: str | Path, *, slim: bool = False, say: Log = say_line) -> Report:
    """Resume an interrupted training exactly from its last checkpoint; `slim` leaves no checkpoints at the end.

    Raises:
        RunError: there is no such run, it has ended, it is damaged, or its data has changed.
    """
    with _reopened(path, "it cannot go on exactly", say) as (run, prepared):
        return _train(run, prepared, new_model(prepared), resume=True, slim=slim, say=say)


def finish(path: str | Path, *, slim: bool = False, say: Log = say_line) -> Report:
    """End a training that was stopped: its best weights so far become the run's model, with the figures of a run.

    `slim` leaves no checkpoints.

    Raises:
        RunError: there is no such run, it has ended, it has no checkpoint, or its data has changed.
    """
    with _reopened(path, "the figures would not fit", say) as (run, prepared):
        model, task = new_model(prepared), prepared.task
        objective, has_valid = task.objective(prepared.train), prepared.valid is not None
        outcome = conclude(model, objective, task.settings.training, run.path, has_valid=has_valid)
        epochs = len(outcome.history)
        for line in task.describe_data(prepared):
            say(line)
        say(f"ended after {epochs} epoch{'s' * (epochs != 1)} and {outcome.steps:,} steps")
        trained = Trained(model, outcome, prepared.train)
        return write_results(run, prepared, trained, trained, slim=slim, say=say)


@contextlib.contextmanager
def _reopened(path: str | Path, otherwise: str, say: Log) -> Iterator[tuple[Run, TrainingData]]:
    """Lock a run that has not ended, and read its data with its options.

    Raises:
        RunError: there is no such run, it has ended, it is damaged, or its data has changed and, as `otherwise` says,
            it is of no use.
    """
    run = Run.open(path, finished=False)
    _require_unfinished(run)
    with _writing(run, say):
        _require_unfinished(run)  # it may have ended since
        config = run.config()
        chosen = entry(config["task"])
        settings = chosen.load_settings().from_flat(config["options"], str(run.path / CONFIG), every=True)
        try:
            sources = DataPaths(**config["sources"])
        except TypeError as error:
            raise RunError(f"{run.path / CONFIG}: sources must hold data, valid and test") from error
        _require_data(run, sources, settings)
        with Status("reading the data") as status:
            prepared = chosen.load_task().prepare(
                config["task"], settings, sources, status.around(say) if is_main() else ignore
            )
        if not _as_written(run, prepared.task):
            raise RunError(f"the training data of {path} has changed since the run was started; {otherwise}")
        yield run, prepared


@contextlib.contextmanager
def _writing(run: Run, say: Log) -> Iterator[None]:
    """Lock the run folder against other trainings; only the main process does so."""
    if not is_main():
        yield
        return
    with run.writing() as note:
        if note:
            say(note)
        yield


def _require_unfinished(run: Run) -> None:
    if run.ended:
        raise RunError(f"{run.path} has ended its training; to train again, fit with another --out")


def _require_data(run: Run, sources: DataPaths, settings: Settings) -> None:
    """Check that a run's data is there, by the names that it was started with.

    Raises:
        RunError: it is not.
    """
    try:
        names = [*sources.data, *sources.valid, *sources.test]
        check_files(names, (), settings.source, aligned=settings.aligned())
    except DataError as error:
        if any(os.path.exists(name) for name in sources.data):
            raise
        raise RunError(
            f"{error}; {run.path} names its data as `unroll fit` was given it, so go on from the folder where that was"
            " called"
        ) from error


def _train(
    run: Run, prepared: TrainingData, model: nn.Module, *, resume: bool, slim: bool, full: bool = False, say: Log
) -> Report:
    task = prepared.task
    if is_main():
        for line in task.describe(prepared, model):
            say(line)
        for line in task.remarks(prepared):
            say(f"note: {line}")
    identity = _identity(prepared)
    outcome, final = train(prepared, model, run.path, quiet=not is_main(), resume=resume, identity=identity)
    first = Trained(model, outcome, prepared.train)
    return write_results(run, prepared, first, final or first, slim=slim, full=full, say=say) if is_main() else {}


def _as_written(run: Run, task: BaseTask[Any, Any]) -> bool:
    """Tell whether the task's learnt state equals the run's files."""
    with tempfile.TemporaryDirectory(prefix="unroll-") as folder:
        again = Run(Path(folder))
        task.save(again)
        return all(run.read(file.name) == again.read(file.name) for file in again.path.iterdir())


def _identity(prepared: TrainingData) -> str:
    """Hash everything that must be unchanged to resume: all options except the training's, and every example."""
    task = prepared.task
    ours = task.settings.flat()
    for field in fields(TrainingOptions):
        ours.pop(field.name, None)
    digest = hashlib.sha256(json.dumps([task.name, ours]).encode())
    for part in (prepared.train, prepared.valid):
        if part is not None:
            for piece in task.fingerprint(part):
                digest.update(piece)
    return digest.hexdigest()
