"""Train a task's model from files to a run folder, or resume an interrupted training."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unroll.errors import OptionError, RunError
from unroll.runs import CONFIG, METRICS, Run
from unroll.tasks.base import BaseTask, DataPaths, Log, Report, TrainingData, counted, ignore
from unroll.tasks.registry import entry, run_files
from unroll.tasks.settings import Settings
from unroll.training.check import check
from unroll.training.distributed import is_main
from unroll.training.history import read_table
from unroll.training.loop import Outcome, conclude, fit
from unroll.training.options import TrainingOptions
from unroll.training.plots import plot_curves, plot_gradients


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
) -> Outcome:
    """Train `model` on the training part with the task's settings; see `unroll.training.loop.fit`."""
    task = prepared.task
    return fit(
        model,
        task.objective(prepared.train),
        task.batches(prepared.train, training=True),
        None if prepared.valid is None else task.batches(prepared.valid, training=False),
        task.settings.training,
        folder,
        resume=resume,
        seed=task.settings.batch.seed,
        quiet=quiet,
        identity=identity,
    )


def train_from_files(
    name: str,
    sources: DataPaths,
    settings: Settings,
    out: str | Path,
    *,
    overwrite: bool = False,
    say: Log = print,
) -> Report:
    """Train a model on files and save it as a run folder.

    Returns the metrics, as saved in metrics.json.

    Raises:
        UserError: the data, the options or the run folder cannot be used.
        Interrupted: the user stopped the training; the checkpoint is written.
    """
    run = Run.claim(out, files=run_files(), overwrite=overwrite) if is_main() else Run(Path(out))
    prepared = entry(name).load_task().prepare(name, settings, sources, say if is_main() else ignore)
    model = new_model(prepared)
    check(prepared.task.objective(), prepared.task.settings.training, has_valid=prepared.valid is not None)
    with _writing(run, say):
        if is_main():
            Run.claim(
                out, files=run_files(), overwrite=overwrite, held=True
            ).begin()  # another run may have claimed it since
            prepared.task.save(run)
            where = {f.name: _absolute(getattr(sources, f.name)) for f in fields(DataPaths)}
            run.write_config(name, prepared.task.settings.flat(), where)
        return _train(run, prepared, model, resume=False, say=say)


def resume(path: str | Path, *, say: Log = print) -> Report:
    """Resume an interrupted training exactly from its last checkpoint.

    Raises:
        RunError: there is no such run, it has ended, it is damaged, or its data has changed.
    """
    with _reopened(path, "it cannot go on exactly", say) as (run, prepared):
        return _train(run, prepared, new_model(prepared), resume=True, say=say)


def finish(path: str | Path, *, say: Log = print) -> Report:
    """End a training that was stopped: its best weights so far become the run's model, with the figures of a run.

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
        return _report(run, prepared, model, outcome, say)


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
        prepared = chosen.load_task().prepare(config["task"], settings, sources, say if is_main() else ignore)
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


def _train(run: Run, prepared: TrainingData, model: nn.Module, *, resume: bool, say: Log) -> Report:
    task = prepared.task
    if is_main():
        for line in task.describe(prepared, model):
            say(line)
        for line in task.remarks(prepared):
            say(f"note: {line}")
    outcome = train(prepared, model, run.path, quiet=not is_main(), resume=resume, identity=_identity(prepared))
    return _report(run, prepared, model, outcome, say) if is_main() else {}


def _report(run: Run, prepared: TrainingData, model: nn.Module, outcome: Outcome, say: Log) -> Report:
    """Evaluate a trained model, and write all that its run folder holds."""
    task = prepared.task
    metrics: Report = {
        "training": {
            **task.counts(prepared.train),
            "epochs": len(outcome.history),
            "best_epoch": outcome.best_epoch,
            "seconds": round(outcome.seconds, 3),
            "stopped": outcome.stopped,
            "warnings": list(outcome.warnings),
        }
    }
    model.cpu().eval()
    task.calibrate(model, prepared)
    parts = {"validation": prepared.valid, "test": prepared.test}
    parts = {name: part for name, part in parts.items() if part is not None}
    baseline = task.fit_baseline(prepared.train) if parts else None
    for name, part in parts.items():
        metrics[name] = task.evaluate(model, part)
        if baseline is not None:
            metrics[name]["baselines"] = baseline(part)
    run.write_json(METRICS, metrics)
    plot_curves(outcome.history, run.path / "curves.png", monitor=outcome.monitor, best_epoch=outcome.best_epoch)
    table = read_table(run.path / "gradients.csv")
    plot_gradients(table, run.path / "gradients.png", max_grad_norm=task.settings.training.max_grad_norm)
    task.save_plots(run, model, prepared, metrics)
    shown = "test" if "test" in metrics else "validation"
    for part in ("validation", "test"):
        if part in metrics:
            beside = f", weights of epoch {outcome.best_epoch}" if part == "validation" else ""
            say(f"\n{part} ({counted(metrics[part])}{beside})")
            for line in task.format_report(metrics[part], full=part == shown):
                say(f"  {line}")
    run.write_weights(model)
    run.finish(entry(task.name).state)
    say(f"\nthe run is in {run.path}")
    return metrics


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


def _absolute(data: Sequence[str]) -> list[str]:
    return [os.path.abspath(d) if any(c in d for c in "*?[") or os.path.exists(d) else d for d in data]
