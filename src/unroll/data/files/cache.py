"""Convert rows of any format to one Arrow file in the cache, a few thousand at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unroll.data.files.content import format_read
from unroll.data.files.formats import ROWS_AT_ONCE, Row, Unreadable, is_tabular, rows_of, tables_of
from unroll.data.files.paths import blaming, class_files, line_files
from unroll.data.options import SourceOptions
from unroll.data.values import HALF_CHARACTER, has_half_character
from unroll.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

# Part of every cache file's name: raise it when a format is read differently.
_READING = "4"
_CHARACTERS_AT_ONCE = 2**21


def no_rows(paths: Sequence[Path], skipped: Sequence[str] = ()) -> DataError:
    """Build the error for files without rows, or with only rows that were `skipped` for these reasons."""
    if skipped:
        where = f"'{paths[0]}'" if len(paths) == 1 else f"the {len(paths)} files"
        if len(skipped) == 1:
            return DataError(f"the one row of {where} was left out because of this: {skipped[0]}")
        return DataError(f"all {len(skipped)} rows of {where} were left out, the first because of this: {skipped[0]}")
    if len(paths) > 1:
        return DataError(f"none of the {len(paths)} files has any rows")
    size = paths[0].stat().st_size
    return DataError(f"'{paths[0]}' {'has no rows' if size else 'is empty'}")


def cache_file(paths: Sequence[Path], source: SourceOptions, root: Path) -> Path:
    """Return the path under `root` of the Arrow file for these files in their current state."""
    key = hashlib.sha256(f"{_READING}\n{replace(source, decimal='auto')!r}".encode())
    for path in paths:
        files = [file for _, file in (line_files(path) or class_files(path))] if path.is_dir() else [path]
        key.update(f"\n{path}".encode("utf-8", "surrogateescape"))
        for file in files:
            with blaming(file):
                stat = file.stat()
            stamp = (str(file.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            key.update(repr(stamp).encode("utf-8", "surrogateescape"))
    return root / "unroll" / f"{key.hexdigest()[:32]}.arrow"


class _WiderError(Exception):
    """A later row needs a wider type than the rows already written."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema


def skipped_file(cache: Path) -> Path:
    """Return the path of the JSON list with the reasons for skipped rows, next to the Arrow file."""
    return cache.with_suffix(".skipped.json")


def write_arrow(cache: Path, paths: Sequence[Path], source: SourceOptions) -> None:
    """Convert the files to one Arrow stream, written to a temporary file and then renamed to `cache`.

    With `source.skip_bad_rows`, invalid rows are skipped and the reasons written to `skipped_file(cache)`.
    """
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=cache.parent, prefix=cache.stem, suffix=".part")
    except OSError as error:
        raise _unwritable(cache.parent, error) from None
    os.close(handle)
    part = Path(name)
    try:
        schema: pa.Schema | None = None
        skipped: list[str] = []
        while True:
            try:
                skipped.clear()
                rows = _write_tables(part, paths, source, schema, skipped)
                break
            except _WiderError as wider:
                schema = wider.schema
        if not rows:
            raise no_rows(paths, skipped)
        if source.skip_bad_rows:
            skipped_file(cache).write_text(json.dumps(skipped), encoding="utf-8")
        part.replace(cache)
    except OSError as error:  # reading never raises one: `blaming` has made it a DataError
        raise _unwritable(cache.parent, error) from None
    finally:
        part.unlink(missing_ok=True)


def _write_tables(
    part: Path, paths: Sequence[Path], source: SourceOptions, schema: pa.Schema | None, skipped: list[str]
) -> int:
    import pyarrow as pa

    writer: pa.RecordBatchStreamWriter | None = None
    rows = 0
    names: set[str] | None = None
    with ExitStack() as stack:
        file = stack.enter_context(part.open("wb"))
        for path in paths:
            for piece in _tables(path, source, skipped):
                table = piece.replace_schema_metadata(None)
                columns = set(table.column_names)
                if names is not None and names != columns and _fixed_columns(path, source):
                    raise _other_columns(path, paths[0], names, columns)
                names = names or columns
                schema = schema or table.schema
                fitted = _fitted(table, schema, path, rows)
                writer = writer or stack.enter_context(pa.ipc.new_stream(file, schema))
                writer.write_table(fitted)
                rows += len(fitted)
    return rows


def _fixed_columns(path: Path, source: SourceOptions) -> bool:
    return path.is_dir() or format_read(path, source) not in (".jsonl", ".ndjson", ".json")


