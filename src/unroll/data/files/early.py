"""Check names, formats and headers of files before the libraries that read them are imported."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from unroll.data.files.column_names import find_columns
from unroll.data.files.content import format_read
from unroll.data.files.delimited import delimited_rows
from unroll.data.files.paths import DELIMITED, find, format_of, is_hub_name, last_suffix
from unroll.data.options import SourceOptions


def check_files(
    data: Sequence[str],
    columns: Sequence[str],
    source: SourceOptions,
    *,
    plain: bool = False,
    aligned: Sequence[str] = (),
) -> None:
    """Check that files exist in a known format, and that those of CSV and TSV have the named columns.

    Args:
        data: names of files, folders, patterns, hub data.
        columns: names, ranges and patterns.
        source: how files are written.
        plain: whether files of any other format are plain text.
        aligned: ends of the names of plain text files that are aligned line by line, such as en for train.en.gz.

    Raises:
        DataError: one is missing, of no known format, or lacks a column.
    """
    for name in data:
        if is_hub_name(name):
            continue
        for path in find(name):
            if not format_of(path) and last_suffix(path) in aligned:
                continue
            if path.is_dir() and not plain:
                find_columns(columns, ["text", "label"], str(path))
            if path.is_dir() or plain or format_read(path, source) not in DELIMITED or not columns:
                continue
            for row in islice(delimited_rows(path, source), 1):
                if row:  # else it cannot be read, and is left out
                    find_columns(columns, list(row), str(path))
