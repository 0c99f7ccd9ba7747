"""Read X of an estimator: rows of a list, an array, a Series or a DataFrame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from unroll.data.bad_rows import describe
from unroll.data.sequences import bad_series
from unroll.data.tables import is_frame, is_table, names_of, rows_in
from unroll.data.values import is_missing
from unroll.errors import DataError

Kind = Literal["text", "numbers", "unknown"]
"""Kind of rows; unknown if all are null."""


def read_inputs(
    estimator: BaseEstimator, X: Any, *, y: Any = None, reset: bool, numeric: bool = False
) -> tuple[list[Any], Kind]:
    """List the rows of X, and tell whether they are texts or numeric sequences.

    A numeric table (N, T) (array, lists or DataFrame) is validated by scikit-learn.

    Args:
        estimator: the calling estimator; remembers the number of columns of a table.
        X: texts, sequences, or a numeric table.
        y: the targets, in `fit`.
        reset: whether this is `fit`.
        numeric: whether y must be numeric.

    Raises:
        DataError: X is neither.
        ValueError, TypeError: from scikit-learn, for an invalid table.
    """
    name = type(estimator).__name__
    rows = _rows(X, name)
    if isinstance(rows, list) and not rows:
        raise DataError(f"Found array with 0 sample(s) while a minimum of {2 if reset else 1} is required by {name}.")
    if isinstance(rows, list) and not _is_numeric_table(rows):
        return rows, _kind(rows)
    if isinstance(rows, list) and not isinstance(rows[0], list | tuple):
        # scikit-learn prints the whole array
        raise DataError(
            f"Expected 2D array, got 1D array instead: a row of X is one number, and {name} takes a sequence or a text."
            " Reshape your data with array.reshape(-1, 1) if each number is a sequence of one step."
        )
    least = 2 if reset else 1
    common: dict[str, Any] = {"reset": reset, "ensure_min_samples": least, "dtype": "numeric"}
    try:
        if y is None:
            checked = validate_data(estimator, cast("Any", rows), **common)
        else:
            checked, _ = validate_data(estimator, cast("Any", rows), y, multi_output=True, y_numeric=numeric, **common)
    except ValueError as error:
        raise DataError(_sentence(error, rows)) from None
    except TypeError as error:
        if str(error).startswith("float() argument"):
            raise DataError(f"X is not a table of numbers: {str(error).split('. ')[0]}") from None
        raise
    return list(checked), "numbers"


@contextlib.contextmanager
def of_validation() -> Iterator[None]:
    """Begin the messages of errors in X and y, which are X_val and y_val here, with those names."""
    try:
        yield
    except DataError as error:
        raise DataError(f"X_val, y_val: {error}") from None


def both_or_none(X_val: Any, y_val: Any) -> bool:
    """Tell whether validation data is given.

    Raises:
        DataError: only one of the two is.
    """
    if (X_val is None) != (y_val is None):
        given, lacking = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise DataError(f"{given} is given without {lacking}; give both, or none to hold out a share of X")
    return X_val is not None


def _sentence(error: ValueError, rows: Any) -> str:
    """Shorten an error message of scikit-learn; rows that are not finite are listed."""
    said = str(error).splitlines()[0]
    if said.startswith(("could not convert", "setting an array", "dtype='numeric' is")):
        return f"X is not a table of numbers: {said}"
    if said.startswith("Input X contains"):
        numbers = np.asarray(rows.to_numpy(np.float64, na_value=np.nan) if is_frame(rows) else rows)
        return f"{said.rstrip('.')}: {describe(bad_series(numbers, 'X'), len(numbers), 'X')}"
    return said


def _rows(X: Any, name: str) -> Any:
    """Convert X to a list with a value for each row; a numeric table is unchanged."""
    if isinstance(X, list | tuple):
        return list(X)
    if isinstance(X, str):
        raise DataError("X is one text; give a list of texts")
    if is_table(X):
        return _rows_of_table(X, name)
    if isinstance(X, np.ma.MaskedArray) and X.ndim > 1 and X.dtype.kind in "fiub":
        X = np.ma.filled(X.astype(np.float64), np.nan)
    shape = getattr(X, "shape", None)
    if shape is None:  # objects with only `__array__` are left to scikit-learn
        return X if hasattr(X, "__array__") else rows_in(X, "X")
    if hasattr(X, "sparse") or hasattr(X, "tocsr") or len(shape) == 0:
        return X
    if len(shape) == 2:
        kind = getattr(getattr(X, "dtype", None), "kind", "")
        if kind in "OSUT" and kind and any(isinstance(cell, str) for cell in np.asarray(X).flat):
            if shape[1] != 1:
                raise DataError(f"X is an array of texts with {shape[1]} columns; a row of {name} is one text")
            return [row[0] for row in np.asarray(X)]
        return X
    return rows_in(X, "X")


def _rows_of_table(X: Any, name: str) -> Any:
    names = names_of(X)
    if not is_frame(X):
        return rows_in(X, "X")
    if not len(X):
        return []
    for i, column in enumerate(names):
        if X.iloc[:, i].dtype.kind in "mM":
            raise DataError(f"column '{column}' of X holds times, not numbers")
    telling = [i for i in range(len(names)) if _is_row(_first(X.iloc[:, i]))]
    if not telling:
        return X
    if len(names) > 1:
        raise DataError(
            f"X has {len(names)} columns, and '{names[telling[0]]}' holds "
            f"{'text' if isinstance(_first(X.iloc[:, telling[0]]), str) else 'sequences'}, "
            f"but a row of {name} is one text or one sequence; give one column, as X['{names[telling[0]]}']"
        )
    return X.iloc[:, 0].tolist()


def _first(column: Any) -> Any:
    """Return the first value of a column that is not null."""
    if column.dtype.kind in "fiubc":
        return None
    return next((value for value in column if not is_missing(value)), None)


def _is_row(value: Any) -> bool:
    """Tell whether a cell is a whole row: a text, a sequence, or a type that is rejected as a row."""
    return isinstance(value, str | bytes | dict) or _is_sequence(value)


def _is_sequence(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return True
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0


def _is_numeric_table(rows: Sequence[Any]) -> bool:
    """Tell whether rows are lists of equal length with numbers or nulls, or are numbers themselves."""
    if all(isinstance(row, list | tuple) for row in rows):
        if len({len(row) for row in rows}) > 1:
            return False
        return not any(_is_row(cell) for row in rows for cell in row)
    return all(not _is_row(row) for row in rows) and not all(map(is_missing, rows))


def _kind(rows: Sequence[Any]) -> Kind:
    if any(isinstance(row, str) for row in rows):
        return "text"
    for number, row in enumerate(rows, 1):
        if isinstance(row, list | tuple | np.ndarray) and len(row) and isinstance(row[0], str):
            raise DataError(f"row {number} of X is a list of texts; a row is one text, such as ' '.join(tokens)")
        if isinstance(row, bytes | dict):
            what = "bytes; decode them" if isinstance(row, bytes) else "a mapping; give the values of one column"
            raise DataError(f"row {number} of X is {what}")
    return "unknown" if all(map(is_missing, rows)) else "numbers"