def _other_columns(path: Path, first: Path, names: set[str], own: set[str]) -> DataError:
    missing, extra = sorted(names - own), sorted(own - names)
    what = (
        f"no column '{missing[0]}', which '{first}' has"
        if missing
        else f"a column '{extra[0]}', which '{first}' has not"
    )
    return DataError(f"'{path}' has {what}")


@contextmanager
def writing() -> Iterator[None]:
    """Turn errors of a full or read-only disk under the `datasets` cache into a `DataError`."""
    import datasets.config

    try:
        yield
    except OSError as error:
        raise _unwritable(Path(datasets.config.HF_DATASETS_CACHE), error) from None


def _unwritable(folder: Path, error: OSError) -> DataError:
    if error.errno == errno.ENOSPC:
        return DataError(f"the disk of '{folder}' is full; HF_HOME can name a folder elsewhere")
    return DataError(f"'{folder}' cannot be written to: {error.strerror or error}; HF_HOME can name another folder")


def _fitted(table: pa.Table, schema: pa.Schema, path: Path, done: int) -> pa.Table:
    """Cast `table` to `schema`; if it needs wider types, `_WiderError` restarts the writing."""
    import pyarrow as pa

    if table.schema == schema:
        return table
    try:
        wider = pa.unify_schemas([schema, table.schema], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        for field in table.schema:
            before = schema.field(field.name).type if field.name in schema.names else field.type
            try:
                pa.unify_schemas([pa.schema([(field.name, before)]), pa.schema([field])], promote_options="permissive")
            except (pa.ArrowTypeError, pa.ArrowInvalid):
                raise DataError(
                    f"'{path}': column '{field.name}' holds {_words(field.type)} from about row {done + 1} "
                    f"on, but {_words(before)} before"
                ) from None
        raise
    if wider != schema:
        raise _WiderError(wider)
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _tables(path: Path, source: SourceOptions, skipped: list[str]) -> Iterator[pa.Table]:
    with blaming(path):
        if is_tabular(path, source):
            yield from tables_of(path, source)
            return
        rows: list[Row] = []
        size = done = 0
        skipped_here = skipped if source.skip_bad_rows else None
        for row in rows_of(path, source):
            if isinstance(row, Unreadable):
                skipped.append(row.reason)
                continue
            rows.append(row)
            size += sum(len(v) for v in row.values() if isinstance(v, str | list))
            if len(rows) >= ROWS_AT_ONCE or size >= _CHARACTERS_AT_ONCE:
                yield from _table(rows, path, done, skipped_here)
                done += len(rows)
                rows, size = [], 0
        if rows:
            yield from _table(rows, path, done, skipped_here)


def _table(rows: Sequence[Row], path: Path, done: int, skipped: list[str] | None) -> Iterator[pa.Table]:
    """Convert the rows to a table; with `skipped`, rows with text that cannot be stored are left out, perhaps all."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns.append(pa.array(values))
        except UnicodeEncodeError as error:
            if skipped is None:
                raise _misfit(values, name, path, done, error) from None
            yield from _storable(rows, path, done, skipped)
            return
        except (pa.ArrowException, OverflowError) as error:
            raise _misfit(values, name, path, done, error) from None
    yield pa.Table.from_arrays(columns, names=names)


def _storable(rows: Sequence[Row], path: Path, done: int, skipped: list[str]) -> Iterator[pa.Table]:
    kept: list[Row] = []
    for number, row in enumerate(rows, start=done + 1):
        if (name := next((name for name, value in row.items() if _has_half(name) or _has_half(value)), None)) is None:
            kept.append(row)
        else:
            skipped.append(f"'{path}', row {number}: column {name!a} {HALF_CHARACTER}")
    if kept:
        yield from _table(kept, path, done, None)


def _has_half(value: Any) -> bool:
    if isinstance(value, str):
        return has_half_character(value)
    inner = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else ()
    return any(_has_half(item) for item in inner)


def _misfit(values: list[Any], name: str, path: Path, done: int, error: Exception) -> DataError:
    import pyarrow as pa

    good, bad = 0, len(values)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            pa.array(values[:middle])
            good = middle
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            bad = middle
    value = values[good]
    where = f"'{path}', row {done + good + 1}: column '{name}'"
    if isinstance(error, UnicodeEncodeError):
        return DataError(f"{where} holds half a character (a lone surrogate)")
    if isinstance(error, OverflowError):
        return DataError(f"{where} holds a number beyond 64 bits")
    return DataError(f"{where} holds {_kind(value)} ({value!r:.40}), unlike the rows before it")


def _words(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "numbers"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    return "true or false" if pa.types.is_boolean(kind) else f"values of type {kind}"


def _kind(value: Any) -> str:
    kinds = {
        str: "text",
        int: "a number",
        float: "a number",
        bool: "true or false",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), type(value).__name__)
