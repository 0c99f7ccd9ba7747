"""Each file format as rows or as Arrow tables, a piece at a time, with the line of whatever is wrong.

`datasets`' own CSV and JSON readers are not used because they guess a column's type anew every 10,000 rows,
read the text "NA" as a null, fill short rows up without a word, and name no line.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from unroll.data.columns import column_rows, conllu_rows
from unroll.data.delimited import delimited_rows
from unroll.data.delimiters import refuse_duplicates
from unroll.data.files import (
    COLUMNS,
    DELIMITED,
    class_files,
    decoded,
    decoder_of,
    format_of,
    has_plain_lines,
    opened_text,
    seekable,
    undecodable,
    wrong_byte,
)
from unroll.data.options import SourceOptions
from unroll.data.rows import Row, Unreadable, refused
from unroll.errors import DataError, nearest

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 2000


def rows_of(path: Path, source: SourceOptions) -> Iterator[Row]:
    """The rows of a file of text, or of a folder with a folder of texts per class, in order.

    A line that is no row (a wrong number of fields, broken JSON, bytes that are no characters), or a sentence with such
    a line, is an `Unreadable` with `source.skip_bad_rows`, else an error.
    """
    encoding, skip = source.encoding, source.skip_bad_rows
    if path.is_dir():
        return _folder_rows(path, encoding, skip)
    kind = format_of(path)
    if kind in DELIMITED:
        return delimited_rows(path, source)
    if kind == ".txt":
        return _line_rows(path, encoding, skip)
    if kind == ".conllu":
        return conllu_rows(path, encoding, skip)
    if kind in COLUMNS:
        return column_rows(path, encoding, skip)
    return _json_rows(path, encoding, skip)


def tables_of(path: Path) -> Iterator[pa.Table]:
    """The contents of a Parquet or .npz file, a few thousand rows at a time, in order."""
    return _parquet_tables(path) if format_of(path) == ".parquet" else _npz_tables(path)


def is_tabular(path: Path) -> bool:
    """Whether `tables_of` reads it rather than `rows_of`."""
    return not path.is_dir() and format_of(path) in (".parquet", ".npz")


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


def _json_rows(path: Path, encoding: str, skip: bool) -> Iterator[Row]:
    """One object per line; or, in .json, one list of objects, which is then held in memory."""
    with opened_text(path, encoding, lenient=True) as text:
        start = list(_until_content(text)) if format_of(path) == ".json" else []
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
    """The blank lines at the start and the first that is not."""
    for line in lines:
        yield line
        if line.strip():
            return


def json_lines(lines: Iterable[str], where: str, encoding: str, skip: bool) -> Iterator[Row]:
    """One row per line; blank lines are skipped. With `skip` a broken line is an `Unreadable`.

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


def _object(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg} at character {error.pos + 1})") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where}: not JSON that can be read ({error})") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: a JSON object with the columns is needed, not {row!r:.40}")
    return row


def _json_list(document: str, path: Path) -> Iterator[Row]:
    try:
        rows = json.loads(document)
    except json.JSONDecodeError as error:
        raise DataError(f"'{path}', line {error.lineno}: not JSON ({error.msg})") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"'{path}': not JSON that can be read ({error})") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"'{path}', item {number}: an object with the columns is needed, not {row!r:.40}")
        yield row


def _parquet_tables(path: Path) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with seekable(path) as plain:
        try:
            with pq.ParquetFile(plain, memory_map=True) as file:
                refuse_duplicates(file.schema_arrow.names, f"'{path}'")
                for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                    columns = [
                        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                        for column in batch.columns
                    ]
                    yield pa.Table.from_arrays(columns, names=batch.schema.names)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, PermissionError | FileNotFoundError):
                raise
            if plain.stat().st_size == 0:
                raise DataError(f"'{path}' is empty") from None
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"'{path}' is not a Parquet file, or is damaged ({first})") from None


def _npz_tables(path: Path) -> Iterator[pa.Table]:
    """Arrays by name, N rows each.

    An array with first dimension N is a column: (N,) numbers or texts, (N, T) sequences of one length, (N, T,
    D) with D features. Sequences of several lengths lie end to end in one array (total,) or (total, D), with
    `offsets` (or `offset`; for one array alone `NAME_offsets`) of N + 1 whole numbers from 0 to total: row i
    is `NAME[offsets[i]:offsets[i + 1]]`. Arrays of Python objects (pickles) are refused.
    """
    import numpy as np

    from unroll.data.npz import Member

    with seekable(path) as plain:
        try:
            with zipfile.ZipFile(plain) as archive:
                members = {m.name: m for m in (Member(archive, info, path) for info in archive.infolist())}
                offsets = {
                    name: m.whole().astype(np.int64)
                    for name, m in members.items()
                    if re.fullmatch(r"(.+_)?offsets?", name) and len(m.shape) == 1 and m.dtype.kind in "iu"
                }
                yield from _npz_rows(path, members, offsets)
        except (zipfile.BadZipFile, EOFError) as error:
            if plain.stat().st_size == 0:
                raise DataError(f"'{path}' is empty") from None
            raise DataError(f"'{path}' is not an .npz file, or is damaged ({error})") from None


def _npz_rows(path: Path, members: dict[str, Any], offsets: dict[str, Any]) -> Iterator[pa.Table]:
    import numpy as np
    import pyarrow as pa

    if not members:
        raise DataError(f"'{path}' is empty")
    for name, at in offsets.items():
        if not len(at) or at[0] != 0 or (np.diff(at) < 0).any():
            raise DataError(f"'{path}': '{name}' must start at 0 and never fall")
    columns = {name: m for name, m in members.items() if name not in offsets}
    for name, member in columns.items():
        if not member.shape:
            raise DataError(f"'{path}': '{name}' is a single value, not one per row")
    ragged: dict[str, Any] = {}
    for name, member in columns.items():
        for key in (f"{name}_offsets", f"{name}_offset", "offsets", "offset"):
            at = offsets.get(key)
            if at is not None and member.shape[0] == at[-1] and (key.startswith(name) or len(at) - 1 != at[-1]):
                ragged[name] = at
                break
    counts = {name: len(ragged[name]) - 1 if name in ragged else m.shape[0] for name, m in columns.items()}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise DataError(f"'{path}': the arrays disagree on the number of rows: {listed}")
    total = next(iter(counts.values()))
    for start in range(0, total, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, total)
        arrays = {
            name: member.lists(ragged[name][start : stop + 1]) if name in ragged else member.column(start, stop)
            for name, member in columns.items()
        }
        yield pa.table(arrays)


def standard_input(stream: IO[bytes], encoding: str, skip: bool = False, column: str = "text") -> Iterator[Row]:
    """Rows as they arrive: JSON lines if the first line that is not blank starts with `{`, else a row
    `{column: line}` per line. With `skip` a line that is no row is an `Unreadable`.
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


def require_columns(dataset_or_names: Any, wanted: Sequence[str], where: str) -> None:
    """Check that all `wanted` columns are there.

    Args:
        dataset_or_names: a `datasets.Dataset`, or the columns' names.
        wanted: names that are needed.
        where: the file or data set, for the message.

    Raises:
        DataError: one is not, with the name nearest to it.
    """
    names = list(getattr(dataset_or_names, "column_names", dataset_or_names))
    for name in wanted:
        if name not in names:
            raise DataError(f"'{where}' has no column '{name}'{nearest(name, names)}")
