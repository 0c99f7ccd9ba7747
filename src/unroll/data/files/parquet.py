"""Read Parquet files as Arrow tables; damaged files raise a one-sentence error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unroll.data.files.delimiters import refuse_duplicates
from unroll.data.files.paths import seekable
from unroll.errors import DataError


def parquet_tables(path: Path, rows: int) -> Iterator[pa.Table]:
    """Read a file as tables of `rows` rows, in order; page checksums are verified if the file has them.

    Raises:
        DataError: it is damaged, or a column has an unsupported type.
    """
    with seekable(path) as plain:
        if plain.stat().st_size == 0:
            raise DataError(f"'{path}' is empty")
        pieces = _pieces(path, plain, rows)
        while True:
            try:
                table = next(pieces, None)
            except (DataError, PermissionError, FileNotFoundError):
                raise
            except Exception as error:  # damaged bytes raise errors of every kind, out of Arrow and out of Python
                first = (str(error).splitlines() or [""])[0] or type(error).__name__
                first = first.encode("ascii", "backslashreplace").decode()
                raise DataError(f"'{path}' is not a Parquet file, or is damaged ({first:.120})") from None
            if table is None:
                return
            yield table


def _pieces(path: Path, plain: Path, rows: int) -> Iterator[pa.Table]:
    with pq.ParquetFile(plain, memory_map=True, page_checksum_verification=True) as file:
        refuse_duplicates(file.schema_arrow.names, f"'{path}'")
        for field in file.schema_arrow:
            if (odd := _without_place(field.type)) is not None:
                raise DataError(f"'{path}': column '{field.name}' holds values of type {odd}, which no task reads")
        for batch in file.iter_batches(batch_size=rows):
            columns = [
                column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
                for column in batch.columns
            ]
            table = pa.Table.from_arrays(columns, names=batch.schema.names)
            table.validate(full=True)
            yield table


def _without_place(kind: pa.DataType) -> pa.DataType | None:
    """Return the type, or a type nested in it, that `datasets` does not support; else None."""
    if pa.types.is_map(kind) or pa.types.is_union(kind) or pa.types.is_interval(kind):
        return kind
    if pa.types.is_nested(kind):
        inner = (_without_place(kind.field(i).type) for i in range(kind.num_fields))
        return next((odd for odd in inner if odd is not None), None)
    return None
