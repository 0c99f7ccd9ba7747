"""Write the README.md of a run folder: what the run is, how good it is, and how to use it."""

from __future__ import annotations

import datetime
import json
import os
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from unroll.runs import CHECKPOINTS, CONFIG, METRICS, PREDICTIONS, README, WEIGHTS, WORST, Run
from unroll.tasks.base import Report, TrainingData
from unroll.tasks.describe import counted
from unroll.tasks.registry import entry

_FILES = {
    WEIGHTS: "the weights of the model",
    CONFIG: "every option, and the names of the data",
    "encoder.json": "the vocabulary, or the scaler of the inputs",
    "labels.json": "the labels or targets",
    "tags.json": "the tags",
    "frequencies.json": "how often each token stands in the training part",
    "scaler.json": "columns, frequency and scale of the series",
    METRICS: "every figure of the report, with those of the baselines",
    PREDICTIONS: "the predictions for the {shown} part, beside the truth",
    WORST: "the worst errors of the {shown} part, the worst first",
    "history.csv": "loss and metrics by epoch",
    "curves.png": "the same as a picture",
    "gradients.csv": "the norm of the gradient by step and layer",
    "gradients.png": "the same as a picture",
    "confusion.png": "true and predicted classes of the {shown} part",
    "forecast.png": "the last forecasts of the {shown} part, beside the truth",
    "horizon.png": "the error by steps ahead",
    "refit": "history of the second training, on training and validation data",
    "tensorboard": "the training's curves for TensorBoard",
    CHECKPOINTS: "states of the training; no longer needed",
    "manifest.json": "sizes and checksums of the files that are read back",
}


def write_readme(run: Run, prepared: TrainingData, metrics: Report, *, slim: bool) -> None:
    """Write README.md; the run's other files, but for its manifest, are there already.

    With `slim` the checkpoints will be removed.

    Raises:
        RunError: it cannot be written.
    """
    run.write(README, "\n".join(_lines(run, prepared, metrics, slim=slim)) + "\n")


def _lines(run: Run, prepared: TrainingData, metrics: Report, *, slim: bool) -> Iterator[str]:
    task, name = prepared.task, run.path.resolve().name
    sources = run.config()["sources"]
    day = datetime.datetime.now().astimezone().date().isoformat()
    yield f"# {name}"
    yield ""
    yield f"A {task.name} run, trained on {day} with unroll {version('unroll')}. {entry(task.name).text}"
    yield from ("", "## Data", "")
    for part, files in (("data", "training"), ("valid", "validation"), ("test", "test")):
        if sources[part]:
            yield f"- {files}: {', '.join(f'`{file}`' for file in sources[part])}"
    yield f"- {task.describe_parts(prepared)}"
    trained = metrics["training"]
    epochs = f"{trained['epochs']} epoch{'s' * (trained['epochs'] != 1)}"
    kept = f"the weights are those of epoch {trained['best_epoch']}"
    if again := trained.get("refit"):
        kept = f"then again on {counted(again)}, those of validation too, which is the model that was kept"
    yield f"- {epochs}, {trained['seconds']:.0f} s; {kept}"
    yield from ("", "## Options", "", "Those that are not at their defaults; `config.yaml` has all.", "")
    for option, value in task.settings.changed().items():
        yield f"- `{option}`: {_shown(value)}"
    shown = "test" if "test" in metrics else "validation"
    for part in ("test", "validation"):
        if part in metrics:
            yield from ("", f"## Figures of the {part} part ({counted(metrics[part])})", "", "```text")
            yield from task.format_report(metrics[part], full=part == shown)
            yield "```"
    if trained["warnings"]:
        yield from ("", "## Warnings of the training", "", *(f"- {line}" for line in trained["warnings"]))
    yield from ("", "## Files", "", "| file | content |", "|---|---|")
    for file, text in _FILES.items():
        if slim and file == CHECKPOINTS:
            continue
        if file == "manifest.json" or os.path.lexists(run.path / file):
            yield f"| `{file}` | {text.format(shown=shown)} |"
    yield from ("", "## Use", "", "In the folder that holds this one:", "")
    yield from _use(prepared, shlex.quote(name), sources)


def _use(prepared: TrainingData, name: str, sources: dict[str, list[str]]) -> Iterator[str]:
    suffixes = "".join(Path(sources["data"][0]).suffixes[-2:] if sources["data"] else [])
    new = f"new{suffixes}" if suffixes and len(suffixes) <= 12 else "DATA"
    quoted = json.dumps(shlex.split(name)[0], ensure_ascii=False)
    commands, lines = prepared.task.example_use(name, new)
    yield "```console"
    yield from (f"$ {line}" for line in (*commands, f"unroll evaluate {name} {new.replace('new', 'held-out')}"))
    yield from (
        "```",
        "",
        "```python",
        "import unroll",
        "",
        f"predictor = unroll.load({quoted})",
    )
    yield from lines
    yield "```"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"`{value}`" if isinstance(value, str) else str(value)
