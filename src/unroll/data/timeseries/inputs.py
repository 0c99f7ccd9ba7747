"""Read series from Python objects: tables, arrays, file paths or TimeSeriesSet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.options import SourceOptions
from unroll.data.tables import is_dataset, is_frame, refuse_other_table
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import read_frames
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.data.timeseries.time_column import NONE
from unroll.errors import DataError, OptionError

if TYPE_CHECKING:
    import pandas as pd


def is_in_memory(X: Any) -> bool:
    """Tell whether `X` is a table, a Series or an array, rather than files or a TimeSeriesSet."""
    return X is not None and not isinstance(X, TimeSeriesSet) and not _names_files(X)


def _names_files(X: Any) -> bool:
    if isinstance(X, list | tuple) and X:
        X = X[0]
    return isinstance(X, str | os.PathLike)


def read_history(
    X: Any,
    options: TimeSeriesOptions,
    layout: Schema | None = None,
    *,
    source: SourceOptions | None = None,
    where: str = "X",
) -> TimeSeriesSet:
    """Read series from a DataFrame, a Series, an array (N,) or (N, K) of equal steps, files or a TimeSeriesSet.

    Args:
        X: the series.
        options: which column is what.
        layout: of the model's training data.
        source: how files and numbers are read, and whether unusable rows are skipped.
        where: what to call `X` in messages.

    Raises:
        DataError: `X` is something else, or cannot be read.
        OptionError: `X` is a number.
    """
    import pandas as pd

    source = source or SourceOptions()
    if isinstance(X, TimeSeriesSet):
        return X
    if _names_files(X):
        return read_frames(X, options, source=source, layout=layout)
    refuse_other_table(X, where)
    if is_dataset(X):
        X = X.to_pandas()
    if not isinstance(X, pd.DataFrame | pd.Series):
        X = _table(X, layout, where)
        if layout is None and not options.time:
            options = replace(options, time=NONE)
    return read_frames(X, options, source=source, layout=layout, where=where)


def _table(X: Any, layout: Schema | None, where: str) -> pd.DataFrame:
    """Convert an array to columns with equal steps, in the order of the targets."""
    import pandas as pd

    if isinstance(X, int | float | np.number) and not isinstance(X, bool):
        raise OptionError(f"{where} is {X!r:.60}, not series; options are given by name, as horizon={X!r:.20}")
    if is_frame(X) or isinstance(X, Sequence) or hasattr(X, "__array__"):
        try:
            values = np.asarray(X)
        except ValueError:
            values = np.empty(0, dtype=object)
    else:
        values = np.empty(0, dtype=object)
    if values.ndim not in (1, 2) or values.dtype.kind not in "iuf" or not values.size:
        raise DataError(f"{where} must be a DataFrame, a Series, or an array (N,) or (N, K) of numbers")
    names = ["value"] if values.ndim == 1 else [f"value_{k}" for k in range(len(values[0]))]
    if layout is not None:
        if layout.time:
            raise DataError(
                f"{where} is an array, without times, but the model was trained on those of column '{layout.time}';"
                " give a DataFrame with it"
            )
        series = (layout.series,) if layout.series else ()
        more = (*series, *layout.past, *layout.known, *layout.static)
        if more or len(names) != len(layout.target):
            raise DataError(
                f"{where} is an array of {len(names)} column{'s' * (len(names) > 1)}; give a DataFrame with the columns"
                f" {', '.join(repr(name) for name in (*layout.target, *more))}"
            )
        names = list(layout.target)
    return pd.DataFrame(values.reshape(len(values), -1), columns=pd.Index(names))
