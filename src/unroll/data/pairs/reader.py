"""Read pairs of texts from tables, or from plain text files that are aligned line by line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unroll.data.bad_rows import BadRow
from unroll.data.files.dataset import read, read_rows
from unroll.data.files.paths import find, format_of, is_hub_name, last_suffix
from unroll.data.files.rows import require_columns
from unroll.data.options import SourceOptions
from unroll.data.tables import column_of, is_table
from unroll.data.values import is_missing
from unroll.errors import DataError


@dataclass(frozen=True)
class Pairs:
    """Hold texts and what they are to become.

    Attributes:
        sources: the sources, any values.
        targets: for each, its targets; one of them, or a list of references.
        where: name of the data in messages.
    """

    sources: Sequence[Any]
    targets: Sequence[Any]
    where: str


def read_pairs(data: Any, source: str, target: str, options: SourceOptions, say: Callable[[str], None]) -> Pairs:
    """Read pairs: a table with both columns, or plain text files named .SOURCE and .TARGET with as many lines.

    Args:
        data: names of files or of hub data; or a table.
        source: column of the sources, and the suffix of plain text files that hold them.
        target: the same of the targets.
        options: how files are written.
        say: called with notes on how they are written, and on what was left out.

    Raises:
        DataError: a column or a file is missing, or two files have different numbers of lines.
    """
    if is_table(data):
        return Pairs(column_of(data, source), column_of(data, target), "the data")
    if not (len(data) == 1 and is_hub_name(data[0])):
        paths = find(list(data))
        if any(last_suffix(path) in (source, target) and not format_of(path) for path in paths):
            return _aligned(paths, source, target, options)
    dataset, where = read_rows(data, options, say, lambda count: f"left out {count} invalid lines, such as")
    require_columns(dataset, [source, target], where)
    return Pairs(dataset[source][:], dataset[target][:], where)


def _aligned(paths: Sequence[Path], source: str, target: str, options: SourceOptions) -> Pairs:
    """Read line-aligned files: those of the sources and those of the targets, each side in the order given."""
    sides: dict[str, list[Path]] = {source: [], target: []}
    for path in paths:
        if last_suffix(path) not in sides:
            raise DataError(
                f"{path} is beside line-aligned files, but its name ends neither in .{source} nor in .{target}, the"
                " values of source and target"
            )
        sides[last_suffix(path)].append(path)
    for name, other in ((source, target), (target, source)):
        if not sides[name]:
            raise DataError(
                f"{sides[other][0]} needs a file of as many lines beside it whose name ends in .{name}; name both files"
            )
    lines = {name: [_lines(path, options) for path in files] for name, files in sides.items()}
    if len(sides[source]) != len(sides[target]):
        counts = " and ".join(f"{len(files)} files .{name}" for name, files in sides.items())
        raise DataError(f"line-aligned files come in pairs, but there are {counts}")
    for one, other, a, b in zip(sides[source], sides[target], lines[source], lines[target], strict=True):
        if len(a) != len(b):
            raise DataError(
                f"{one} has {len(a):,} lines and {other} has {len(b):,}; line-aligned files must have as many"
            )
    sources, targets = ([line for part in lines[name] for line in part] for name in (source, target))
    return Pairs(sources, targets, " ".join(map(str, paths)))


def _lines(path: Path, options: SourceOptions) -> list[str]:
    return read(path, source=replace(options, input_format="txt"))["text"][:]


def bad_pairs(pairs: Pairs, source: str, target: str, *, references: bool, most_ratio: float = 0.0) -> list[BadRow]:
    """Find pairs that cannot be used: a side that is null, empty or no text, or sides of very different lengths.

    Args:
        pairs: the pairs.
        source: name of the sources' column, for the reasons.
        target: name of the targets' column.
        references: whether a row may have several targets.
        most_ratio: how many times as many characters as the other a side may have, where both have 20 or more
            (0: any).
    """
    bad: list[BadRow] = []
    for row, (one, other) in enumerate(zip(pairs.sources, pairs.targets, strict=True)):
        reason = _wrong(one, source) or _wrong_target(other, target, references=references)
        if not reason and most_ratio and isinstance(one, str) and isinstance(other, str):
            sizes = sorted((max(20, len(one)), max(20, len(other))))
            if sizes[1] > most_ratio * sizes[0]:
                reason = f"'{source}' has {len(one)} characters and '{target}' {len(other)}"
        if reason:
            bad.append((row, reason))
    return bad


def _wrong(text: Any, column: str) -> str:
    if is_missing(text):
        return f"'{column}' is null"
    if not isinstance(text, str):
        return f"'{column}' holds {type(text).__name__}, not text"
    return "" if text.strip() else f"'{column}' is empty"


def _wrong_target(value: Any, column: str, *, references: bool) -> str:
    if not isinstance(value, list | tuple | np.ndarray):
        return _wrong(value, column)
    if not references:
        return f"'{column}' is a list; a training row has one target: put each on a row of its own"
    if not len(value):
        return f"'{column}' is an empty list"
    return next((wrong for text in value if (wrong := _wrong(text, column))), "")
