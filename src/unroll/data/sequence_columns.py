"""Make numeric sequences of the columns of a table.

id,x0,x1,x2,label             wide: a row is a sequence, its columns are the steps
id,time,speed,load,label      long: the rows of one id are a sequence, its columns are the features
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unroll.data.bad_rows import BadRow
from unroll.data.files.rows import grouped
from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.time_column import numbers_of
from unroll.data.timeseries.timestamps import read_stamps
from unroll.data.values import is_missing
from unroll.errors import DataError, OptionError


@dataclass(frozen=True)
class ColumnSequences:
    """Hold the sequences of a table.

    Attributes:
        sequences: each (T,) or (T, D) float64.
        bad: positions of sequences that cannot be used, and why.
        names: of the series, for a long table.
        rows: the table's rows of each sequence, in order of time, for a long table.
        notes: what is not obvious, for the user.
    """

    sequences: list[np.ndarray]
    bad: list[BadRow]
    names: tuple[str, ...] = ()
    rows: tuple[np.ndarray, ...] = ()
    notes: tuple[str, ...] = ()


def wide_sequences(table: ColumnTable, columns: Sequence[str]) -> ColumnSequences:
    """Read a sequence from each row, one step a column; empty cells at the end of a row end its sequence.

    Raises:
        DataError: the decimal mark of a column is ambiguous.
    """
    values, empty, bad = _numbers(table, columns)
    T = len(columns)
    lengths = np.where(empty.all(1), 0, T - (~empty[:, ::-1]).argmax(1))
    for row, step in np.argwhere(empty & (np.arange(T) < lengths[:, None])):
        bad.setdefault(int(row), f"'{columns[step]}' is empty, and a column after it is not")
    for row in np.flatnonzero(lengths == 0):
        bad[int(row)] = f"the columns '{columns[0]}' to '{columns[-1]}' are all empty"
    shorter = int(((lengths > 0) & (lengths < T)).sum())
    what = "1 row ends" if shorter == 1 else f"{shorter:,} rows end"
    notes = (f"{what} before '{columns[-1]}': the empty cells at their end are no steps",) if shorter else ()
    sequences = [row[:length] for row, length in zip(values, lengths.tolist(), strict=True)]
    return ColumnSequences(sequences, sorted(bad.items()), notes=notes)


def feature_columns(table: ColumnTable, taken: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Choose the features of a long table: every numeric column that is not `taken`; also return a note on them.

    Raises:
        DataError: there is none.
    """
    free = [name for name in table.names if name not in taken]
    chosen = tuple(name for name in free if _has_numbers(table, name))
    if not chosen:
        raise DataError(f"{table.where} has no numeric column beside {', '.join(repr(name) for name in taken if name)}")
    left = [name for name in free if name not in chosen]
    note = f"the features are the numeric columns {_listed(chosen)}"
    return chosen, note + (f"; left out, because they hold no numbers: {_listed(left)}" if left else "")


def long_sequences(
    table: ColumnTable, series_id: str, time: str, columns: Sequence[str], date_format: str = ""
) -> ColumnSequences:
    """Read a sequence from all rows of each series, in order of `time`, or of the table if it is "".

    Raises:
        DataError: a row has no name of its series, or a time that cannot be read; the decimal mark is ambiguous.
    """
    ids = table.texts(series_id)
    nameless = next((row for row, name in enumerate(ids) if name is None), None)
    if nameless is not None:
        raise DataError(f"{table.at(nameless, series_id)}: the name of the series is empty")
    codes, names = grouped(ids)
    times = _times(table, time, date_format) if time else np.arange(len(ids))
    order = np.lexsort((times, codes))
    rows = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    values, empty, wrong = _numbers(table, columns)
    bad: dict[int, str] = {}
    for row, reason in wrong.items():
        bad.setdefault(int(codes[row]), f"row {row + 1}, {reason}")
    for row, column in np.argwhere(empty):
        bad.setdefault(int(codes[row]), f"row {row + 1}, '{columns[column]}' is empty")
    same = np.flatnonzero((np.diff(codes[order]) == 0) & (times[order][1:] == times[order][:-1]))
    for one, other in zip(order[same].tolist(), order[same + 1].tolist(), strict=True):
        shown = table.shown(one, time)
        bad.setdefault(int(codes[one]), f"rows {one + 1} and {other + 1} are at the same time, {shown}")
    return ColumnSequences([values[at] for at in rows], sorted(bad.items()), tuple(names), tuple(rows))


def constant_values(found: ColumnSequences, cells: Sequence[Any], what: str) -> tuple[list[Any], list[BadRow]]:
    """Read the one value of each series in a column; also return the series that have several.

    Args:
        found: the series of the table.
        cells: the column's values, one per row of the table.
        what: the column in messages: "the label".
    """
    values: list[Any] = []
    bad: list[BadRow] = []
    for position, rows in enumerate(found.rows):
        first, *rest = sorted(rows.tolist())
        other = next((row for row in rest if not _same(cells[row], cells[first])), None)
        if other is not None:
            both = f"{cells[first]!r:.40} in row {first + 1}, {cells[other]!r:.40} in row {other + 1}"
            bad.append((position, f"{what} is not the same in all its rows: {both}"))
        values.append(cells[first])
    return values, bad


def refuse_overlap(columns: Sequence[str], others: dict[str, str]) -> None:
    """Check that no column of the sequence has another use too; `others`: use -> column.

    Raises:
        OptionError: one has.
    """
    for use, name in others.items():
        if name and name in columns:
            raise OptionError(f"the column '{name}' is {use}, and a part of the sequence too")


def _numbers(table: ColumnTable, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Read columns as numbers (N, D); also return which cells are empty, and what is wrong in a row."""
    read = [table.certain(name) for name in columns]
    wrong = {
        int(row): f"'{name}' holds {table.shown(int(row), name)}, which is no number"
        for name, column in zip(columns, read, strict=True)
        for row in column.wrong
    }
    return np.stack([c.values for c in read], 1), np.stack([c.empty for c in read], 1), wrong


def _times(table: ColumnTable, name: str, date_format: str) -> np.ndarray:
    numbers = table.numbers(name)
    if numbers.numeric and not date_format:
        values = table.certain(name).values
        wrong = {row: f"{table.shown(row, name)} in '{name}' is no number" for row in numbers.wrong.tolist()}
        wrong |= dict.fromkeys(np.flatnonzero(numbers.empty).tolist(), f"'{name}' is empty")
    else:
        stamps = read_stamps(table, name, date_format=date_format, numbers=numbers_of(name))
        values, wrong = stamps.values, stamps.wrong
    if wrong:
        row = min(wrong)
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DataError(f"{table.where} cannot be sorted by time: row {row + 1}, {wrong[row]}{more}")
    return np.asarray(values)


def _has_numbers(table: ColumnTable, name: str) -> bool:
    column = table.numbers(name)
    return column.numeric and not column.empty.all()


def _same(one: Any, other: Any) -> bool:
    if is_missing(one) or is_missing(other):
        return is_missing(one) and is_missing(other)
    return bool(np.all(one == other))


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(f"'{name}'" for name in names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))
