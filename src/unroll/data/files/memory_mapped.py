"""Read tables of large files; their texts stay in the memory-mapped Arrow file.

Texts are read from the file on access; columns of plain numbers are parsed beforehand and hold no texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from unroll.data.files.plain_numbers import plain_columns
from unroll.data.numbers import NumericColumn
from unroll.data.options import Decimal

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

_ISO_LENGTHS = (10, 16, 19)
"""Of 2020-02-25, 2020-02-25 12:00 and 2020-02-25 12:00:00."""
_USUAL = (np.datetime64("1700-01-01"), np.datetime64("2200-01-01"))
"""A range well within the limits of `datetime64[ns]`."""


def lean_table(dataset: datasets.Dataset, decimal: Decimal) -> tuple[pd.DataFrame, dict[str, NumericColumn]]:
    """Convert a data set to a DataFrame, and parse its text columns that hold only plain numbers.

    Args:
        dataset: in one Arrow file, or anywhere.
        decimal: the `decimal` option.
    """
    import pandas as pd
    import pyarrow as pa

    files = dataset.cache_files
    if len(files) != 1 or dataset._indices is not None:
        return cast("pd.DataFrame", dataset.to_pandas()), {}
    with pa.OSFile(files[0]["filename"], "rb") as file, pa.ipc.open_stream(file) as pieces:
        numbers = plain_columns(pieces, len(dataset), decimal)
    table: pa.Table = dataset.data.table
    columns = {name: _column(table.column(name)) for name in table.column_names}
    return pd.DataFrame(columns), numbers


def _column(cells: pa.ChunkedArray) -> Any:
    import pandas as pd
    import pyarrow as pa

    if pa.types.is_string(cells.type) and not cells.null_count:
        return pd.Series(pd.arrays.ArrowExtensionArray(cells))
    return cells.to_pandas()


def is_lean(column: pd.Series) -> bool:
    """Tell whether a column is lean: texts that stay in the memory-mapped file."""
    import pandas as pd
    import pyarrow as pa

    return isinstance(column.dtype, pd.ArrowDtype) and pa.types.is_string(column.dtype.pyarrow_dtype)


def shared_texts(column: pd.Series) -> np.ndarray:
    """Return the texts of a lean column (N,), stripped, None where empty; equal texts share one object."""
    unique: dict[str, str] = {}
    texts = np.empty(len(column), dtype=object)
    start = 0
    for piece in _pieces(column):
        coded = piece.dictionary_encode()
        kinds = [None if text is None else text.strip() or None for text in coded.dictionary.to_pylist()]
        values = np.array([None if text is None else unique.setdefault(text, text) for text in kinds], dtype=object)
        texts[start : start + len(piece)] = values[coded.indices.to_numpy()]
        start += len(piece)
    return texts


def iso_times(column: pd.Series) -> np.ndarray | None:
    """Parse a lean column (N,) to datetime64[s], if all times are written as 2020-02-25 or 2020-02-25 12:00[:00]."""
    import pyarrow as pa
    from pyarrow import compute

    pc: Any = compute  # its functions are made when it is imported
    times = np.empty(len(column), dtype="datetime64[s]")
    start = 0
    for piece in _pieces(column):
        if not pc.all(pc.is_in(pc.binary_length(piece), pa.array(_ISO_LENGTHS, pa.int32()))).as_py():
            return None
        try:
            times[start : start + len(piece)] = pc.cast(piece, pa.timestamp("s")).to_numpy()
        except pa.ArrowInvalid:
            return None
        start += len(piece)
    usual = not len(times) or (times.min() >= _USUAL[0] and times.max() < _USUAL[1])
    return times if usual else None


def _pieces(column: pd.Series) -> Iterator[pa.Array]:
    """Yield the chunks of a lean column, as stored in the file."""
    cells: Any = column.array
    yield from cells.__arrow_array__().chunks
