"""Detect the delimiter, quoting and column names of a CSV or TSV file from its first lines."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unroll.data.options import DELIMITERS, SourceOptions
from unroll.errors import DataError

_CANDIDATES = (",", ";", "\t", "|")
_RECORDS = 500
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NUMBER = re.compile(r"[+\-\u2212]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ][\d:.+Z-]*)?")
# What makes a writer of spreadsheets or of CSV put a field in quotes.
_NEEDS_QUOTES = re.compile('[",\r\n\t]')


@dataclass(frozen=True)
class Dialect:
    """Delimiter and quoting of a file.

    Attributes:
        delimiter: one character.
        quoted: whether quotes enclose fields, rather than being text.
        spaced: whether a blank after each delimiter is dropped.
    """

    delimiter: str
    quoted: bool = True
    spaced: bool = False

    def records(self, lines: Iterable[str]) -> Any:
        """Return a `csv.reader` over lines."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar='"' if self.quoted else None,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            skipinitialspace=self.spaced,
            strict=True,
        )


@dataclass(frozen=True)
class Header:
    """Hold what was detected from the first lines of a file.

    Attributes:
        dialect: delimiter and quoting.
        before: number of lines before the first record.
        names: of the columns; None for one that has neither a name nor, in the first lines, content.
        notes: what differs from the defaults, for the user.
    """

    dialect: Dialect
    before: int
    names: tuple[str | None, ...]
    notes: tuple[str, ...]


def judge(head: Sequence[str], complete: bool, kind: str, source: SourceOptions, where: str) -> Header:
    """Find the delimiter, the quoting and the columns' names.

    Args:
        head: the first lines, with their ends.
        complete: whether these are all lines.
        kind: ".csv" or ".tsv".
        source: the user's options.
        where: the file, for messages.

    Raises:
        DataError: two delimiters fit equally well, there is no header, or its names cannot be used.
    """
    before = next((number for number, line in enumerate(head) if line.strip()), 0)
    declared = _DECLARED.fullmatch(head[before])
    if declared:
        before = next((n for n, line in enumerate(head) if n > before and line.strip()), before + 1)
    lines = head[before:]
    if not lines:
        raise DataError(f"{where} has no rows")
    given = DELIMITERS.get(source.delimiter, source.delimiter) or (declared[1] if declared else "")
    usual = "\t" if kind == ".tsv" else ","
    if given or kind == ".tsv":
        fit = _quoting(_fit(given or usual, lines, complete, source), lines, complete, source)
    else:
        fits = [_quoting(_fit(one, lines, complete, source), lines, complete, source) for one in _CANDIDATES]
        fit = _best([one for one in fits if one.width > 1], lines, where) or fits[0]
    notes = []
    if fit.dialect.delimiter != usual and not source.delimiter:
        notes.append(f"fields are separated by {shown(fit.dialect.delimiter)}")
    if not fit.dialect.quoted and source.quoting == "auto" and any('"' in line for line in lines):
        notes.append("quotes are taken as text (--quoting csv takes them as enclosing fields)")
    if not fit.records:
        return Header(fit.dialect, before, (), tuple(notes))  # reading it raises what is wrong
    names, said = column_names(fit.records, source, where)
    return Header(fit.dialect, before, names, (*notes, *said))


def column_names(
    records: Sequence[Sequence[str]], source: SourceOptions, where: str
) -> tuple[tuple[str | None, ...], list[str]]:
    """Return the columns' names, None for one with neither name nor content, and what to say about them.

    Args:
        records: the first ones, with the header or, with `header: none`, without.
        source: the user's options.
        where: the file, for messages.

    Raises:
        DataError: the first record is no header, or its names cannot be used.
    """
    if source.header == "none":
        return tuple(str(i) for i in range(len(records[0]))), []
    if source.header == "auto":
        _refuse_values(records, where)
        _refuse_repeated(records, where)
    return _names(records, where)


def shown(delimiter: str) -> str:
    """Return a delimiter's name for messages."""
    return "tabs" if delimiter == "\t" else f"'{delimiter}'"


