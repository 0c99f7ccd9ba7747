"""What the numbers of a column of lists stand for, where the data says it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.data.files.paths import find, format_of, is_hub_name, seekable
from unroll.errors import DataError

Names = tuple[str, ...]


def dataset_names(dataset: Any, column: str) -> Names | None:
    """Read the class names of a column of a `datasets.Dataset`; None where it has none."""
    feature = (getattr(dataset, "features", None) or {}).get(column)
    names = getattr(getattr(feature, "feature", None), "names", None)
    return None if names is None else tuple(names)


def parquet_names(data: Sequence[str], column: str) -> Names | None:
    """Read the class names that Parquet files give a column in what `datasets` writes beside their schema.

    Args:
        data: files, or a hub name.
        column: of lists of numbers.

    Raises:
        DataError: files disagree.
    """
    if len(data) == 1 and is_hub_name(data[0]):
        return None
    paths = [path for path in find(data) if not path.is_dir() and format_of(path) == ".parquet"]
    found = {path: _of_file(path, column) for path in paths}
    first = next(iter(found.items()), None)
    for path, names in found.items():
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
    """Write the numbers of a row as names, None where there is none for a number; other values stay as they are."""
    if not isinstance(value, list | tuple):
        return value
    return [_name(number, names) if isinstance(number, int) else number for number in value]


def _name(number: int, names: Names) -> str | None:
    return names[number] if 0 <= number < len(names) else None
