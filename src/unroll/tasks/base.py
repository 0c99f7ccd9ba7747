"""Base classes of tasks: the interface to implement, and the shared methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from unroll.tasks.describe import counted, parameters, recurrent_layers

if TYPE_CHECKING:
    from torch import nn

    from unroll.data.batches import BatchSource
    from unroll.data.options import SourceOptions
    from unroll.runs import Run
    from unroll.tasks.predictions import Predictions
    from unroll.tasks.settings import Settings
    from unroll.training.objective import Objective

Log = Callable[[str], None]
Report = dict[str, Any]
"""Metrics by name, all JSON values. The first entry is the size of the data: `{"rows": 360, ...}`."""

R = TypeVar("R")
P = TypeVar("P", bound="Part")


class Part(Protocol):
    """Encoded data: rows, sentences, a stream of tokens, windows over series. Opaque to all but its task."""

    def fingerprint(self) -> Iterable[bytes | memoryview]:
        """Yield the bytes of everything that affects training, for a hash."""
        ...


@dataclass(frozen=True)
class DataPaths:
    """Paths of a run's training, validation (none: a share of the training data) and test data."""

    data: Sequence[str]
    valid: Sequence[str] = ()
    test: Sequence[str] = ()


@dataclass(frozen=True)
class TrainingData:
    """Hold a fitted task, its encoded training, validation and test parts, and the records that a report is on."""

    task: BaseTask[Any, Any]
    train: Any
    valid: Any | None
    test: Any | None
    shown: Any | None = None
    """The records, as `BaseTask.read` returns them, of the test part, or of the validation part if there is none."""


def ignore(_: str) -> None:
    """Log nothing."""


