"""From files to a run folder, and on from where a run was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from unroll.data.batches import Batches
from unroll.data.examples import Examples
from unroll.data.labels import Labels
from unroll.data.split import split
from unroll.errors import RunError
from unroll.models.many_to_one import ManyToOne
from unroll.options import flatten
from unroll.runs import ENCODER, METRICS, Run
from unroll.tasks.labelled import LabelledTask, described, label_kind
from unroll.tasks.learning import new_model, train
from unroll.tasks.records import Records, load_records
from unroll.tasks.report import Report, lines
from unroll.tasks.settings import Settings
from unroll.training.check import check
from unroll.training.history import read_table
from unroll.training.plots import plot_confusion, plot_curves, plot_gradients
from unroll.training.processes import is_main

Say = Callable[[str], None]
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Sources:
    """Where the data of a run is: training, validation (none: a share of the training data) and test data."""

    data: Sequence[str]
    valid: Sequence[str] = ()
    test: Sequence[str] = ()

    def absolute(self) -> dict[str, list[str]]:
        """As config.yaml keeps them: local paths no longer depend on the working folder."""
        return {"data": _absolute(self.data), "valid": _absolute(self.valid), "test": _absolute(self.test)}


@dataclass(frozen=True)
class Prepared:
    """A task that has learnt its training part, and every part as arrays."""

    task: LabelledTask
    train: Examples
    valid: Examples | None
    test: Examples | None


def prepare(name: str, settings: Settings, sources: Sources, say: Say) -> Prepared:
    """Read the data, split it, learn the vocabulary or scaler and the labels, and encode every part.

    Raises:
        UserError: the data or the options cannot be used.
    """
    regression = name == "regression"

    def records(data: Sequence[str]) -> Records:
        return load_records(list(data), settings, regression=regression, say=say)

    main = records(sources.data)
    held = records(sources.valid) if sources.valid else None
    last = records(sources.test) if sources.test else None
    settings = replace(settings, labelled=main.options)
    labels = Labels.learn(main.targets, label_kind(name, main.targets), where=main.where, rows=main.rows)
    targets = labels.encode(main.targets, where=main.where, rows=main.rows)
    share = 0.0 if held is not None else settings.batch.validation
    chosen, left = split(targets, share, settings.batch.seed)
    task = LabelledTask.learn(name, settings, labels, main.inputs(chosen), targets[chosen])
    parts: dict[str, Examples | None] = {"train": main.examples(task.encoder, targets[chosen], chosen)}
    parts["valid"] = main.examples(task.encoder, targets[left], left) if len(left) else None
    if held is not None:
        parts["valid"] = held.examples(task.encoder, labels.encode(held.targets, where=held.where, rows=held.rows))
    parts["test"] = None
    if last is not None:
        parts["test"] = last.examples(task.encoder, labels.encode(last.targets, where=last.where, rows=last.rows))
    return Prepared(task, **parts)  # pyright: ignore[reportArgumentType] (train is never None)


def fit(
    name: str,
    sources: Sources,
    settings: Settings,
    out: str | Path,
    *,
    overwrite: bool = False,
    say: Say = print,
) -> Report:
    """Train a model on files and leave a run folder.

    Returns the figures that metrics.json holds.

    Raises:
        UserError: the data, the options or the run folder cannot be used.
        Interrupted: a person stopped the training; the checkpoint is written.
    """
    run = Run.claim(out, overwrite=overwrite) if is_main() else Run(Path(out))
    prepared = prepare(name, settings, sources, say if is_main() else _silent)
    model = new_model(prepared.task, prepared.train)
    check(prepared.task.objective(), settings.training, has_valid=prepared.valid is not None)
    if is_main():
        run.begin()
        prepared.task.write(run)
        run.write_config(name, prepared.task.settings.flat(), sources.absolute())
    return _train(run, prepared, model, resume=False, say=say)


def resume(path: str | Path, *, say: Say = print) -> Report:
    """Go on with a training that was stopped, exactly where its last checkpoint stands.

    Raises:
        RunError: there is no such run, it has ended, it is damaged, or its data has changed.
    """
    run = Run.open(path, finished=False)
    if (run.path / "model.safetensors").exists():
        raise RunError(f"{path} has ended its training; to train again, fit with another --out")
    name, settings, where = described(run)
    try:
        sources = Sources(**where)
    except TypeError as error:
        raise RunError(f"{run.path / 'config.yaml'}: sources must hold data, valid and test") from error
    prepared = prepare(name, settings, sources, say if is_main() else _silent)
    if run.read(ENCODER) != prepared.task.encoder.to_json():
        raise RunError(f"the training data of {path} has changed since the run was started; it cannot go on exactly")
    return _train(run, prepared, new_model(prepared.task, prepared.train), resume=True, say=say)


def _train(run: Run, prepared: Prepared, model: ManyToOne, *, resume: bool, say: Say) -> Report:
    task, options = prepared.task, prepared.task.settings
    if is_main():
        _describe(prepared, model, say)
    outcome = train(
        task,
        model,
        prepared.train,
        prepared.valid,
        run.path,
        quiet=not is_main(),
        resume=resume,
        identity=_identity(prepared),
    )
    if not is_main():
        return {}
    metrics: Report = {
        "training": {
            "rows": len(prepared.train),
            "epochs": len(outcome.history),
            "best_epoch": outcome.best_epoch,
            "seconds": round(outcome.seconds, 3),
            "stopped": outcome.stopped,
            "warnings": list(outcome.warnings),
        }
    }
    for part, examples in (("validation", prepared.valid), ("test", prepared.test)):
        if examples is None:
            continue
        assert examples.targets is not None  # noqa: S101 (prepare always gives them)
        metrics[part] = task.report(task.answer(model.cpu(), examples), examples.targets)
    run.write_json(METRICS, metrics)
    plot_curves(outcome.history, run.path / "curves.png", monitor=outcome.monitor, best_epoch=outcome.best_epoch)
    table = read_table(run.path / "gradients.csv")
    plot_gradients(table, run.path / "gradients.png", clip_norm=options.training.clip_norm)
    shown = "test" if "test" in metrics else "validation"
    if "confusion" in metrics.get(shown, {}):
        plot_confusion(metrics[shown]["confusion"], task.labels.names, run.path / "confusion.png")
    for part in ("validation", "test"):
        if part in metrics:
            beside = f", weights of epoch {outcome.best_epoch}" if part == "validation" else ""
            say(f"\n{part} ({metrics[part]['rows']:,} rows{beside})")
            for line in lines(metrics[part], per_class=part == shown):
                say(f"  {line}")
    run.write_weights(model)
    say(f"\nthe run is in {run.path}")
    return metrics


def _identity(prepared: Prepared) -> str:
    """A hash of what a resumed training must find as it was: the options but the training's, and every example."""
    task = prepared.task
    ours = task.settings.flat()
    for name in flatten([task.settings.training]):
        del ours[name]
    found = hashlib.sha256(json.dumps([task.name, ours, task.encoder.to_json(), task.labels.to_json()]).encode())
    for examples in (prepared.train, prepared.valid):
        if examples is None:
            continue
        found.update(examples.lengths.tobytes())
        found.update(b"" if examples.targets is None else examples.targets.tobytes())
        for start in range(0, len(examples), _ROWS_AT_ONCE):
            for sequence in examples.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(examples)))):
                found.update(np.ascontiguousarray(sequence).tobytes())
    return found.hexdigest()


