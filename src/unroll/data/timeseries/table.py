"""Read the columns of a table as numbers or as texts; errors name the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from unroll.data.files.memory_mapped import is_lean, shared_texts
from unroll.data.files.rows import row_of
from unroll.data.numbers import NumericColumn, doubtful, read_numbers
from unroll.data.options import Decimal
from unroll.data.values import is_missing
from unroll.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


class ColumnTable:
    """Access a DataFrame's columns by name; numbers are parsed once per column.

    Empty cells are nulls, NaN and empty texts; among numbers also the texts NA, N/A, NaN, null and none (in any case).

    Args:
        frame: the rows.
        where: what to call the data in messages.
        decimal: the decimal mark of numbers in text cells; auto: detected from the column's cells, or the others'.
        numbers: columns already parsed as numbers; others are added to it.

    Raises:
        DataError: two columns of one name.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        where: str,
        decimal: Decimal = "auto",
        numbers: dict[str, NumericColumn] | None = None,
    ) -> None:
        self.frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
        self.where = where
        self._decimal: Decimal = decimal
        self.names = tuple(self.frame.columns)
        self._numbers = {} if numbers is None else numbers
        for name in self.names:
            if self.names.count(name) > 1:
                raise DataError(f"{where or 'the table'} has more than one column named '{name}'")

    def __len__(self) -> int:
        return len(self.frame)

    def with_column(self, name: str, values: np.ndarray) -> ColumnTable:
        """Return the table with one more column."""
        return ColumnTable(self.frame.assign(**{name: values}), self.where, self._decimal, self._numbers)

    def column(self, name: str) -> pd.Series:
        """Return a column unchanged."""
        return cast("pd.Series", self.frame[name])

    def texts(self, name: str, first: int | None = None) -> np.ndarray:
        """Read a column as texts (N,), stripped; None where a cell is empty. `first`: only that many rows."""
        column = self.column(name).iloc[:first]
        if is_lean(column):
            return shared_texts(column)
        cells = column.to_numpy(dtype=object)
        texts = np.empty(len(cells), dtype=object)
        texts[:] = [_text(cell) for cell in cells]
        return texts

    def keys(self, name: str) -> Literal["text", "integer", "date"]:
        """Tell what the cells of a column of names are: whole numbers, dates without a time zone, or anything else."""
        import pandas as pd

        column = self.column(name)
        if is_lean(column):
            return "text"
        cells = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
        kind = pd.api.types.infer_dtype(cells, skipna=True)
        if kind == "integer":
            return "integer"
        return "date" if kind in ("date", "datetime64") and getattr(cells.dtype, "tz", None) is None else "text"

    def numbers(self, name: str) -> NumericColumn:
        """Read a column as numbers; booleans are 1 and 0."""
        if name not in self._numbers:
            self._numbers[name] = self._read(name)
        return self._numbers[name]

    def certain(self, name: str) -> NumericColumn:
        """Read a column as numbers, and reject ambiguous ones.

        Raises:
            DataError: the column is numeric, but the decimal mark is ambiguous.
        """
        numbers = self.numbers(name)
        if numbers.doubt and numbers.numeric:
            raise DataError(f"{self.where or 'the table'}, column '{name}': {doubtful(numbers.doubt)}")
        return numbers

    def forget(self, name: str) -> None:
        """Free the cached numbers of a column."""
        self._numbers.pop(name, None)

    def _read(self, name: str) -> NumericColumn:
        import pandas as pd

        column = self.column(name)
        kind = pd.api.types
        plain = kind.is_numeric_dtype(column.dtype) and not kind.is_complex_dtype(column.dtype)
        if plain:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            empty = np.isnan(values)
        elif column.dtype.kind in "mMc":
            empty = column.isna().to_numpy()
            values = np.full(len(column), np.nan)
        else:
            others = (self._texts_of(other) for other in self.names if other != name)
            return read_numbers(column.to_list(), self._decimal, others)
        finite = np.isfinite(values)
        wrong = np.flatnonzero(~finite & ~empty)
        return NumericColumn(np.where(finite, values, np.nan), empty, wrong)

    def _texts_of(self, name: str) -> Sequence[Any]:
        column = self.column(name)
        return [] if column.dtype.kind in "iufbmMc" else column.to_list()

    def at(self, row: int, name: str) -> str:
        """Name a cell in messages: its row, counted from 1, and its column."""
        return f"{row_of(row, self.where)}, column '{name}'"

    def shown(self, row: int, name: str) -> str:
        """Return a cell's content for messages, truncated."""
        return f"'{self.frame[name].iloc[row]!s:.40}'"


def _text(cell: Any) -> str | None:
    """Convert a cell to text; whole floats lose their ".0", so that a name is the same as an integer and as a float."""
    if is_missing(cell):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip() or None


@dataclass(frozen=True)
class Indexed:
    """Hold a DataFrame with its index converted to columns.

    Attributes:
        rows: the DataFrame, with single-level column names.
        time: column that was an index of times; "" for none.
        order: column that was an index of whole numbers other than 0, 1, 2, ...; "" for none.
        ordered: whether the rows are known to be in order of time: a Series without any times.
        notes: what was changed.
    """

    rows: pd.DataFrame
    time: str = ""
    order: str = ""
    ordered: bool = False
    notes: tuple[str, ...] = ()
