"""Read each file format as rows or as Arrow tables, in chunks; errors name the line.

The CSV and JSON readers of `datasets` are not used because they guess a column's type again every 10,000 rows,
read the text "NA" as null, silently fill short rows, and do not name the line in errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from unroll.data.files.conll import column_rows, conllu_rows
from unroll.data.files.content import format_note, format_read
from unroll.data.files.delimited import delimited_rows
from unroll.data.files.paths import (
    COLUMNS,
    DELIMITED,
    class_files,
    decoded,
    decoder_of,
    has_plain_lines,
    line_files,
    opened_text,
    undecodable,
    wrong_byte,
)
from unroll.data.files.rows import Row, Unreadable, refused
from unroll.data.options import SourceOptions
from unroll.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 2000


def rows_of(path: Path, source: SourceOptions) -> Iterator[Row]:
    """Read the rows of a text file, or of a folder with texts in one subfolder or one file per class, in order.

    An invalid line (wrong number of fields, broken JSON, invalid bytes), or a sentence with such a line, is an
    `Unreadable` with `source.skip_bad_rows`, else an error.
    """
    encoding, skip = source.encoding, source.skip_bad_rows
    if path.is_dir():
        lines = line_files(path)
        return _class_rows(lines, source) if lines else _folder_rows(path, encoding, skip)
    kind = format_read(path, source)
    if kind in DELIMITED:
        return delimited_rows(path, source)
    if kind == ".txt":
        return _line_rows(path, encoding, skip)
    if kind == ".conllu":
        return conllu_rows(path, encoding, skip)
    if kind in COLUMNS:
        return column_rows(path, source)
    return _json_rows(path, encoding, skip, listed=kind == ".json")


def tables_of(path: Path, source: SourceOptions) -> Iterator[pa.Table]:
    """Read a Parquet or .npz file as tables of a few thousand rows, in order; or an .xlsx file as one table."""
    kind = format_read(path, source)
    if kind == ".xlsx":
        from unroll.data.files.excel import excel_table

        return iter([excel_table(path, source)])
    if kind == ".parquet":
        from unroll.data.files.parquet import parquet_tables

        return parquet_tables(path, ROWS_AT_ONCE)
    from unroll.data.files.npz import npz_tables

    return npz_tables(path, source.encoding, ROWS_AT_ONCE)


def is_tabular(path: Path, source: SourceOptions) -> bool:
    """Tell whether `tables_of` reads the file, rather than `rows_of`."""
    return not path.is_dir() and format_read(path, source) in (".parquet", ".npz", ".xlsx")


def _line_rows(path: Path, encoding: str, skip: bool) -> Iterator[Row]:
    with opened_text(path, encoding, lenient=True) as text:
        for number, line in enumerate(text, start=1):
            wrong = wrong_byte(line, encoding)
            if wrong and not skip:
                raise undecodable(path, encoding)
            yield Unreadable(f"'{path}', line {number}: {wrong}") if wrong else {"text": line.rstrip("\n")}


def _folder_rows(folder: Path, encoding: str, skip: bool) -> Iterator[Row]:
    for label, path in class_files(folder):
        with opened_text(path, encoding, lenient=skip) as text:
            content = text.read()
        wrong = wrong_byte(content, encoding)
        yield Unreadable(f"'{path}': {wrong}") if wrong else {"text": content, "label": label}


def _class_rows(files: Sequence[tuple[str, Path]], source: SourceOptions) -> Iterator[Row]:
    """Read a text and the file's class from each line that is not blank."""
    for label, path in files:
        if format_read(path, source) != ".txt":
            words = format_note(path, source)[0].split(" (")[0]
            raise DataError(f"{words}, so its folder has no lines of texts; name the files, as {path.parent}/*")
        for row in _line_rows(path, source.encoding, source.skip_bad_rows):
            if isinstance(row, Unreadable) or row["text"].strip():
                yield row if isinstance(row, Unreadable) else {**row, "label": label}


def _json_rows(path: Path, encoding: str, skip: bool, *, listed: bool) -> Iterator[Row]:
    """Read one object per line; or, if it may be `listed`, one list of objects, which is loaded into memory."""
    with opened_text(path, encoding, lenient=True) as text:
        start = list(_until_content(text)) if listed else []
        if start and start[-1].lstrip().startswith("["):
            document = "".join(start) + text.read()
            if wrong := wrong_byte(document, encoding):
                raise DataError(f"'{path}': {wrong}") if skip else undecodable(path, encoding)
            yield from _json_list(document, path)
        else:
            lines = chain(start, text)
            lines = lines if skip else decoded(lines, path, encoding)
            yield from json_lines(lines, f"'{path}'", encoding, skip)


def _until_content(lines: Iterable[str]) -> Iterator[str]:
    """Yield the blank lines at the start and the first line that is not blank."""
    for line in lines:
        yield line
        if line.strip():
            return


def json_lines(lines: Iterable[str], where: str, encoding: str, skip: bool) -> Iterator[Row]:
    """Read one row per line; blank lines are skipped. With `skip` an invalid line is an `Unreadable`.

    Raises:
        DataError: a line is not one JSON object, and `skip` is off.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                if wrong := wrong_byte(line, encoding):
                    raise DataError(f"{where}, line {number}: {wrong}")
                yield _object(line, f"{where}, line {number}")
            except DataError as error:
                yield refused(str(error), skip)


class _TwiceError(Exception):
    """A key occurs twice in a JSON object."""


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(f"the key '{next(key for key in keys if keys.count(key) > 1):.40}' stands twice in an object")
    return found


def _object(line: str, where: str) -> Row:
    try:
        row = json.loads(line, object_pairs_hook=_unique)
    except _TwiceError as error:
        raise DataError(f"{where}: {error}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg} at character {error.pos + 1})") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where}: not JSON that can be read ({error})") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: a JSON object with the columns is needed, not {row!r:.40}")
    return row


def _json_list(document: str, path: Path) -> Iterator[Row]:
    try:
        rows = json.loads(document, object_pairs_hook=_unique)
    except _TwiceError as error:
        raise DataError(f"'{path}': {error}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"'{path}', line {error.lineno}: not JSON ({error.msg})") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"'{path}': not JSON that can be read ({error})") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"'{path}', item {number}: an object with the columns is needed, not {row!r:.40}")
        yield row


def standard_input(stream: IO[bytes], encoding: str, skip: bool = False, column: str = "text") -> Iterator[Row]:
    """Read rows as they arrive: JSON lines if the first line that is not blank starts with `{`, else a row
    `{column: line}` per line. With `skip` an invalid line is an `Unreadable`.
    """
    lines = _arriving_lines(stream, encoding, skip)
    start = list(_until_content(lines))
    if not start:
        raise DataError("standard input is empty")
    lines = chain(start, lines)
    if start[-1].lstrip().startswith("{"):
        yield from json_lines(lines, "standard input", encoding, skip)
        return
    for number, line in enumerate(lines, start=1):
        wrong = wrong_byte(line, encoding)
        yield Unreadable(f"standard input, line {number}: {wrong}") if wrong else {column: line.rstrip("\r\n")}


def _arriving_lines(stream: IO[bytes], encoding: str, skip: bool) -> Iterator[str]:
    codec = decoder_of(encoding)
    errors = "surrogateescape" if skip and has_plain_lines(codec) else "strict"
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode(codec, errors)
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise DataError(f"standard input, line {number}: byte 0x{byte:02X} is not {encoding}") from None
