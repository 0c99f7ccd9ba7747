"""Read a sheet of an Excel workbook (.xlsx) as one Arrow table; needs the package openpyxl."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unroll.data.files.delimiters import column_names
from unroll.data.files.paths import seekable
from unroll.data.options import SourceOptions
from unroll.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

_LOOKED_AT = 500
_NUMBERS = {int, float}


def excel_table(path: Path, source: SourceOptions) -> pa.Table:
    """Read the sheet `source.sheet`, or the first; empty rows are left out.

    Numbers, dates and truth values keep their types; a column with cells of several types is text.

    Raises:
        DataError: openpyxl is missing, the file is no workbook, the sheet is missing or empty, or its header cannot be
            used.
    """
    import pyarrow as pa

    sheet, rows = _read(path, source)[1:]
    where = f"'{path}', sheet '{sheet}'"
    if not rows:
        raise DataError(f"{where} is empty")
    names, _ = _header(rows, source, where)
    below = rows if source.header == "none" else rows[1:]
    columns = {name: _column([row[i] for row in below]) for i, name in enumerate(names) if name is not None}
    if not below:
        raise DataError(f"{where} has no rows")
    return pa.table(columns)


def excel_notes(path: Path, source: SourceOptions) -> tuple[str, ...]:
    """Say which sheet of several is read, and which columns have no name."""
    sheets, sheet, rows = _read(path, source)
    notes = [f"sheet '{sheet}' is read, the first of {len(sheets)} (--sheet names another)"]
    notes = [] if source.sheet or len(sheets) == 1 else notes
    said = _header(rows, source, f"'{path}', sheet '{sheet}'")[1] if rows else ()
    return tuple(f"{path}: {note}" for note in (*notes, *said))


def _header(
    rows: Sequence[Sequence[Any]], source: SourceOptions, where: str
) -> tuple[Sequence[str | None], Sequence[str]]:
    texts = [["" if cell is None else _text(cell) for cell in row] for row in rows[:_LOOKED_AT]]
    return column_names(texts, source, where)


def _read(path: Path, source: SourceOptions) -> tuple[list[str], str, list[tuple[Any, ...]]]:
    """Read the names of all sheets, the name of the one that is read, and its rows that are not empty."""
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"'{path}' is an Excel workbook; to read it, `pip install 'unroll[excel]'`") from None
    with seekable(path) as plain, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on styles and validation, which do not matter here
        try:
            book = openpyxl.load_workbook(plain, read_only=True, data_only=True)
            sheets = [sheet.title for sheet in book.worksheets]
            name = source.sheet or sheets[0]
            rows = [tuple(row) for row in book[name].iter_rows(values_only=True)] if name in sheets else []
            book.close()
        except (PermissionError, FileNotFoundError):
            raise
        except Exception as error:  # damaged files raise errors of every kind
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"'{path}' is not an Excel workbook (.xlsx), or is damaged ({first:.120})") from None
    if name not in sheets:
        raise DataError(f"'{path}' has no sheet '{name}'{nearest(name, sheets)}")
    rows = [row for row in rows if any(cell is not None for cell in row)]
    width = max((len(row) for row in rows), default=0)
    return sheets, name, [row + (None,) * (width - len(row)) for row in rows]


def _column(cells: list[Any]) -> pa.Array:
    import pyarrow as pa

    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == _NUMBERS:
        cells = [None if cell is None else float(cell) for cell in cells]
    elif len(kinds) > 1 or not kinds <= {str, bool, int, float, datetime, date}:
        cells = [None if cell is None else _text(cell) for cell in cells]
    return pa.array(cells) if kinds else pa.array(cells, pa.string())


def _text(cell: Any) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
