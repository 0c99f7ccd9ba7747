"""Read CSV and TSV files one record at a time; errors name the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from unroll.data.files.content import format_read
from unroll.data.files.delimiters import Header, first_lines, joined_rows, judge, shown
from unroll.data.files.paths import decoded, opened_text, undecodable, wrong_byte
from unroll.data.files.rows import Row, Unreadable, refused
from unroll.data.options import SourceOptions
from unroll.errors import DataError

_FIELD_LIMIT = 2**31 - 1
# Lines within one pair of quotes after which an unclosed quote is suspected.
_LONGEST = 1000


def delimited_rows(path: Path, source: SourceOptions) -> Iterator[Row]:
    """Read rows with every cell as text. Blank lines are skipped; quoted fields may contain line breaks.

    An invalid record is an `Unreadable` with `source.skip_bad_rows`.

    Raises:
        DataError: it is not to be left out, or the header cannot be used.
    """
    skip = source.skip_bad_rows
    csv.field_size_limit(_FIELD_LIMIT)
    with opened_text(path, source.encoding, newline="", lenient=True) as text:
        lines = iter(text)
        head, complete = first_lines(lines)
        _check_header(head, path, source)
        header = judge(head, complete, format_read(path, source), source, f"'{path}'")
        rest = chain(head[header.before :], lines)
        yield from _Records(path, source, header, rest if skip else decoded(rest, path, source.encoding)).rows()


def notes_of(path: Path, source: SourceOptions) -> tuple[str, ...]:
    """Describe how a file is written (delimiter, quoting, unnamed columns); each note has the file's name."""
    with opened_text(path, source.encoding, newline="", lenient=True) as text:
        head, complete = first_lines(iter(text))
    _check_header(head, path, source)
    header = judge(head, complete, format_read(path, source), source, f"'{path}'")
    return tuple(f"{path}: {note}" for note in header.notes)


def _check_header(head: list[str], path: Path, source: SourceOptions) -> None:
    line = next((line for line in head if line.strip()), None)
    if line is None:
        raise DataError(f"'{path}' is empty")
    if wrong := wrong_byte(line, source.encoding):
        raise (
            DataError(f"'{path}', in the header: {wrong}")
            if source.skip_bad_rows
            else undecodable(path, source.encoding)
        )


class _Records:
    """Parse the records of a file; the first of `lines` is the header, or with `header: none` a row."""

    def __init__(self, path: Path, source: SourceOptions, header: Header, lines: Iterator[str]) -> None:
        self._path, self._source, self._header = path, source, header
        self._held: list[str] = []
        self._first = header.before
        self._reader = header.dialect.records(self._watched(lines))
        self._trusted = source.quoting == "csv" or not header.dialect.quoted

    def rows(self) -> Iterator[Row]:
        dialect, names = self._header.dialect, self._header.names
        start = self._first + 1
        in_header = self._source.header != "none"
        while True:
            self._held.clear()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = self._broken(start, str(error))
                if in_header or "never closed" in reason:
                    raise DataError(reason) from None
                yield refused(reason, self._source.skip_bad_rows)
                cells = []
            if len(self._held) > 1 and not self._trusted and joined_rows(self._held, dialect, len(names)):
                last = self._first + self._reader.line_num
                raise DataError(f"'{self._path}': a quote is opened in line {start} and closed in line {last}, {_ROWS}")
            if cells and not in_header:
                yield self._row(cells, start)
            in_header = False
            start = self._first + self._reader.line_num + 1

    def _watched(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._held.append(line)
            if len(self._held) == _LONGEST and not self._trusted:
                names = self._header.names
                if joined_rows(self._held, self._header.dialect, len(names)):
                    start = self._first + self._reader.line_num + 2 - _LONGEST
                    where = f"'{self._path}': a quote is opened in line {start} and not closed"
                    raise DataError(f"{where} within {_LONGEST} lines, {_ROWS}")
            yield line

    def _broken(self, start: int, error: str) -> str:
        if "unexpected end" in error:
            error = "a quoted field is opened here and never closed"
        else:
            error += "; inside quotes a quote is written twice"
        return f"'{self._path}', line {start}: {error}, or give --quoting none if quotes are text"

    def _row(self, cells: list[str], start: int) -> Row:
        names, skip = self._header.names, self._source.skip_bad_rows
        where = f"'{self._path}', line {start}"
        wrong = next((w for cell in cells if (w := wrong_byte(cell, self._source.encoding))), "") if skip else ""
        if wrong:
            return Unreadable(f"{where}: {wrong}")
        if any("\0" in cell for cell in cells):
            return refused(f"{where}: a NUL character, which no text has", skip)
        if len(cells) != len(names):
            hint = f"; a field with {shown(self._header.dialect.delimiter)} in it needs quotes"
            hint = hint if self._header.dialect.quoted else ""
            first = "header" if self._source.header != "none" else "first line"
            if str(names[0]).startswith("#"):
                hint = "; the header begins with '#': if that is a comment, remove the line"
            fields = f"{len(cells)} field{'s' if len(cells) > 1 else ''}"
            return refused(f"{where}: {fields}, but the {first} has {len(names)}{hint}", skip)
        if None in names:
            for number, (name, cell) in enumerate(zip(names, cells, strict=True), start=1):
                if name is None and cell.strip():
                    what = f"{cell!r:.40} stands in column {number}, which has no name"
                    return refused(f"{where}: {what}; name it in the header", skip)
        return {name: cell for name, cell in zip(names, cells, strict=True) if name is not None}


_ROWS = (
    "but each of these lines looks like a row; write quotes twice inside quotes, or give --quoting none if quotes are "
    "text (--quoting csv if it is one field)"
)