def _describe(prepared: Prepared, model: torch.nn.Module, say: Say) -> None:
    task, train_part = prepared.task, prepared.train
    parts = [f"{len(train_part):,} rows to train"]
    parts += [f"{len(e):,} to {w}" for w, e in (("validate", prepared.valid), ("test", prepared.test)) if e]
    lengths = train_part.lengths
    unit = "tokens" if task.takes_text else "steps"
    padding = Batches(train_part, task.settings.batch, shuffle=True).padding_share()
    say(
        f"{', '.join(parts)}; {int(lengths.min())} to {int(lengths.max())} {unit} a row"
        f" (median {int(statistics.median(lengths.tolist()))}), {padding:.1%} of the batches padding"
    )
    if task.takes_text:
        say(f"vocabulary: {task.encoder.size:,} entries ({task.settings.text.level} level)")  # pyright: ignore[reportAttributeAccessIssue]
    o = task.settings.model
    size = sum(p.numel() for p in model.parameters())
    both = "bidirectional " if o.bidirectional else ""
    say(
        f"model: {o.layers} {both}{o.recurrence.upper()} layer{'s' * (o.layers > 1)} of {o.hidden}, {size:,} parameters"
    )


def _absolute(data: Sequence[str]) -> list[str]:
    return [os.path.abspath(d) if any(c in d for c in "*?[") or os.path.exists(d) else d for d in data]


def _silent(_: str) -> None:
    pass
