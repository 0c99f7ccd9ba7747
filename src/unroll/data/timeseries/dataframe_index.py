"""Convert the index of a DataFrame to columns, and flatten multi-level column names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from unroll.data.timeseries.table import ColumnTable, Indexed
from unroll.data.timeseries.time_column import kind_of
from unroll.data.timeseries.timestamps import looks_like_times, read_stamps
from unroll.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_LOOKED_AT = 200
_OWN_NAMES = ("time", "index time", "time of the row")


def with_index(data: pd.DataFrame | pd.Series, where: str) -> Indexed:
    """Make columns of the index of a DataFrame or a Series.

    Raises:
        DataError: names of columns on several levels are the same when joined.
    """
    import pandas as pd

    ordered = isinstance(data, pd.Series)
    df = data.to_frame("value" if data.name is None else cast("Any", data.name)) if ordered else cast("Any", data)
    df, notes = _one_level(df, where)
    index = df.index
    if isinstance(index, pd.MultiIndex):
        names = [_free(df, str(name) if name is not None else f"level_{i}") for i, name in enumerate(index.names)]
        return Indexed(df.set_axis(index.set_names(names)).reset_index(), notes=notes)
    name = None if index.name is None else str(index.name)
    column = name if name is not None and name not in df.columns else ""
    if _is_times(index, name or ""):
        column = column or next(n for n in _OWN_NAMES if n not in df.columns)
        return Indexed(df.rename_axis(column).reset_index(), column, ordered=ordered, notes=notes)
    if pd.api.types.is_integer_dtype(index.dtype):
        if name is None and (_is_counted(index) or np.array_equal(index, np.arange(len(index)))):
            return Indexed(df.reset_index(drop=True), ordered=ordered, notes=notes)
        column = column or _free(df, "index")
        order = "" if name is not None and not kind_of(name) and not ordered else column
        return Indexed(df.rename_axis(column).reset_index(), order=order, notes=notes)
    if column:
        return Indexed(df.rename_axis(column).reset_index(), notes=notes)
    column = _free(df, "index")
    return Indexed(df.rename_axis(column).reset_index(), notes=notes)


def _free(df: pd.DataFrame, name: str) -> str:
    while name in df.columns:
        name += "_"
    return name


def _is_counted(index: pd.Index) -> bool:
    """Tell whether an index is the default of pandas, 0, 1, 2, ..."""
    import pandas as pd

    return isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1


def _is_times(index: pd.Index, name: str) -> bool:
    import pandas as pd

    if isinstance(index, pd.DatetimeIndex | pd.PeriodIndex) or index.dtype.kind == "M":
        return True
    if not name and _is_counted(index):
        return False
    if pd.api.types.is_numeric_dtype(index.dtype):
        if not pd.api.types.is_integer_dtype(index.dtype) or (name and not kind_of(name)):
            return False
        # treated like a column of unknown name: months, days or unix times, not row numbers
        table = ColumnTable(pd.DataFrame({"index": index.to_numpy()}), "")
        return read_stamps(table, "index", numbers="times").values.dtype.kind == "M"
    texts = ColumnTable(pd.DataFrame({"index": index[:_LOOKED_AT].astype(object)}), "").texts("index")
    return looks_like_times(texts)


def _one_level(df: pd.DataFrame, where: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Flatten multi-level column names to one text each."""
    if df.columns.nlevels == 1:
        return df, ()
    names = [" ".join(str(part) for part in name if str(part)) for name in df.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where} has names of columns on several levels, and two of them are '{twice}'; make them one")
    made = df.set_axis(names, axis=1)
    return made, (f"names of columns on several levels are joined: {', '.join(repr(name) for name in names[:3])}",)
