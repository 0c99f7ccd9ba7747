"""Detect the format of a file: as an option says, by its name, or by its first lines where the name says nothing."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from unroll.data.files.conll_comments import split_cells
from unroll.data.files.delimiters import judge
from unroll.data.files.paths import FORMATS, blaming, decoder_of, format_of, opened, seekable
from unroll.data.options import SourceOptions
from unroll.errors import DataError

_BYTES = 2**16
_LINES = 200
_LONGEST_NAME = 40
_LEAST_TOKENS = 6
_LEAST_LINES, _MANY_LINES = 3, 10
_WORDS = {
    ".jsonl": "JSON lines",
    ".json": "a JSON list",
    ".csv": "a table of fields",
    ".conll": "CoNLL columns",
    ".conllu": "CoNLL-U",
    ".parquet": "Parquet",
    ".npz": "an .npz archive",
    ".xlsx": "an Excel workbook",
}
_CONLLU_ID = re.compile(r"\d+([-.]\d+)?")


def format_read(path: Path, source: SourceOptions) -> str:
    """Return the format in which a file is read: ".csv", ".jsonl", ...

    It is `source.input_format`, or that of the file's name. Where that is none or .txt, the content is looked at:
    another format is taken only if nothing else is possible.

    Raises:
        DataError: no format is known by the name or the content, or several are possible.
    """
    if source.input_format != "auto":
        return f".{source.input_format}"
    named = format_of(path)
    if named not in ("", ".txt"):
        return named
    with blaming(path):
        stat = path.stat()
        found = _looked_at(path, (stat.st_mtime_ns, stat.st_size), source)
    if found:
        return found
    if named:
        return named
    raise DataError(
        f"'{path}' is of no known format: its name ends in none of {', '.join(FORMATS)}, and its content shows none; "
        "give --input-format (txt: a text on each line)"
    )


def format_note(path: Path, source: SourceOptions) -> tuple[str, ...]:
    """Say in which format a file is read, if its content decided it."""
    kind = format_read(path, source)
    if source.input_format != "auto" or kind == format_of(path):
        return ()
    return (f"{path}: read as {_WORDS[kind]}, as its content shows (--input-format tells otherwise)",)


@lru_cache(maxsize=256)
def _looked_at(path: Path, state: tuple[int, int], source: SourceOptions) -> str:
    """Detect the format by content; "" for none. `state` makes the answer of a changed file another one."""
    with opened(path) as stream:
        head = stream.read(_BYTES)
    if head.startswith(b"PAR1"):
        return ".parquet"
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    codec = decoder_of(source.encoding)
    if b"\0" in head and not codec.startswith(("utf-16", "utf-32")):
        return ""
    text = codecs.getincrementaldecoder(codec)("replace").decode(head)
    lines = list(io.StringIO(text, newline=""))
    complete = len(head) < _BYTES
    if not complete:
        lines = lines[:-1]  # it may be cut
    lines = lines[:_LINES]
    if not any(line.strip() for line in lines):
        return ""
    table = ".csv" if _is_table(lines, complete, path, source) else ""
    found = [kind for kind in (_json(lines), _columns(lines), table) if kind]
    if len(found) > 1:
        which = " or ".join(_WORDS[kind] for kind in found)
        raise DataError(f"'{path}' may be {which}; give --input-format")
    return found[0] if found else ""


def _zipped(path: Path) -> str:
    with seekable(path) as plain:
        try:
            names = zipfile.ZipFile(plain).namelist()
        except zipfile.BadZipFile as error:
            raise DataError(f"'{path}' is a damaged archive ({error})") from None
    if "xl/workbook.xml" in names:
        return ".xlsx"
    return ".npz" if names and all(name.endswith(".npy") for name in names) else ""


def _json(lines: Sequence[str]) -> str:
    """Return ".jsonl" if every line is an object, ".json" for the start of a list of objects, else ""."""
    filled = [line for line in lines if line.strip()]
    if re.match(r"\s*\[\s*\{", "".join(filled[:3])):
        return ".json"
    try:
        return ".jsonl" if all(isinstance(json.loads(line), dict) for line in filled) else ""
    except (ValueError, RecursionError):
        return ""


def _columns(lines: Sequence[str]) -> str:
    """Return ".conllu" or ".conll" for lines of tokens with columns, in blocks with blank lines between, else ""."""
    blocks = "".join(lines).replace("\r\n", "\n").strip("\n").split("\n\n")
    rows = [line for block in blocks for line in block.split("\n")]
    rows = [line for line in rows if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    if not rows:
        return ""
    if all(len(row.split("\t")) == 10 and _CONLLU_ID.fullmatch(row.split("\t")[0]) for row in rows):
        return ".conllu"
    cells = [split_cells(row, "\t" in rows[0]) for row in rows]
    widths, last = {len(row) for row in cells}, {row[-1] for row in cells}
    few = len(last) * 2 <= len(rows)  # tags recur, words of a verse do not
    tokens = len(blocks) > 1 and len(rows) >= _LEAST_TOKENS and len(widths) == 1 and min(widths) > 1
    return ".conll" if tokens and few else ""


def _is_table(lines: Sequence[str], complete: bool, path: Path, source: SourceOptions) -> bool:
    """Tell whether the lines are rows of a table with the same number of fields, at least two.

    Raises:
        DataError: they are, but the first line names no columns, or the delimiter is not certain.
    """
    filled = [line for line in lines if line.strip()]
    last = max(i for i, line in enumerate(lines) if line.strip())
    if len(filled) < 2 or any(not line.strip() for line in lines[: last + 1]):
        return False
    try:
        header = judge(lines, complete, ".csv", replace(source, header="first"), f"'{path}'")
        records = list(header.dialect.records(lines))
    except (DataError, csv.Error):
        return False
    if len(header.names) < 2 or {len(record) for record in records if record} != {len(header.names)}:
        return False
    if source.delimiter or source.header != "auto":
        return True
    # Lines of text may have a comma each, with a blank behind it; many lines with as many of them are a table.
    spaced = header.dialect.spaced or any(cell.startswith(" ") for record in records for cell in record)
    if len(filled) < _LEAST_LINES or (spaced and (len(header.names) < 3 or len(filled) < _MANY_LINES)):
        return False
    try:
        judge(lines, complete, ".csv", source, f"'{path}'")
    except DataError as error:
        hint = ", or --input-format txt if each line is a text" if format_of(path) else ""
        raise DataError(f"{error}{hint}") from None
    return all(0 < len(name or "") <= _LONGEST_NAME for name in header.names)
