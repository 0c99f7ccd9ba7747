"""What every task is: the part between a person's files and the training, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from torch import nn

    from unroll.data.batches import BatchSource
    from unroll.data.options import SourceOptions
    from unroll.models.options import RecurrentOptions
    from unroll.runs import Run
    from unroll.tasks.settings import Settings
    from unroll.training.objective import Objective

Log = Callable[[str], None]
Report = dict[str, Any]
"""Figures by name, JSON values all. It begins with what was counted: `{"rows": 360, ...}`."""


@dataclass(frozen=True)
class DataPaths:
    """Where the data of a run is: training, validation (none: a share of the training data) and test data."""

    data: Sequence[str]
    valid: Sequence[str] = ()
    test: Sequence[str] = ()


@dataclass(frozen=True)
class TrainingData:
    """A task that has learnt its training part, and every part in the task's own form."""

    task: Task
    train: Any
    valid: Any | None
    test: Any | None


class Task(Protocol):
    """Records to batches, the model and the loss for them, and outputs back to records.

    A part is data as the task holds it: encoded rows, a stream of tokens, windows over series. Only the task looks
    inside.
    """

    name: str

    @property
    def settings(self) -> Settings:
        """Every option."""
        ...

    @classmethod
    def prepare(cls, name: str, settings: Any, sources: DataPaths, say: Log) -> TrainingData:
        """Read the data, split it, learn vocabulary or scaler on the training part, and encode every part.

        Raises:
            UserError: the data or the options cannot be used.
        """
        ...

    @classmethod
    def read(cls, run: Run) -> Self:
        """The task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        ...

    def write(self, run: Run) -> None:
        """Write what `read` needs beside config.yaml."""
        ...

    def load(self, data: Any, source: SourceOptions, say: Log) -> Any:
        """New data with the truth in it, as a part: names of files or of hub data, or a table (`data.tables`).

        Raises:
            DataError: it cannot be used.
        """
        ...

    def size(self, part: Any) -> dict[str, int]:
        """What a part counts: rows, tokens, windows."""
        ...

    def model(self, training: Any | None = None) -> nn.Module:
        """A new model; `training`, the training part, is given where it is about to be trained."""
        ...

    def objective(self, training: Any | None = None) -> Objective:
        """Loss and metrics."""
        ...

    def batches(self, part: Any, *, shuffle: bool) -> BatchSource:
        """A part's batches, in the order of training (`shuffle`) or of validation."""
        ...

    def report(self, model: Any, part: Any) -> Report:
        """Every metric on a part, a baseline's beside it."""
        ...

    def lines(self, report: Report, *, full: bool = True) -> list[str]:
        """The report for a person; `full` with its tables."""
        ...

    def describe(self, prepared: TrainingData, model: Any) -> Iterable[str]:
        """What is said before the training starts."""
        ...

    def fingerprint(self, part: Any) -> Iterable[bytes | memoryview]:
        """What a resumed training must find as it was, of a part and of what was learnt."""
        ...

    def pictures(self, run: Run, model: Any, prepared: TrainingData, metrics: Report) -> None:
        """Draw what the task has to show into the run folder."""
        ...


class RecordTask(Task, Protocol):
    """A task whose records are answered one by one."""

    @property
    def column(self) -> str:
        """The column that a record to answer must have."""
        ...

    @property
    def answer_keys(self) -> Sequence[str]:
        """What every record of the answers has."""
        ...

    def problems(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Why values of that column cannot be answered, by their position."""
        ...

    def answered(self, model: Any, values: Sequence[Any]) -> list[dict[str, Any]]:
        """One record for each value of that column."""
        ...


def counted(report: Report) -> str:
    """What a report counted, in words: `360 rows`."""
    name, number = next(iter(report.items()))
    return f"{number:,} {name.removesuffix('s') if number == 1 else name}"


def parameters(model: nn.Module) -> int:
    """Numbers that a model learns."""
    return sum(p.numel() for p in model.parameters())


def recurrent_layers(options: RecurrentOptions) -> str:
    """The recurrent layers in words: `2 bidirectional LSTM layers of 128`."""
    both = "bidirectional " if options.bidirectional else ""
    last = f", the last of {options.last_hidden_size}" if options.last_hidden_size else ""
    layers = f"{both}{options.recurrence.upper()} layer{'s' * (options.num_layers > 1)}"
    return f"{options.num_layers} {layers} of {options.hidden_size}{last}"
