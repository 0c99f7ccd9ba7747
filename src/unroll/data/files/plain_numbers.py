"""Parse text columns that hold only plain numbers, from an Arrow file in chunks.

The result is that of `numbers.read_numbers`, without a Python object for each cell: neither the texts nor the pages of
a large file stay in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.numbers import MISSING, NumericColumn
from unroll.data.options import Decimal

if TYPE_CHECKING:
    import pyarrow as pa

_BLANKS = " \t"
_EITHER = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
"""A number that would have another value if the decimal mark were a comma."""


def plain_columns(pieces: Iterable[pa.RecordBatch], rows: int, decimal: Decimal) -> dict[str, NumericColumn]:
    """Read the text columns with only empty cells and plain numbers.

    Args:
        pieces: of a table.
        rows: of all pieces together.
        decimal: the `decimal` option.

    Returns:
        Columns by name, as `numbers.read_numbers` reads them; columns that need its full rules are left out.
    """
    if decimal == "comma":
        return {}
    columns: dict[str, _Column] = {}
    start, first = 0, True
    for piece in pieces:
        if first:
            columns = {name: _Column(rows, decimal) for name in _texts(piece.schema)}
            first = False
        for name in [name for name, column in columns.items() if not column.read(piece.column(name), start)]:
            del columns[name]
        start += len(piece)
    return {name: column.numbers() for name, column in columns.items() if column.certain}


def _texts(schema: pa.Schema) -> list[str]:
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_string(field.type)]


class _Column:
    """Parse one column, as long as it holds plain numbers."""

    def __init__(self, rows: int, decimal: Decimal) -> None:
        self._values = np.empty(rows)
        self._empty = np.empty(rows, dtype=bool)
        self._pointed = False
        self._one_way = decimal != "auto"

    @property
    def certain(self) -> bool:
        """Whether the decimal mark is certain: a cell shows that it is the point, or no cell has a point."""
        return self._one_way or not self._pointed

    def read(self, cells: pa.Array, start: int) -> bool:
        """Read the next cells, the first of them in row `start`; return whether all are empty or plain numbers."""
        import pyarrow as pa
        from pyarrow import compute

        pc: Any = compute  # its functions are made when it is imported
        texts = pc.utf8_trim(cells, _BLANKS)
        texts = pc.if_else(pc.is_in(pc.ascii_lower(texts), pa.array(sorted(MISSING))), None, texts)
        try:
            numbers = pc.cast(texts, pa.float64())
        except pa.ArrowInvalid:
            return False
        values = numbers.to_numpy(zero_copy_only=False)
        empty = texts.is_null().to_numpy(zero_copy_only=False)
        if not (np.isfinite(values) | empty).all():
            return False
        self._values[start : start + len(cells)] = values
        self._empty[start : start + len(cells)] = empty
        if not self._one_way:
            pointed = texts.filter(pc.match_substring(texts, "."))
            self._pointed = self._pointed or len(pointed) > 0
            self._one_way = not pc.all(pc.match_substring_regex(pointed, _EITHER)).as_py()
        return True

    def numbers(self) -> NumericColumn:
        return NumericColumn(self._values, self._empty, np.zeros(0, dtype=np.int64))
