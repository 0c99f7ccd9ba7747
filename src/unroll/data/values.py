"""Check values: missing, or text that cannot be stored; truncate rows."""

from __future__ import annotations

import re
import sys
from numbers import Number
from typing import Any

import numpy as np

from unroll.data.options import LengthOptions

_HALF = re.compile("[\ud800-\udfff]")

HALF_CHARACTER = "has half a character (a lone surrogate)"
"""Message for text for which `has_half_character` is true."""


def is_missing(value: Any) -> bool:
    """Tell whether a value is missing: None, NaN, NaT, pandas' NA, a masked element. Text never is."""
    if isinstance(value, str):
        return False
    if value is None or value is np.ma.masked:
        return True
    # If pandas is not imported, the value cannot be its NA.
    pandas = sys.modules.get("pandas")
    if pandas is not None and value is getattr(pandas, "NA", None):
        return True
    if isinstance(value, Number | np.generic) or type(value).__name__ == "NaTType":
        try:
            return bool(value != value)
        except ArithmeticError:  # a signaling NaN among decimals
            return True
    return False


def has_half_character(text: str) -> bool:
    """Tell whether text holds a lone surrogate, such as half of an emoji that was cut, which UTF-8 cannot store."""
    return not text.isascii() and _HALF.search(text) is not None


def truncate(row: np.ndarray, length: LengthOptions) -> np.ndarray:
    """Keep at most `length.max_length` tokens or steps of a row (0: all of it)."""
    most = length.max_length
    if not most or len(row) <= most:
        return row
    if length.keep == "head":
        return row[:most]
    if length.keep == "tail":
        return row[-most:]
    head = most - most // 2
    return np.concatenate([row[:head], row[len(row) - most // 2 :]])
