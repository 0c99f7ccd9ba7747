"""Registry of tasks by name. Classes are imported only when needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unroll.errors import OptionError, nearest

if TYPE_CHECKING:
    from unroll.tasks.base import BaseTask
    from unroll.tasks.settings import Settings

_ROWS = (
    "CSV, TSV, JSON lines, Parquet, .npz or .xlsx files (also .gz, .xz, .zst), a folder with a folder of text files or"
    " a file of lines per class, or a hub name."
)


@dataclass(frozen=True)
class Flag:
    """Define a command-line flag that is specific to one task.

    Attributes:
        name: of the function argument.
        kind: type of its value; None: names of files, one or more.
        text: help text.
    """

    name: str
    kind: type | None
    text: str


@dataclass(frozen=True)
class TaskSpec:
    """Define a task of the registry.

    Attributes:
        text: what it does, in a sentence.
        data: accepted data, for the help.
        settings, task, predictor: classes of its options, of the task, and of predictors for trained runs; each a
            class, or `module:Class`, imported when needed.
        state: files of a run with what the task has learnt.
        plots: the task's plots, in addition to those of every training.
        predict_flags, evaluate_flags: flags that `unroll predict` and `unroll evaluate` pass to the predictor's
            `predict_files` and `evaluate`.
    """

    text: str
    data: str
    settings: str | type
    task: str | type
    predictor: str | type
    state: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    predict_flags: tuple[Flag, ...] = ()
    evaluate_flags: tuple[Flag, ...] = ()

    def load_settings(self) -> type[Settings]:
        """Import the settings class; does not import PyTorch."""
        return _load(self.settings)

    def load_task(self) -> type[BaseTask[Any, Any]]:
        """Import the task class."""
        return _load(self.task)

    def load_predictor(self) -> Any:
        """Import the predictor class, which is created with the task and the model."""
        return _load(self.predictor)


TASKS = {
    "classification": TaskSpec(
        "Train a classifier: a label, or several, for each text or numeric sequence.",
        _ROWS,
        "unroll.tasks.classification.options:ClassificationSettings",
        "unroll.tasks.classification.task:ClassificationTask",
        "unroll.serving.predictor:RecordPredictor",
        ("encoder.json", "labels.json"),
        ("confusion.png",),
    ),
    "regression": TaskSpec(
        "Train a regressor: a number, or several, for each text or numeric sequence.",
        _ROWS,
        "unroll.tasks.classification.options:ClassificationSettings",
        "unroll.tasks.classification.task:ClassificationTask",
        "unroll.serving.predictor:RecordPredictor",
        ("encoder.json", "labels.json"),
        ("confusion.png",),
    ),
    "language-model": TaskSpec(
        "Train a language model: the next token of a text, or tokens that were masked.",
        "Text files of any size (also .gz, .xz, .zst), or CSV, TSV, JSON lines or Parquet files, or a hub name, with a"
        " column of text.",
        "unroll.tasks.language_modeling.options:LanguageSettings",
        "unroll.tasks.language_modeling.task:LanguageTask",
        "unroll.serving.language_model:LanguagePredictor",
        ("encoder.json", "frequencies.json"),
        evaluate_flags=(
            Flag("dynamic_rate", float, "Go on learning at this rate from each window, once it has been scored."),
            Flag("dynamic_decay", float, "After each such step go back this share of the way to the trained weights."),
        ),
    ),
    "tagging": TaskSpec(
        "Train a tagger: a tag for each token of a sentence, such as parts of speech or names.",
        "CoNLL column files, CoNLL-U, or JSON lines (Parquet, ...) of token lists and tag lists; also .gz, .xz, .zst.",
        "unroll.tasks.tagging.options:TaggingSettings",
        "unroll.tasks.tagging.task:TaggingTask",
        "unroll.serving.predictor:RecordPredictor",
        ("encoder.json", "tags.json"),
        ("confusion.png",),
    ),
    "translation": TaskSpec(
        "Train a translator, or whatever else turns one text into another.",
        "CSV, TSV, JSON lines, Parquet or .xlsx files (also .gz, .xz, .zst) with a column of sources and one of"
        " targets; a hub name; or plain text files aligned line by line, such as train.en train.de.",
        "unroll.tasks.translation.options:TranslationSettings",
        "unroll.tasks.translation.task:TranslationTask",
        "unroll.serving.translator:TranslationPredictor",
        ("encoder.json", "target.json"),
        ("alignment.png",),
        predict_flags=(
            Flag("beam", int, "Candidates at a time; 1 takes the likeliest token at each step."),
            Flag("length_penalty", float, "Higher ones favour longer texts; see the option of fit."),
            Flag("n_best", int, "Texts for each row, best first."),
            Flag("prefix", str, "Text that every translation begins with."),
            Flag("alignment", bool, "Give tokens, their log-probabilities and attention weights too: true or false."),
            Flag("ensemble", None, "Run folders that answer together with this one, with the same vocabularies."),
        ),
    ),
    "forecasting": TaskSpec(
        "Train a forecaster: the next steps of one or many series.",
        "CSV, TSV, JSON lines or Parquet files (also .gz, .xz, .zst) of series, wide or long, with a column of times.",
        "unroll.tasks.forecasting.options:ForecastingSettings",
        "unroll.tasks.forecasting.task:ForecastingTask",
        "unroll.serving.forecaster:ForecastPredictor",
        ("scaler.json",),
        ("forecast.png", "horizon.png"),
        predict_flags=(
            Flag("horizon", int, "Steps to forecast, if not as many as were trained; each is a line."),
            Flag("future_covariates", None, "Rows with the future covariates of the times to come."),
            Flag("samples", int, "Draw this many sample paths."),
        ),
    ),
}


def run_files() -> set[str]:
    """List the files that tasks write into a run folder, in addition to those of every run."""
    return {name for task in TASKS.values() for name in (*task.state, *task.plots)}


def entry(name: str) -> TaskSpec:
    """Look up a task by name.

    Raises:
        OptionError: there is none; the message suggests the nearest name.
    """
    if name not in TASKS:
        raise OptionError(f"there is no task '{name}'{nearest(name, TASKS)}")
    return TASKS[name]


def _load(where: str | type) -> Any:
    if isinstance(where, type):
        return where
    module, name = where.split(":")
    return getattr(import_module(module), name)
