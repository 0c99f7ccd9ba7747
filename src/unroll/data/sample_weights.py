"""Read the weights that rows have in the training loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from unroll.data.bad_rows import BadRow, describe
from unroll.data.numbers import as_float
from unroll.data.values import is_missing
from unroll.errors import DataError

_LEAST = float(np.finfo(np.float32).tiny)


def bad_weights(values: Iterable[Any], column: str) -> list[BadRow]:
    """Find rows with a weight that is null, not a number, not finite, or negative."""
    bad: list[BadRow] = []
    for row, value in enumerate(values):
        try:
            weight = as_float(value)
        except (TypeError, ValueError, OverflowError):
            bad.append((row, f"'{column}' {'is null' if is_missing(value) else 'is not a number'}"))
            continue
        if not np.isfinite(weight):
            bad.append((row, f"'{column}' is not a finite number"))
        elif weight < 0:
            bad.append((row, f"'{column}' is {weight:g}, but a weight is 0 or more"))
    return bad


def weighted_rows(weights: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Find the rows that count, and their weights.

    Rows of weight 0 are left out. Only the ratios of the weights matter, so their mean is made 1.

    Args:
        weights: (N,) finite numbers of at least 0.
        where: what has them, for the message.

    Returns:
        The positions of the rows (M,), and their weights (M,) float32, or None if all are the same.

    Raises:
        DataError: every weight is zero.
    """
    most = weights.max()
    if most <= 0:
        raise DataError(f"the weights of {where} are all zero, so that no row is left for training")
    shares = weights / most
    rows = np.flatnonzero(shares >= _LEAST)
    kept = (shares[rows] / shares[rows].mean()).astype(np.float32)
    return rows, None if (kept == kept[0]).all() else kept


def read_weights(sample_weight: Any, rows: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the argument `sample_weight` of a `fit` with so many rows; see `weighted_rows`.

    Raises:
        DataError: it is not one number of at least 0 for each row, or all are 0.
    """
    if sample_weight is None:
        return np.arange(rows), None
    try:
        given = np.asarray(sample_weight)
    except (TypeError, ValueError):
        raise DataError("sample_weight is not a list of numbers; give one number for each row of X") from None
    if given.ndim == 0:
        given = np.full(rows, given[()])
    if given.shape != (rows,):
        raise DataError(f"sample_weight has shape {given.shape}; give one number for each of the {rows} rows of X")
    bad = bad_weights(given.tolist(), "sample_weight")
    if bad:
        raise DataError(describe(bad, rows, "sample_weight"))
    return weighted_rows(np.array([as_float(weight) for weight in given.tolist()]), "X")
