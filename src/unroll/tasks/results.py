"""Evaluate a trained model, and write what its run folder holds beside the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unroll.runs import METRICS, Run
from unroll.tasks.base import Log, Report, TrainingData
from unroll.tasks.describe import counted
from unroll.tasks.predictions import Predictions
from unroll.tasks.readme import write_readme
from unroll.tasks.refit import Trained
from unroll.tasks.registry import entry
from unroll.training.history import read_table
from unroll.training.plots import plot_curves, plot_gradients
from unroll.training.status import Status


def write_results(
    run: Run, prepared: TrainingData, first: Trained, final: Trained, *, slim: bool, full: bool = False, say: Log
) -> Report:
    """Evaluate a trained model on validation and test data, and complete its run folder.

    Args:
        run: the folder.
        prepared: the task and its data.
        first: the model that the validation data was held out from.
        final: the model to keep, which the test data is for: the same, or one trained on the validation data too.
        slim: leave no checkpoints.
        full: print all rows of long tables.
        say: called with each line of the report.
    """
    task, outcome = prepared.task, first.outcome
    task.calibrate(first.model.cpu().eval(), prepared, final.model)
    with Status("evaluating the model"):
        figures, listed = _evaluate(prepared, first, final)
        metrics = {"training": _training(prepared, first, final), **figures}
        run.write_json(METRICS, metrics)
        plot_curves(outcome.history, run.path / "curves.png", monitor=outcome.monitor, best_epoch=outcome.best_epoch)
        table = read_table(run.path / "gradients.csv")
        plot_gradients(table, run.path / "gradients.png", max_grad_norm=task.settings.training.max_grad_norm)
        shown = "test" if "test" in metrics else "validation"
        task.save_plots(run, (final if shown == "test" else first).model, prepared, metrics)
    for part in ("validation", "test"):
        if part in metrics:
            beside = f", weights of epoch {outcome.best_epoch}" if part == "validation" else ""
            say(f"\n{part} ({counted(metrics[part])}{beside})")
            for line in task.format_report(metrics[part], full=part == shown, every=full):
                say(f"  {line}")
    if final is not first:
        epochs = len(final.outcome.history)
        say(f"\ntrained again on {counted(task.counts(final.data))}, those of validation too, for {epochs} epochs")
    if listed is not None:
        with Status("writing the predictions"):
            listed.write(run)
    run.write_weights(final.model.cpu())
    write_readme(run, prepared, metrics, slim=slim)
    run.finish(entry(task.name).state)
    if slim:
        run.remove_checkpoints()
    say(f"\nthe run is in {run.path}")
    return metrics


def _training(prepared: TrainingData, first: Trained, final: Trained) -> Report:
    """Describe the training: sizes, epochs, time, warnings."""
    task, outcome = prepared.task, first.outcome
    again: Report = {}
    if final is not first:
        sizes = task.counts(final.data)
        epochs, seconds = len(final.outcome.history), round(final.outcome.seconds, 3)
        again = {"refit": {**sizes, "epochs": epochs, "seconds": seconds}}
    return {
        **task.counts(prepared.train),
        "epochs": len(outcome.history),
        "best_epoch": outcome.best_epoch,
        "seconds": round(outcome.seconds, 3),
        "stopped": outcome.stopped,
        "warnings": list(outcome.warnings),
        **again,
    }


def _evaluate(prepared: TrainingData, first: Trained, final: Trained) -> tuple[dict[str, Report], Predictions | None]:
    """Compute the metrics of the validation and the test part, with those of a baseline fitted on the same data.

    Also list the predictions of the last of these parts.
    """
    task, metrics, listed = prepared.task, {}, None
    shown = prepared.valid if prepared.test is None else prepared.test
    baselines: dict[int, Callable[[Any], Report] | None] = {}
    for name, part, trained in (("validation", prepared.valid, first), ("test", prepared.test, final)):
        if part is None:
            continue
        model = trained.model.cpu().eval()
        if part is shown:
            metrics[name], listed = task.evaluate_and_list(model, part, prepared.shown)
        else:
            metrics[name] = task.evaluate(model, part)
        if id(trained.data) not in baselines:
            baselines[id(trained.data)] = task.fit_baseline(trained.data)
        baseline = baselines[id(trained.data)]
        if baseline is not None:
            metrics[name]["baselines"] = baseline(part)
    return metrics, listed
