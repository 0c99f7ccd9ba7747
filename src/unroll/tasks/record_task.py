"""Base class of tasks that predict records one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unroll.errors import nearest
from unroll.tasks.base import BaseTask, Log, P, R

if TYPE_CHECKING:
    from unroll.data.files.rows import Row
    from unroll.data.options import SourceOptions


class RecordTask(BaseTask[R, P]):
    """Base class of tasks that predict records one by one."""

    @property
    @abstractmethod
    def column(self) -> str:
        """Name of the input column of a record."""

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Names of the columns that a record's input is made of; by default `column` alone."""
        return (self.column,)

    def inputs(self, records: Sequence[Mapping[str, Any]], source: SourceOptions) -> tuple[list[Any], dict[int, str]]:
        """Take the input of each record; also return the reasons, by position, for those that have none.

        Args:
            records: the rows.
            source: how numbers in texts are written.
        """
        missing = {i: record for i, record in enumerate(records) if self.column not in record}
        reasons = {i: f"there is no '{self.column}'{nearest(self.column, record)}" for i, record in missing.items()}
        return [record.get(self.column) for record in records], reasons

    def grouped_records(
        self, data: Any, source: SourceOptions, keep: Sequence[str], say: Log
    ) -> tuple[str, Iterator[Row]] | None:
        """Read records of several rows, and the column of their names; None, the default, where each row is a record.

        Args:
            data: names of files, or a table.
            source: how to read.
            keep: columns that a record keeps beside its name and its input.
            say: called with notes on what was detected.
        """
        return None

    @property
    @abstractmethod
    def answer_keys(self) -> Sequence[str]:
        """Keys of every predicted record."""

    @abstractmethod
    def validate(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Find values of the input column that cannot be used; return reasons by position."""

    @abstractmethod
    def predict(self, network: Any, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Predict one record for each value of the input column."""

    @property
    def example(self) -> str:
        """A value of the input column, as Python writes it."""
        return '"..."'

    def example_use(self, run: str, data: str) -> tuple[list[str], list[str]]:
        """Return commands and lines of Python that predict new data."""
        return (
            [f"unroll predict {run} {data} > answers.jsonl"],
            [f'list(predictor.predict([{{"{self.column}": {self.example}}}]))'],
        )
