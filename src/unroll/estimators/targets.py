"""Read y of an estimator: labels or numbers, one or several for each row."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Number
from typing import Any

import numpy as np
from sklearn.exceptions import DataConversionWarning

from unroll.data.bad_rows import BadRow, describe
from unroll.data.bad_targets import bad_labels, bad_numbers
from unroll.data.tables import is_frame, rows_in
from unroll.data.values import is_missing
from unroll.errors import DataError


def read_labels(y: Any) -> np.ndarray:
    """Read y as labels (N,), or as an indicator array (N, K) of zeros and ones.

    Raises:
        DataError: rows without a label or with an unusable one, or texts mixed with other types.
    """
    y = _one_or_several(y)
    if isinstance(y, np.ndarray) and y.ndim == 2:
        _refuse([(i, reason) for i, row in enumerate(y) if (reason := _wrong_indicator(row))], len(y))
        return y.astype(int)
    rows = rows_in(y, "y")
    _refuse(bad_labels(rows, "y"), len(rows))
    _refuse([(i, reason) for i, value in enumerate(rows) if (reason := _wrong_kind(value))], len(rows))
    texts = [isinstance(value, str) for value in rows]
    if any(texts) and not all(texts):
        text, other = texts.index(True), texts.index(False)
        raise DataError(
            f"y mixes texts and numbers: row {text + 1} holds {rows[text]!r:.40}, row {other + 1} {rows[other]!r:.40};"
            " make all of them texts or all of them numbers"
        )
    array = np.asarray(y if hasattr(y, "__array__") else rows)
    return np.array(rows) if array.dtype == object and not any(texts) else array


def read_numbers(y: Any) -> np.ndarray:
    """Read y as target numbers (N,) or (N, K).

    Raises:
        DataError: rows with a target that is null, not a number or not finite.
    """
    rows = rows_in(_one_or_several(y), "y")
    if any(isinstance(value, complex | np.complexfloating) for value in rows):
        raise DataError("Complex data not supported: y holds complex numbers")
    _refuse(bad_numbers(rows, "y"), len(rows))
    several = bool(rows) and isinstance(rows[0], list | tuple | np.ndarray)
    return np.array([[float(v) for v in row] if several else float(row) for row in rows])


def _one_or_several(y: Any) -> Any:
    """Return an array (N, K) if each row of y has K values, 2 or more, else a collection with one value per row."""
    if hasattr(y, "tocsr"):
        y = y.toarray()
    elif isinstance(y, np.ma.MaskedArray):
        y = y.tolist()  # None where an element is masked
    elif hasattr(y, "detach"):
        y = y.detach().cpu().numpy()
    elif is_frame(y):
        y = y.to_numpy()
    elif hasattr(y, "__array__") and not hasattr(y, "__iter__"):
        y = np.asarray(y)
    listed = isinstance(y, list | tuple) and all(isinstance(row, list | tuple | np.ndarray) for row in y)
    if listed and len({len(row) for row in y}) == 1:
        y = np.array([list(row) for row in y], dtype=object)
    if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected."
        warnings.warn(message, DataConversionWarning, stacklevel=4)
        return y[:, 0]
    return y


def _wrong_indicator(row: np.ndarray) -> str:
    for value in row:
        if is_missing(value):
            return "'y' has a null"
        if not isinstance(value, Number | np.generic) or value not in (0, 1):
            return f"'y' has {value!r:.40}, where several labels a row are zeros and ones"
    return ""


def _wrong_kind(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return (
            f"'y' holds {type(value).__name__}; several labels a row are an array (N, K) of zeros and ones,"
            " which scikit-learn's MultiLabelBinarizer makes"
        )
    if isinstance(value, str | int | float | complex | np.generic) or type(value).__name__ == "Timestamp":
        return ""
    return f"'y' holds {type(value).__name__} {value!s:.40}, where a text, a number, true or false is needed"


def _refuse(bad: Sequence[BadRow], total: int) -> None:
    if bad:
        raise DataError(describe(bad, total, "y"))
