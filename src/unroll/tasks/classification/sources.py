"""Read labelled data from files or tables: columns of texts or lists, wide tables and long tables of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.bad_rows import LEAVE_OUT, LEAVE_OUT_HERE, BadRow, describe
from unroll.data.files.column_names import find_columns
from unroll.data.files.dataset import Unreadable, read_rows
from unroll.data.files.memory_mapped import lean_table
from unroll.data.files.rows import Row, require_columns
from unroll.data.options import Decimal, SourceOptions
from unroll.data.ragged import iter_column
from unroll.data.sequence_columns import (
    ColumnSequences,
    constant_values,
    feature_columns,
    long_sequences,
    refuse_overlap,
    wide_sequences,
)
from unroll.data.tables import column_of, is_frame, is_table, names_of
from unroll.data.timeseries.table import ColumnTable
from unroll.errors import DataError, OptionError, nearest
from unroll.tasks.classification.options import ClassificationOptions

if TYPE_CHECKING:
    import datasets

Log = Callable[[str], None]


@dataclass(frozen=True)
class LabelledRows:
    """Hold labelled data as it was read.

    Attributes:
        source: all rows, or the input values of all rows or series in memory.
        targets: their targets.
        weights: their weights in the loss, if the options name a column of them.
        options: the columns, resolved.
        where: name of the data in messages.
        remedy: what can be done about bad rows.
        bad: rows or series without a usable sequence, or with several labels.
        names: of the series, for a long table.
        first: table row of each series, for messages; None: the rows are those of the table.
    """

    source: datasets.Dataset | list[Any]
    targets: list[Any]
    options: ClassificationOptions
    where: str
    remedy: str
    bad: tuple[BadRow, ...] = ()
    names: tuple[str, ...] = ()
    first: np.ndarray | None = None
    weights: Sequence[Any] | None = None


def read_labelled(data: Any, options: ClassificationOptions, source: SourceOptions, say: Log) -> LabelledRows:
    """Read labelled data: files, a hub name, or a table.

    Args:
        data: where the rows are.
        options: the columns.
        source: how files are read.
        say: called with notes on what was detected and left out.

    Raises:
        DataError: the data cannot be read, or lacks a column.
        OptionError: it is not said which column holds the sequences.
    """
    dataset, where, remedy = _opened(data, source, say)
    weighted = options.sample_weight
    if is_table(data) and not options.of_columns:
        values, targets = column_of(data, options.column), column_of(data, options.label)
        weights = column_of(data, weighted, where) if weighted else None
        return LabelledRows(values, targets, options, where, remedy, weights=weights)
    given = options.sequence
    options = input_columns(options, names_of(dataset), where)
    require_columns(names_of(dataset), [name for name in (options.label, weighted) if name], where)
    if not options.of_columns:
        targets, weights = (list(iter_column(dataset, name)) if name else None for name in (options.label, weighted))
        return LabelledRows(dataset, targets or [], options, where, remedy, weights=weights)
    weights = column_of(dataset, weighted, where) if weighted else None
    found, options = _sequences(_column_table(dataset, where, source.decimal), options, say)
    if not options.series_id:
        if given != options.sequence:
            say(f"the sequence of a row is {len(options.sequence)} columns, {_ends(options.sequence)}")
        return LabelledRows(
            found.sequences,
            column_of(dataset, options.label),
            options,
            where,
            remedy,
            tuple(found.bad),
            weights=weights,
        )
    targets, several = constant_values(found, column_of(dataset, options.label), f"'{options.label}'")
    first = np.array([rows.min() for rows in found.rows])
    bad = [*found.bad, *several]
    if weights is not None:
        weights, several = constant_values(found, weights, f"'{weighted}'")
        bad += several
    return LabelledRows(found.sequences, targets, options, where, remedy, tuple(bad), found.names, first, weights)


def input_columns(options: ClassificationOptions, names: Sequence[str], where: str) -> ClassificationOptions:
    """Resolve the input columns: those of the options, or a column called "text".

    Raises:
        DataError: a named column is not there.
        OptionError: none was named and there is no column "text"; a column has two uses.
    """
    others = {
        "the label": options.label,
        "sample_weight": options.sample_weight,
        "series_id": options.series_id,
        "the time": options.time,
    }
    if not (options.text or options.sequence or options.series_id):
        if "text" not in names:
            raise OptionError(
                f"say which column of {where} holds the sequences, with --text or --sequence; "
                f"there is: {', '.join(names)}"
            )
        options = replace(options, text="text")
    require_columns(names, [name for name in (options.text, options.series_id, options.time) if name], where)
    sequence = find_columns(options.sequence, names, where, without=list(others.values()))
    refuse_overlap(sequence, others)
    return replace(options, sequence=sequence)


def series_records(
    data: Any, options: ClassificationOptions, source: SourceOptions, keep: Sequence[str], say: Log
) -> Iterator[Row]:
    """Read the records of a long table: one for each series, with its name, its sequence and the columns of `keep`.

    A series that cannot be used is an `Unreadable` with `source.skip_bad_rows`.

    Raises:
        DataError: the data cannot be read, or a series cannot be used.
    """
    if not is_table(data) and list(data) == ["-"]:
        raise DataError("standard input is answered row by row, but a long table is read whole; put it into a file")
    dataset, where, _ = _opened(data, source, say)
    options = input_columns(replace(options, label=""), names_of(dataset), where)
    require_columns(names_of(dataset), keep, where)
    found, options = _sequences(_column_table(dataset, where, source.decimal), options, say)
    bad = list(found.bad)
    kept: dict[str, list[Any]] = {options.series_id: list(found.names)}
    for column in keep:
        if column != options.series_id:
            kept[column], several = constant_values(found, column_of(dataset, column), f"'{column}'")
            bad += several
    if bad and not source.skip_bad_rows:
        remedy = "skip_bad_rows=True" if is_table(data) else "--skip-bad-rows"
        said = describe(bad, len(found.names), where, names=found.names)
        raise DataError(f"{said}; {remedy} answers them with errors instead")
    reasons = dict(bad)
    for position, steps in enumerate(found.sequences):
        row: Row = Unreadable(reasons[position]) if position in reasons else {options.column: steps}
        row.update({column: values[position] for column, values in kept.items()})
        yield row


def row_sequences(
    records: Sequence[Mapping[str, Any]], options: ClassificationOptions, decimal: Decimal
) -> tuple[list[Any], dict[int, str]]:
    """Make the sequences of records from their columns, or take the value of `options.column`.

    Also returns what is wrong, by position.
    """
    import pandas as pd

    columns, values, bad = options.sequence, [record.get(options.column) for record in records], {}
    wide = [i for i, record in enumerate(records) if options.column not in record]
    for i in list(wide):
        missing = next((name for name in columns if name not in records[i]), None)
        if options.series_id or missing is not None:
            name = options.column if options.series_id else missing
            bad[i] = f"there is no '{name}'{nearest(str(name), records[i])}"
            wide.remove(i)
    if wide:
        frame = pd.DataFrame(
            [[records[i][name] for name in columns] for i in wide], columns=list(columns), dtype=object
        )
        found = wide_sequences(ColumnTable(frame, "the data", decimal), columns)
        for i, sequence in zip(wide, found.sequences, strict=True):
            values[i] = sequence
        bad |= {wide[position]: reason for position, reason in found.bad}
    return values, bad


def _opened(data: Any, source: SourceOptions, say: Log) -> tuple[Any, str, str]:
    """Read files, or take a table; also return the data's name, and what can be done about its bad rows."""
    if is_table(data):
        return data, "the table", LEAVE_OUT_HERE
    left_out = "lines left out because they are no rows, the first:"
    return *read_rows(data, source, say, lambda n: f"{n} {left_out}"), LEAVE_OUT


def _sequences(
    table: ColumnTable, options: ClassificationOptions, say: Log
) -> tuple[ColumnSequences, ClassificationOptions]:
    """Read the sequences of a wide or long table; also return the options with the chosen features."""
    if not options.series_id:
        found = wide_sequences(table, options.sequence)
    else:
        if not options.sequence:
            taken = (options.series_id, options.time, options.label, options.sample_weight)
            columns, note = feature_columns(table, taken)
            options = replace(options, sequence=columns)
            say(f"{table.where}: {note}")
        found = long_sequences(table, options.series_id, options.time, options.sequence, options.date_format)
        if not options.time:
            say(f"{table.where}: the rows of a series are taken in their order, since --time names no column")
    for note in found.notes:
        say(f"{table.where}: {note}")
    return found, options


def _column_table(dataset: Any, where: str, decimal: Decimal) -> ColumnTable:
    if is_frame(dataset):
        return ColumnTable(dataset, where, decimal)
    frame, numbers = lean_table(dataset, decimal)
    return ColumnTable(frame, where, decimal, numbers)


def _ends(columns: Sequence[str]) -> str:
    return f"'{columns[0]}' to '{columns[-1]}'"
