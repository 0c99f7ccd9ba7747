"""Predict records with a trained model, in order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from unroll.data.files.dataset import Unreadable, stream
from unroll.data.groups import arriving, grouped
from unroll.data.options import SourceOptions
from unroll.data.tables import column_of, is_frame, is_table, refuse_other_table
from unroll.errors import DataError, OptionError, RunError, nearest
from unroll.runs import WEIGHTS, Run
from unroll.tasks.base import BaseTask, Report
from unroll.tasks.record_task import RecordTask
from unroll.tasks.registry import TASKS
from unroll.weights import without_memory

if TYPE_CHECKING:
    import datasets
    import pandas as pd

    Data = str | os.PathLike[str] | Sequence[str] | pd.DataFrame | datasets.Dataset

ROWS_AT_ONCE = 2048


class Predictor:
    """Hold a task and its trained model for prediction.

    Attributes:
        task: encodes data and decodes outputs.
        model: the model, in evaluation mode.
        written: how files are written, if given by the user rather than detected.
        run: the run folder that it was loaded from; None: it was made from a task and a model.

    Example:
        >>> path = unroll.Classifier(epochs=1).fit(["good", "bad"] * 10, ["+", "-"] * 10).save("runs/words")
        >>> [sorted(answer) for answer in unroll.load(path).predict(["good"])]
        [['label', 'probabilities']]
    """

    def __init__(self, task: BaseTask[Any, Any], model: nn.Module) -> None:
        self.task = task
        self.model = model.eval()
        self.written = SourceOptions()
        self.run: Path | None = None

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}: {self.task.summary()}", self.task.describe_model(self.model)]
        if self.run is not None:
            lines.append(f"run: {self.run}")
            with contextlib.suppress(OSError):  # the folder may be gone by now
                at = datetime.fromtimestamp((self.run / WEIGHTS).stat().st_mtime).astimezone()
                lines[-1] += f", weights of {at:%Y-%m-%d %H:%M}"
        return "\n  ".join(lines)

    def evaluate(
        self,
        data: Data,
        *,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Report:
        """Compute every metric on labelled data: files, a hub name, a DataFrame or a `datasets.Dataset`.

        `say` is called with notes on skipped rows.

        Raises:
            DataError: the data cannot be used.
        """
        return self.task.evaluate(self.model, self.part(data, skip_bad_rows, encoding, say))

    def predict(self, *data: Any, **options: Any) -> Any:
        """Answer new data: see `RecordPredictor.predict` and `ForecastPredictor.predict`.

        Raises:
            OptionError: the run is of a language model, which does not answer row by row.
        """
        raise OptionError(
            f"a {self.task.name} run does not answer row by row; take generate() for text, score() for probabilities"
        )

    def part(self, data: Data, skip_bad_rows: bool, encoding: str | None, say: Callable[[str], None]) -> Any:
        """Read and encode labelled data.

        Raises:
            DataError: the data cannot be used.
        """
        return self.task.load(_files_or_table(data), self.source(skip_bad_rows, encoding), say)

    def source(self, skip_bad_rows: bool, encoding: str | None) -> SourceOptions:
        """Return how to read files: `written`, with the training data's encoding and header where none is given.

        A file may be written differently from the training data, so delimiter and number format are detected again.
        """
        trained = self.task.settings.source
        encoding = encoding or trained.encoding
        header = trained.header if self.written.header == "auto" else self.written.header
        return replace(self.written, skip_bad_rows=skip_bad_rows, encoding=encoding, header=header)


class RecordPredictor(Predictor):
    """Predict records one by one with a trained model."""

    task: RecordTask[Any, Any]

    def predict_files(
        self,
        data: Sequence[str],
        *,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        keep: Sequence[str] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """Predict each row of files; "-" is standard input, predicted as it arrives.

        Each answer begins with the row's columns that are named in `keep`. A long table has a record for each of its
        series, and each answer begins with the name of its series.

        Raises:
            DataError: as `predict`; a row lacks a column of `keep`, or an answer has a column of that name.
        """
        live, source = list(data) == ["-"], self.source(skip_bad_rows, encoding)
        grouped = self.task.grouped_records(list(data), source, keep, say)
        if grouped is None:
            data = data[0] if len(data) == 1 else data
            records = stream(data, source=source, skip=skip_bad_rows, lines=self.task.column, say=say)
        else:
            name, records = grouped
            keep = list(dict.fromkeys([name, *keep]))
        return self._answers(records, skip_bad_rows, live=live, remedy="--skip-bad-rows", keep=keep)

    @overload
    def predict(self, records: pd.DataFrame, *, skip_bad_rows: bool = ..., live: bool = ...) -> pd.DataFrame: ...

    @overload
    def predict(
        self, records: Iterable[Mapping[str, Any] | Any], *, skip_bad_rows: bool = ..., live: bool = ...
    ) -> Iterator[dict[str, Any]]: ...

    def predict(self, records: Any, *, skip_bad_rows: bool = False, live: bool = False) -> Any:
        """Predict each record, in order.

        Args:
            records: mappings with the input column, or values of that column; a `datasets.Dataset`, a Series or
                an array gives its rows one by one. Or a DataFrame with that column.
            skip_bad_rows: answer an unusable row with `{"error": ...}`.
            live: predict records as they arrive, without waiting for more.

        Returns:
            An iterator that holds a few thousand records at a time; rows before an unusable row are answered
            first. For a DataFrame, one with its index, and a column for each name in the answers; for a long table
            one with a row for each series.

        Raises:
            DataError: a record lacks the input column, or cannot be used, and `skip_bad_rows` is off.
        """
        refuse_other_table(records, "the data for predict")
        if isinstance(records, str | bytes | Mapping | Set) or not isinstance(records, Iterable):
            raise DataError("predict takes several records: a list of texts, or of mappings from column to value")
        if not is_frame(records):
            return self._answers(records, skip_bad_rows, live=live, remedy="skip_bad_rows")
        frame: Any = records
        grouped = self.task.grouped_records(frame, self.source(skip_bad_rows, None), (), lambda _: None)
        if grouped is not None:
            name, series = grouped
            answers = list(self._answers(series, skip_bad_rows, live=live, remedy="skip_bad_rows", keep=[name]))
            return self._framed(answers, range(len(answers)))
        names = self.task.input_columns
        cells = zip(*(column_of(frame, name) for name in names), strict=True)
        rows = [dict(zip(names, row, strict=True)) for row in cells]
        answers = list(self._answers(rows, skip_bad_rows, live=live, remedy="skip_bad_rows"))
        return self._framed(answers, frame.index)

    def _predict(self, values: Sequence[Any]) -> list[dict[str, Any]]:
        return self.task.predict(self.model, values)

    def _framed(self, answers: list[dict[str, Any]], index: Any) -> pd.DataFrame:
        import pandas as pd

        index = pd.Index(index)

        names = list(dict.fromkeys(name for answer in answers for name in answer)) or list(self.task.answer_keys)
        columns = {name: pd.Series([a.get(name) for a in answers], index, dtype=None) for name in names}
        return pd.DataFrame(columns, index=index)

    def _answers(
        self,
        records: Iterable[Mapping[str, Any] | Any],
        skip: bool,
        *,
        live: bool,
        remedy: str,
        keep: Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        first = 0
        groups = (
            arriving(records, ROWS_AT_ONCE) if live else grouped(records, lambda group, _: len(group) == ROWS_AT_ONCE)
        )
        for group in groups:
            rows = [record if isinstance(record, Mapping) else {self.task.column: record} for record in group]
            answers = self._answer(rows, first, skip, remedy)
            yield from (_keep(rows, answers, keep, first) if keep else answers)
            first += len(group)

    def _answer(
        self, records: Sequence[Mapping[str, Any]], first: int, skip: bool, remedy: str
    ) -> Iterator[dict[str, Any]]:
        values, missing = self.task.inputs(records, self.written)
        bad = dict(self.task.validate(values)) | missing
        bad |= {i: record.reason for i, record in enumerate(records) if isinstance(record, Unreadable)}
        end = len(values) if skip or not bad else min(bad)
        good = [i for i in range(end) if i not in bad]
        answered: dict[int, dict[str, Any]] = {i: {"error": reason} for i, reason in bad.items()}
        if good:
            answers = self._predict([values[i] for i in good])
            answered |= dict(zip(good, answers, strict=True))
        yield from (answered[i] for i in range(end))
        if end < len(values):
            raise DataError(f"row {first + end + 1}: {bad[end]}; {remedy} answers it with an error instead")


def _keep(
    rows: Sequence[Mapping[str, Any]], answers: Iterable[dict[str, Any]], columns: Sequence[str], first: int
) -> Iterator[dict[str, Any]]:
    """Put columns of the rows before their answers."""
    for i, (row, answer) in enumerate(zip(rows, answers, strict=False)):
        for column in columns:
            if column not in row and not isinstance(row, Unreadable):
                raise DataError(f"row {first + i + 1} has no '{column}' to keep{nearest(column, row)}")
            if column in answer:
                raise DataError(f"'{column}' is to be kept, but the answers have a column of that name")
        yield {column: row.get(column) for column in columns} | answer


def load(path: str | Path, *, trust_changed: bool = False) -> Predictor:
    """Load the predictor of a run folder.

    Args:
        path: the folder.
        trust_changed: load the run even if its files were changed after it was written, for example edited by hand.

    Raises:
        RunError: the folder is missing, unfinished, changed or damaged; nothing in it is executed.
    """
    run = Run.open(path, trust_changed=trust_changed)
    name = run.config()["task"]
    if name not in TASKS:
        raise RunError(f"{run.path} holds a task '{name}', not one of {', '.join(TASKS)}")
    task = TASKS[name].load_task().from_run(run)
    model = without_memory(task.network)
    run.read_weights(model)
    predictor = TASKS[name].load_predictor()(task, model)
    predictor.run = run.path
    return predictor


def _files_or_table(data: Any) -> Any:
    if is_table(data):
        return data
    refuse_other_table(data, "the data")
    names = [data] if isinstance(data, str | os.PathLike) or not isinstance(data, Iterable) else list(data)
    for name in names:
        if not isinstance(name, str | os.PathLike):
            raise DataError(
                f"the data is of type {type(data).__name__}, which holds {type(name).__name__}; "
                "give files, a DataFrame or a datasets.Dataset"
            )
    return [os.fspath(name) for name in names]
