"""Columns of texts that are all plain numbers, read from an Arrow file piece by piece.

What `numbers.read_numbers` finds in such columns, without a Python object for each cell: of a large file neither the
texts nor its pages are held.
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
"""A number that with a decimal comma would be another."""


def plain_columns(pieces: Iterable[pa.RecordBatch], rows: int, decimal: Decimal) -> dict[str, NumericColumn]:
    """Read those columns of texts of which every cell is empty or a plain number.

    Args:
        pieces: of a table.
        rows: of all pieces together.
        decimal: what a person said of the decimal mark.

    Returns:
        By name the columns as `numbers.read_numbers` reads them; others, of which it has more to say, are not there.
    """
    if decimal == "comma":
        return {}
    held: dict[str, _Column] = {}
    start, first = 0, True
    for piece in pieces:
        if first:
            held = {name: _Column(rows, decimal) for name in _texts(piece.schema)}
            first = False
        for name in [name for name, column in held.items() if not column.read(piece.column(name), start)]:
            del held[name]
        start += len(piece)
    return {name: column.numbers() for name, column in held.items() if column.certain}


def _texts(schema: pa.Schema) -> list[str]:
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_string(field.type)]


class _Column:
    """One column that has held plain numbers so far."""

    def __init__(self, rows: int, decimal: Decimal) -> None:
        self._values = np.empty(rows)
        self._empty = np.empty(rows, dtype=bool)
        self._pointed = False
        self._one_way = decimal != "auto"

    @property
    def certain(self) -> bool:
        """Whether a cell tells that the point is the decimal mark, or none has a point."""
        return self._one_way or not self._pointed

    def read(self, cells: pa.Array, start: int) -> bool:
        """Take the next cells, the first of them in row `start`; whether all are empty or plain numbers."""
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