@dataclass(frozen=True)
class _Fit:
    """Hold the first records as parsed with a dialect."""

    dialect: Dialect
    records: list[list[str]]
    broken: bool

    @property
    def width(self) -> int:
        return len(self.records[0]) if self.records else 0

    @property
    def share(self) -> float:
        """Share of rows with as many fields as the header."""
        same = sum(len(record) == self.width for record in self.records[1:])
        return (same if len(self.records) > 1 else 1) / max(len(self.records) - 1 + self.broken, 1)

    @property
    def prose(self) -> bool:
        """Whether a name begins with a blank and a cell below it does not, as after a comma in a text."""
        return not self.dialect.spaced and any(
            name.startswith(" ") and any(len(r) > i and r[i] and not r[i].startswith(" ") for r in self.records[1:])
            for i, name in enumerate(self.records[0])
        )


def _fit(delimiter: str, lines: Sequence[str], complete: bool, source: SourceOptions) -> _Fit:
    fit = _parsed(Dialect(delimiter, source.quoting != "none"), lines, complete)
    rest = [cell for record in fit.records for cell in record[1:]]
    if rest and all(cell.startswith(" ") for cell in rest if cell) and any(rest):
        return _parsed(replace(fit.dialect, spaced=True), lines, complete)
    return fit


def _parsed(dialect: Dialect, lines: Sequence[str], complete: bool) -> _Fit:
    records: list[list[str]] = []
    reader = dialect.records(lines)
    try:
        for record in reader:
            if record:
                records.append(record)
            if len(records) > _RECORDS:
                break
    except csv.Error as error:
        return _Fit(dialect, records, broken=complete or "unexpected end" not in str(error))
    return _Fit(dialect, records, broken=False)


def _quoting(fit: _Fit, lines: Sequence[str], complete: bool, source: SourceOptions) -> _Fit:
    """Take quotes in a tab-separated file as text, unless they clearly enclose fields."""
    if fit.dialect.delimiter != "\t" or source.quoting != "auto" or not any('"' in line for line in lines):
        return fit
    plain = _parsed(replace(fit.dialect, quoted=False), lines, complete)
    if plain.records and all(re.fullmatch(r'".*"\s*', name) for name in plain.records[0]):
        return fit
    if fit.broken or fit.share < 1 or not fit.records:
        return plain
    enclosed = {cell for record in fit.records for cell in record}.difference(*plain.records)
    needed = all(_NEEDS_QUOTES.search(cell) for cell in enclosed)
    swallowed = any("\n" in cell and "\t" in cell for cell in enclosed)
    return fit if enclosed and needed and not swallowed else plain


def _best(fits: Sequence[_Fit], lines: Sequence[str], where: str) -> _Fit | None:
    """Choose the dialect that reads the lines as a table; None where the header has one field with every dialect.

    Raises:
        DataError: two of them give a table.
    """
    if not fits:
        return None
    most = max(fit.share for fit in fits)
    best = [fit for fit in fits if fit.share == most]
    strays = [_strays(fit.dialect.delimiter, lines) for fit in best]
    best = [fit for fit, stray in zip(best, strays, strict=True) if stray == min(strays)]
    best = [fit for fit in best if not fit.prose] or best
    if len(best) > 1 and most > 0:
        readings = " or ".join(
            f"{shown(fit.dialect.delimiter)} (columns {', '.join(f'{name!r:.40}' for name in fit.records[0][:3])})"
            for fit in best[:2]
        )
        raise DataError(f"the fields of {where} may be separated by {readings}; say which with --delimiter")
    return best[0]


def _strays(delimiter: str, lines: Sequence[str]) -> int:
    """Count quotes in the first lines that do not enclose a field."""
    at = re.escape(delimiter)
    enclosed = re.compile(rf'(?:(?<=^)|(?<={at})|(?<={at} ))"(?:[^"]|"")*"(?={at}|\r?\n|\r|$)', re.MULTILINE)
    text = "".join(lines[:_RECORDS])
    return text.count('"') - sum(found[0].count('"') for found in enclosed.finditer(text))