class BaseTask(ABC, Generic[R, P]):
    """Base class of tasks: encode records to batches, build model and loss, and decode outputs.

    A subclass defines how to read data (`read`), learn from the training part (`learn`), encode records (`encode`),
    batch them (`batches`), build the model (`network`), compute loss and metrics (`objective`), evaluate a model
    (`evaluate`), and save and load what was learnt (`state`, `from_run`). This class implements the rest.

    Type parameters: R, the usable records; P, the same encoded.

    Attributes:
        name: as in the registry.
        settings: every option, resolved.
    """

    settings: Any

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings

    @classmethod
    @abstractmethod
    def read(cls, name: str, settings: Any, data: Any, say: Log, known: Any = None) -> R:
        """Read data and keep its usable records.

        Args:
            name: of the task.
            settings: every option.
            data: names of files or of hub data, or a table (`data.tables`).
            say: called with notes on what was left out.
            known: the training records, or the task fitted on them, when reading other data; its `labels` are used.

        Raises:
            DataError: the data cannot be used.
        """

    @classmethod
    @abstractmethod
    def learn(cls, name: str, settings: Any, train: R, valid: R | None, say: Log) -> Self:
        """Learn vocabulary, labels or scaler from the training records.

        Raises:
            UserError: the records or the options cannot be used.
        """

    @abstractmethod
    def encode(self, records: R) -> P:
        """Encode records as arrays."""

    @abstractmethod
    def batches(self, part: P, *, training: bool) -> BatchSource:
        """Return a part's batches, in training order or in validation order."""

    @abstractmethod
    def network(self, training: P | None = None) -> nn.Module:
        """Build a new model; `training` is the training part, given if the model is to be trained."""

    @abstractmethod
    def objective(self, training: P | None = None) -> Objective:
        """Return loss and metrics."""

    @abstractmethod
    def evaluate(self, network: Any, part: P) -> Report:
        """Compute every metric on a part, for the model and a baseline."""

    def calibrate(self, network: Any, prepared: TrainingData, final: Any) -> None:
        """Adjust the trained model on the validation part, such as its intervals, and `final` as it; by default not."""

    def fit_baseline(self, train: P) -> Callable[[P], Report] | None:
        """Fit a strong baseline on the training part; return the metrics it has on a part. None: there is none."""
        return None

    def evaluate_and_list(self, network: Any, part: P, records: Any) -> tuple[Report, Predictions | None]:
        """Do as `evaluate`, and list predictions beside the truth and the worst errors; by default None.

        `records` are those that the part was encoded from.
        """
        return self.evaluate(network, part), None

    def example_use(self, run: str, data: str) -> tuple[list[str], list[str]]:
        """Return commands and lines of Python that use the run; `data` is the name of a file."""
        return [], [f'print(predictor.evaluate("{data}"))']

    @abstractmethod
    def format_report(self, report: Report, *, full: bool = True, every: bool = False) -> list[str]:
        """Format the report as lines of text; `full` includes its tables, `every` all rows of long ones."""

    @abstractmethod
    def counts(self, part: P) -> dict[str, int]:
        """Count the rows, tokens or windows of a part; messages show the first count."""

    @abstractmethod
    def state(self) -> dict[str, str]:
        """Return what was learnt, as files: name -> content."""

    @classmethod
    @abstractmethod
    def from_run(cls, run: Run) -> Self:
        """Read the task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """

    def learn_encoded(self, train: P) -> Self:
        """Learn from the encoded training part, such as token frequencies; by default nothing."""
        return self

    @classmethod
    def split(cls, settings: Any, records: R) -> tuple[R, R | None]:
        """Split training records into a training and a validation part; by default all are for training.

        Raises:
            DataError: there are too few.
        """
        return records, None

    def join(self, train: P, valid: P) -> P:
        """Join the training and the validation part, for a training on both; a task without it refuses `refit`."""
        raise NotImplementedError

    def summary(self) -> str:
        """Describe in one line what a trained model answers, such as its labels or its horizon."""
        return self.name

    def describe_data(self, prepared: TrainingData) -> Iterator[str]:
        """Describe the training data and what was learnt from it, before the training starts."""
        yield self.describe_parts(prepared)

    def remarks(self, prepared: TrainingData) -> Iterator[str]:
        """Say what looks wrong with the data or the options, and what to do, before the training starts."""
        yield from ()

    def save_plots(self, run: Run, network: Any, prepared: TrainingData, metrics: Report) -> None:
        """Save the task's plots to the run folder; by default none."""

    @classmethod
    def prepare(cls, name: str, settings: Any, sources: DataPaths, say: Log) -> TrainingData:
        """Read the data, split it, learn from the training part, and encode every part.

        Raises:
            UserError: the data or the options cannot be used.
        """
        main = cls.read(name, settings, sources.data, say)
        valid = cls.read(name, settings, sources.valid, say, main) if sources.valid else None
        test = cls.read(name, settings, sources.test, say, main) if sources.test else None
        return cls.prepare_records(name, settings, main, valid, test, say)

    @classmethod
    def prepare_records(
        cls, name: str, settings: Any, main: R, valid: R | None = None, test: R | None = None, say: Log = ignore
    ) -> TrainingData:
        """Prepare records already read; a share of `main` is held out if `valid` is not given.

        Raises:
            UserError: the records or the options cannot be used.
        """
        train, valid = cls.split(settings, main) if valid is None else (main, valid)
        task = cls.learn(name, settings, train, valid, say)
        part = task.encode(train)
        others = [None if records is None else task.encode(records) for records in (valid, test)]
        return TrainingData(task.learn_encoded(part), part, *others, shown=valid if test is None else test)

    def load(self, data: Any, source: SourceOptions, say: Log) -> P:
        """Read and encode new labelled data: names of files or of hub data, or a table (`data.tables`).

        Raises:
            DataError: it cannot be used.
        """
        return self.encode(self.read_new(data, source, say))

    def read_new(self, data: Any, source: SourceOptions, say: Log) -> R:
        """Read new data, with the columns and labels of the training data; see `read`."""
        return self.read(self.name, replace(self.settings, source=source), data, say, self)

    def save(self, run: Run) -> None:
        """Write the files that `from_run` needs in addition to config.yaml."""
        for file, content in self.state().items():
            run.write(file, content)

    def fingerprint(self, part: P) -> Iterator[bytes | memoryview]:
        """Yield the bytes of a part and of what was learnt, which must be unchanged to resume training."""
        for content in self.state().values():
            yield content.encode()
        yield from part.fingerprint()

    def describe(self, prepared: TrainingData, network: nn.Module) -> Iterator[str]:
        """Describe the model and the data before training."""
        yield from self.describe_data(prepared)
        yield self.describe_model(network)

    def describe_model(self, network: nn.Module) -> str:
        """Describe the recurrent layers and the number of parameters."""
        return f"model: {recurrent_layers(self.settings.recurrent)}, {parameters(network):,} parameters"

    def describe_parts(self, prepared: TrainingData, more: str = "") -> str:
        """Format the sizes: `360 rows to train, 40 to validate, 50 to test`; `more` on the rows to train."""
        parts = [f"{counted(self.counts(prepared.train))}{more} to train"]
        for part, what in ((prepared.valid, "validate"), (prepared.test, "test")):
            if part is not None:
                parts.append(f"{next(iter(self.counts(part).values())):,} to {what}")
        return ", ".join(parts)
