"""Check names, formats and headers of files before the libraries that read them are imported."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from unroll.data.files.column_names import find_columns
from unroll.data.files.delimited import delimited_rows
from unroll.data.files.paths import DELIMITED, find, format_of, is_hub_name
from unroll.data.options import SourceOptions


def check_files(data: Sequence[str], columns: Sequence[str], source: SourceOptions) -> None:
    """Check that files exist in a known format, and that those of CSV and TSV have the named columns.

    Args:
        data: names of files, folders, patterns, hub data.
        columns: names, ranges and patterns.
        source: how files are written.

    Raises:
        DataError: one is missing, of no known format, or lacks a column.
    """
    for name in data:
        if is_hub_name(name):
            continue
        for path in find(name):
            if not columns or path.is_dir() or format_of(path) not in DELIMITED:
                continue
            for row in islice(delimited_rows(path, source), 1):
                if row:  # else it cannot be read, and is left out
                    find_columns(columns, list(row), str(path))
