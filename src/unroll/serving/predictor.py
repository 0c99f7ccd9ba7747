"""A trained model in use: records in, answers out, in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from unroll.data.examples import Examples
from unroll.data.sources import Unreadable
from unroll.errors import DataError, nearest
from unroll.models.many_to_one import ManyToOne
from unroll.runs import Run
from unroll.tasks.labelled import LabelledTask
from unroll.tasks.records import bad_inputs, load_records
from unroll.tasks.report import Report

ROWS_AT_ONCE = 2048


class Predictor:
    """A task and its trained model.

    Attributes:
        task: how records become arrays and outputs become records.
        model: the model, in evaluation mode.
    """

    def __init__(self, task: LabelledTask, model: ManyToOne) -> None:
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
        """Every metric on labelled data: files, or a hub name. `say` is told which rows were left out.

        Raises:
            DataError: the data cannot be used, or has labels that the training data did not.
        """
        task = self.task
        was = task.settings.source
        source = replace(was, skip_bad_rows=skip_bad_rows, encoding=encoding or was.encoding)
        records = load_records(
            [data] if isinstance(data, str) else list(data),
            replace(task.settings, source=source),
            regression=task.name == "regression",
            features=task.encoder.features,
            say=say,
        )
        targets = task.labels.encode(records.targets, where=records.where, rows=records.rows)
        return task.report(task.answer(self.model, records.examples(task.encoder, targets)), targets)

    def predict(
        self, records: Iterable[Mapping[str, Any] | str], *, skip_bad_rows: bool = False, live: bool = False
    ) -> Iterator[dict[str, Any]]:
        """An answer for each record (a mapping with the input column, or a text), in order.

        Only some thousand records are held at a time. `live` answers what has arrived without waiting for more.
        With `skip_bad_rows` a row that cannot be used is answered by `{"error": ...}`.

        Raises:
            DataError: a record lacks the input column, or cannot be used, and `skip_bad_rows` is off.
        """
        if isinstance(records, str | Mapping):
            raise DataError("predict takes several records: a list of texts, or of mappings from column to value")
        column = self.task.settings.labelled.column
        first = 0
        for group in _arriving(records) if live else _groups(records):
            rows = [{column: record} if isinstance(record, str) else record for record in group]
            yield from self._answer(rows, column, first, skip_bad_rows)
            first += len(group)

    def _answer(
        self, records: Sequence[Mapping[str, Any]], column: str, first: int, skip: bool
    ) -> list[dict[str, Any]]:
        values: list[Any] = [record.get(column) for record in records]
        bad = dict(bad_inputs(values, self.task.settings, column, self.task.encoder.features))
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
            examples = Examples.from_arrays(self.task.encoder.encode([values[i] for i in good]))
            answered |= dict(zip(good, self.task.decode(self.task.answer(self.model, examples)), strict=True))
        return [answered[i] for i in range(len(values))]


def load(path: str | Path) -> Predictor:
    """The predictor of a run folder.

    Raises:
        RunError: the folder is missing, unfinished or damaged; nothing in it is executed.
    """
    run = Run.open(path)
    task = LabelledTask.read(run)
    with torch.device("meta"):
        model = task.model()
    run.read_weights(model)
    return Predictor(task, model)


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
