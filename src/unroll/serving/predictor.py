"""A trained model in use: records in, answers out, in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from unroll.data.options import SourceOptions
from unroll.data.sources import Unreadable, stream
from unroll.errors import DataError, RunError, nearest
from unroll.runs import Run
from unroll.tasks.table import TASKS
from unroll.tasks.task import RecordTask, Report, Task

ROWS_AT_ONCE = 2048


class Predictor:
    """A task and its trained model.

    Attributes:
        task: how data becomes arrays and outputs become answers.
        model: the model, in evaluation mode.
        takes: what `predict_files`, where there is one, takes beside the options that every task has.
    """

    takes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, task: Task, model: nn.Module) -> None:
        self.task = task
        self.model = model.eval()

    def evaluate(
        self,
        data: str | Sequence[str],
        *,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Report:
        """Every metric on data with the truth in it: files, or a hub name. `say` is told which rows were left out.

        Raises:
            DataError: the data cannot be used.
        """
        return self.task.report(self.model, self.part(data, skip_bad_rows, encoding, say))

    def part(
        self, data: str | Sequence[str], skip_bad_rows: bool, encoding: str | None, say: Callable[[str], None]
    ) -> Any:
        """Data with the truth in it, as the task holds it.

        Raises:
            DataError: the data cannot be used.
        """
        source = self.source(skip_bad_rows, encoding)
        return self.task.load([data] if isinstance(data, str) else list(data), source, say)

    def source(self, skip_bad_rows: bool, encoding: str | None) -> SourceOptions:
        """How files are read: as the training data was, but for what is said here."""
        was = self.task.settings.source
        return replace(was, skip_bad_rows=skip_bad_rows, encoding=encoding or was.encoding)


class RecordPredictor(Predictor):
    """A trained model that answers records one by one."""

    task: RecordTask

    def predict_files(
        self, data: Sequence[str], *, skip_bad_rows: bool = False, encoding: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """An answer for each row of files; "-" is standard input, answered as it comes.

        Raises:
            DataError: as `predict`.
        """
        records = stream(
            data[0] if len(data) == 1 else data,
            encoding=encoding or self.task.settings.source.encoding,
            skip=skip_bad_rows,
            lines=self.task.column,
        )
        return self.predict(records, skip_bad_rows=skip_bad_rows, live=list(data) == ["-"])

    def predict(
        self, records: Iterable[Mapping[str, Any] | Any], *, skip_bad_rows: bool = False, live: bool = False
    ) -> Iterator[dict[str, Any]]:
        """An answer for each record (a mapping with the input column, or that column's value), in order.

        Only some thousand records are held at a time. `live` answers what has arrived without waiting for more.
        With `skip_bad_rows` a row that cannot be used is answered by `{"error": ...}`.

        Raises:
            DataError: a record lacks the input column, or cannot be used, and `skip_bad_rows` is off.
        """
        if isinstance(records, str | Mapping):
            raise DataError("predict takes several records: a list of texts, or of mappings from column to value")
        first = 0
        for group in _arriving(records) if live else _groups(records):
            rows = [record if isinstance(record, Mapping) else {self.task.column: record} for record in group]
            yield from self._answer(rows, first, skip_bad_rows)
            first += len(group)

    def _answer(self, records: Sequence[Mapping[str, Any]], first: int, skip: bool) -> list[dict[str, Any]]:
        column = self.task.column
        values: list[Any] = [record.get(column) for record in records]
        bad = dict(self.task.problems(values))
        for i, record in enumerate(records):
            if isinstance(record, Unreadable):
                bad[i] = record.reason
            elif column not in record:
                bad[i] = f"there is no '{column}'{nearest(column, record)}"
        if bad and not skip:
            row, reason = min(bad.items())
            raise DataError(f"row {first + row + 1}: {reason}; --skip-bad-rows answers it with an error instead")
        good = [i for i in range(len(values)) if i not in bad]
        answered: dict[int, dict[str, Any]] = {i: {"error": reason} for i, reason in bad.items()}
        if good:
            answers = self.task.answered(self.model, [values[i] for i in good])
            answered |= dict(zip(good, answers, strict=True))
        return [answered[i] for i in range(len(values))]


def load(path: str | Path) -> Predictor:
    """The predictor of a run folder.

    Raises:
        RunError: the folder is missing, unfinished or damaged; nothing in it is executed.
    """
    run = Run.open(path)
    name = run.config()["task"]
    if name not in TASKS:
        raise RunError(f"{run.path} holds a task '{name}', not one of {', '.join(TASKS)}")
    task = TASKS[name].load_task().read(run)
    with torch.device("meta"):
        model = task.model()
    run.read_weights(model)
    return TASKS[name].load_predictor()(task, model)


def _groups(records: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(records)
    while group := list(islice(iterator, ROWS_AT_ONCE)):
        yield group


def _arriving(records: Iterable[Any]) -> Iterator[list[Any]]:
    """Groups of what a reading thread has already brought, so that a slow source is answered at once."""
    arrived: queue.Queue[Any] = queue.Queue(ROWS_AT_ONCE)
    end = object()

    def bring() -> None:
        try:
            for record in records:
                arrived.put(record)
        except BaseException as error:
            arrived.put(error)
        arrived.put(end)

    threading.Thread(target=bring, daemon=True).start()
    group: list[Any] = []
    while True:
        if group and (arrived.empty() or len(group) == ROWS_AT_ONCE):
            yield group
            group = []
        item = arrived.get()
        if item is end or isinstance(item, BaseException):
            if group:
                yield group
            if item is end:
                return
            raise item
        group.append(item)
