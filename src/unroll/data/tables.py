"""Read in-memory data: columns of tables, and collections with one value per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from unroll.errors import DataError, nearest


def is_frame(data: Any) -> bool:
    """Tell whether `data` is a pandas DataFrame, without importing pandas."""
    return hasattr(data, "iloc") and getattr(data, "ndim", 0) == 2


def is_dataset(data: Any) -> bool:
    """Tell whether `data` is a data set of the library `datasets`, without importing it."""
    return hasattr(data, "column_names") and hasattr(data, "features")


def is_table(data: Any) -> bool:
    """Tell whether `data` is a table that `column_of` can read."""
    return is_frame(data) or is_dataset(data)


def refuse_other_table(data: Any, what: str) -> None:
    """Reject a table of another library, since iterating over it would give columns; `what` names it in messages.

    Raises:
        DataError: it is one.
    """
    if not is_table(data) and hasattr(data, "to_pandas") and len(getattr(data, "shape", ())) == 2:
        raise DataError(f"{what} is a {type(data).__module__.split('.')[0]} table; give its .to_pandas()")


def names_of(table: Any) -> list[str]:
    """Return the column names as text."""
    return [str(name) for name in (table.columns if is_frame(table) else table.column_names)]


def column_of(table: Any, name: str, where: str = "the table") -> list[Any]:
    """Read one column of a DataFrame or of a data set of `datasets`.

    Args:
        table: see `is_table`.
        name: the column's; a number names a column whose name is that number.
        where: what to call the table in messages.

    Raises:
        DataError: there is no such column, or more than one.
    """
    names = names_of(table)
    if names.count(name) > 1:
        raise DataError(f"{where} has {names.count(name)} columns named '{name}'; rename or drop all but one")
    if name not in names:
        levels = getattr(getattr(table, "columns", None), "nlevels", 1)
        hint = f"; its columns have {levels} levels, make them one" if levels > 1 else nearest(name, names)
        raise DataError(f"{where} has no column '{name}'{hint}")
    if is_frame(table):
        return table.iloc[:, names.index(name)].tolist()
    if hasattr(table, "select_columns") and not hasattr(table, "__len__"):
        return [row[name] for row in table.select_columns([name])]
    return list(table[name])


def rows_in(values: Any, what: str) -> list[Any]:
    """List the values of a collection with one per row: a list, Series, array, iterator or one-column table.

    Masked elements of a masked array become None.

    Args:
        values: the collection.
        what: what to call it in messages: "X".

    Raises:
        DataError: it is not an ordered collection of values (one text, a mapping, a set, several columns).
    """
    refuse_other_table(values, what)
    if hasattr(values, "__array__") and not isinstance(values, Iterable):
        values = np.asarray(values)
    if isinstance(values, str | bytes | Mapping | Set) or not isinstance(values, Iterable):
        kind = type(values).__name__
        given = {"str": "one text", "bytes": "one text in bytes", "NoneType": "None"}.get(kind, f"of type {kind}")
        raise DataError(f"{what} is {given}; give a list with a value for each row")
    if is_table(values):
        names = names_of(values)
        if len(names) != 1:
            raise DataError(f"{what} has {len(names)} columns ({_listed(names)}); give the one that holds the values")
        return column_of(values, names[0], what)
    if isinstance(values, np.ma.MaskedArray) and values.ndim == 1:
        return values.tolist()
    if getattr(values, "ndim", 1) == 0:
        raise DataError(f"{what} is one value, of type {type(values).__name__}; give a list with a value for each row")
    return list(values)


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(f"'{name}'" for name in names[:most]) + (", ..." if len(names) > most else "")
