"""Read learnt state from a task's files, and reject damaged files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from unroll.errors import RunError

ENCODER = "encoder.json"
"""File of the encoder of texts or sequences: a vocabulary or a scaler."""


def numbers(document: Mapping[str, Any], key: str, count: int, where: Path) -> np.ndarray:
    """Read `count` finite numbers as float64 (count,).

    Raises:
        RunError: they are missing or invalid.
    """
    try:
        values = np.array(document.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.empty(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise RunError(f"{where} is damaged: '{key}' must hold {count} numbers")
    return values


def whole_numbers(values: Any, below: int) -> TypeGuard[list[int]]:
    """Tell whether `values` is a list of whole numbers from 0 to before `below`."""
    return isinstance(values, list) and all(type(i) is int and 0 <= i < below for i in values)