def _refuse_values(records: Sequence[Sequence[str]], where: str) -> None:
    """Reject a first line that looks like data: numbers and dates above numbers and dates.

    Whole numbers that count up are names, as pandas writes them for columns without any.
    """
    named = [(i, cell.strip()) for i, cell in enumerate(records[0]) if cell.strip()]
    counted = [int(cell) for _, cell in named if cell.isascii() and cell.isdecimal() and len(cell) < 6]
    if not named or len(records) < 2 or not all(_is_value(cell) for _, cell in named):
        return
    if (
        len(counted) == len(named)
        and counted == list(range(counted[0], counted[0] + len(named)))
        and (len(named) > 1 or counted[0] < 2)
    ):
        return
    below = [record[i].strip() for record in records[1:6] for i, _ in named if i < len(record)]
    if all(not cell or _is_value(cell) for cell in below) and any(below):
        raise DataError(
            f"{where} has no header: its first line holds values ({', '.join(cell for _, cell in named[:3])}), like "
            f"the lines below; {_REMEDY}"
        )


def _refuse_repeated(records: Sequence[Sequence[str]], where: str) -> None:
    """Reject a first line with a cell that many lines below have in the same column, as labels do."""
    below = [record for record in records[1:] if record != records[0]]  # else it is a header that is repeated
    for i, name in enumerate(cell.strip() for cell in records[0]):
        same = sum(i < len(record) and record[i].strip() == name for record in below) if name else 0
        if same > 1 and same * _REPEATED >= len(below):
            same += len(records) - 1 - len(below)
            raise DataError(
                f"{where} has no header: '{name:.40}' of its first line stands in column {i + 1} of {same} lines below"
                f" too; {_REMEDY}"
            )


_REPEATED = 50
"""A name is no label if fewer than one line in this many has it."""
_REMEDY = "give --header none, and name the columns 0, 1, 2, ... (--header first takes the line as names)"


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell))


def _names(records: Sequence[Sequence[str]], where: str) -> tuple[tuple[str | None, ...], list[str]]:
    """Return the column names; an unnamed column with content is named by its position, as in pandas."""
    if any("\0" in name for name in records[0]):
        raise DataError(f"{where}, in the header: a NUL character, so this is no text, or in an encoding like utf-16")
    names: list[str | None] = [name.strip() for name in records[0]]
    content = [False] * len(names)
    for record in records[1:]:
        for i, cell in enumerate(record[: len(names)]):
            content[i] = content[i] or bool(cell.strip())
    said = []
    unnamed = [i for i, name in enumerate(names) if not name]
    for i in unnamed:
        names[i] = f"Unnamed: {i}" if content[i] or len(names) == 1 else None
    if left := [i for i in unnamed if names[i] is None]:
        said.append(f"{len(left)} column{'s' if len(left) > 1 else ''} without a name or content left out")
    if kept := [names[i] for i in unnamed if names[i] is not None]:
        said.append(f"columns without a name are called {', '.join(repr(name) for name in kept[:5])}")
    refuse_duplicates([name for name in names if name is not None], where)
    return tuple(names), said


def refuse_duplicates(names: Iterable[str], where: str) -> None:
    """Check that no two columns have the same name.

    Raises:
        DataError: two have.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where} has more than one column named {', '.join(repr(n) for n in twice[:5])}")


def joined_rows(lines: Sequence[str], dialect: Dialect, width: int) -> bool:
    """Tell whether the lines of one multi-line quoted record each look like a row of their own."""
    if len(lines) < 3 or (len(lines) - 1) * (width - 1) < 4:
        return False
    plain = replace(dialect, quoted=False)
    return all(len(record) == width for record in plain.records(lines))


def first_lines(lines: Iterator[str], characters: int = 2**20) -> tuple[list[str], bool]:
    """Read the first lines, about `characters` long in all; also return whether the file ends there."""
    head: list[str] = []
    size = 0
    for line in lines:
        head.append(line)
        size += len(line)
        if size >= characters:
            return head, False
    return head, True
