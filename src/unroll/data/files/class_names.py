"""Read the class names behind the numbers of a list column, where the data has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.data.files.content import format_read
from unroll.data.files.paths import find, is_hub_name, seekable
from unroll.data.options import SourceOptions
from unroll.errors import DataError

Names = tuple[str, ...]


def dataset_names(dataset: Any, column: str) -> Names | None:
    """Read the class names of a column of a `datasets.Dataset`; None where it has none."""
    feature = (getattr(dataset, "features", None) or {}).get(column)
    names = getattr(getattr(feature, "feature", None), "names", None)
    return None if names is None else tuple(names)


def parquet_names(data: Sequence[str], column: str, source: SourceOptions) -> Names | None:
    """Read a column's class names from the metadata that `datasets` writes into the schema of Parquet files.

    Args:
        data: files, or a hub name.
        column: of lists of numbers.
        source: how files are read.

    Raises:
        DataError: files disagree.
    """
    if len(data) == 1 and is_hub_name(data[0]):
        return None
    paths = [path for path in find(data) if not path.is_dir() and format_read(path, source) == ".parquet"]
    by_file = {path: _of_file(path, column) for path in paths}
    first = next(iter(by_file.items()), None)
    for path, names in by_file.items():
        if first is not None and names != first[1]:
            raise DataError(f"the numbers in column '{column}' stand for other names in '{path}' than in '{first[0]}'")
    return None if first is None else first[1]


def _of_file(path: Path, column: str) -> Names | None:
    import pyarrow.parquet as pq

    with seekable(path) as plain:
        metadata = pq.read_schema(plain).metadata or {}
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][column]["feature"]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def named(value: Any, names: Names) -> Any:
    """Replace the numbers of a row by names, None where a number has no name; other values are unchanged."""
    if not isinstance(value, list | tuple):
        return value
    return [_name(number, names) if isinstance(number, int) else number for number in value]


def _name(number: int, names: Names) -> str | None:
    return names[number] if 0 <= number < len(names) else None
