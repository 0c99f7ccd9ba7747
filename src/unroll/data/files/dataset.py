"""Read the user's data as a memory-mapped data set, or as a stream of rows.

CSV, TSV, JSON lines, Parquet, .npz, .xlsx, lines of text, a folder or a file of texts per class; also compressed (.gz,
.xz, .zst); several files, glob patterns, and 'owner/name' on the Hugging Face hub.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unroll.data.files.cache import cache_file, no_rows, skipped_file, write_arrow
from unroll.data.files.conll import comment_notes
from unroll.data.files.content import format_note, format_read
from unroll.data.files.delimited import notes_of
from unroll.data.files.excel import excel_notes
from unroll.data.files.formats import Row, Unreadable, is_tabular, rows_of, standard_input, tables_of
from unroll.data.files.paths import COLUMNS, DELIMITED, blaming, find, is_hub_name, line_files
from unroll.data.files.rows import require_columns
from unroll.data.options import SourceOptions
from unroll.errors import DataError, nearest

if TYPE_CHECKING:
    import datasets

__all__ = ["Unreadable", "read", "require_columns", "stream"]

_NAMED = 5
_SAYS = {".xlsx": excel_notes, **dict.fromkeys(DELIMITED, notes_of), **dict.fromkeys(COLUMNS, comment_notes)}
"""Functions that describe how a file of a format is written."""

Data = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def read(
    data: Data,
    *,
    split: str = "train",
    encoding: str = "utf-8",
    source: SourceOptions | None = None,
    skipped: list[str] | None = None,
    notes: list[str] | None = None,
) -> datasets.Dataset:
    """Read `data` into a memory-mapped `datasets.Dataset`.

    Files are converted once, a few rows at a time, to Arrow in the `datasets` cache (under `HF_HOME`), and again
    when they have changed, so a file may be larger than memory. CSV and TSV cells are text, as the file
    has them; other formats keep their types. Folders of texts per class have the columns `text` and `label`, lines of
    text have `text`, and .npz files have their arrays' names (layout: `npz.npz_tables`).

    Args:
        data: a file, a folder, a pattern, several of them, or 'owner/name' (or 'owner/name:configuration').
        split: part of a hub data set; of no effect on files.
        encoding: of text files, where `source` is not given.
        source: how the files are written.
        skipped: if given, invalid lines are skipped and the reasons appended here.
        notes: if given, what was detected about how the files are written is appended here.

    Raises:
        DataError: one sentence about the file, line, row or column.
    """
    source = replace(source or SourceOptions(encoding), skip_bad_rows=skipped is not None)
    if data == "-":
        raise DataError("standard input cannot be read more than once; put the data into a file")
    if isinstance(data, str) and is_hub_name(data):
        return cast("datasets.Dataset", _hub(data, split, streaming=False))
    paths = find(data)
    if notes is not None:
        for path in paths:
            notes += _notes(path, source)
    import datasets
    import datasets.config

    cache = cache_file(paths, source, Path(datasets.config.HF_DATASETS_CACHE))
    with quiet_datasets():
        if cache.exists():
            try:
                return _cached(cache, skipped)
            except (OSError, ValueError):  # Arrow's errors are both; a damaged cache is no one's mistake
                cache.unlink(missing_ok=True)
        write_arrow(cache, paths, source)
        try:
            return _cached(cache, skipped)
        except ValueError as error:  # of datasets, which has no such type of a column
            cache.unlink(missing_ok=True)
            raise DataError(f"{paths[0]} cannot be read as a table: {error!s:.200}") from None


def read_rows(
    data: Sequence[str], source: SourceOptions, say: Callable[[str], None], left_out: Callable[[int], str]
) -> tuple[datasets.Dataset, str]:
    """Read files or hub data, and say how they are written and what was left out; also return their name in messages.

    Args:
        data: names of files, or one hub name.
        source: how the files are written; with `skip_bad_rows` invalid lines are left out.
        say: called with each note.
        left_out: describes so many rows that were left out, and why, up to the first one's reason.

    Raises:
        DataError: as `read`.
    """
    skipped: list[str] | None = [] if source.skip_bad_rows else None
    notes: list[str] = []
    dataset = read(data[0] if len(data) == 1 else data, source=source, skipped=skipped, notes=notes)
    where = " ".join(data)
    for note in notes:
        say(note)
    if skipped:
        say(f"{where}: {left_out(len(skipped))} {skipped[0]}")
    return dataset, where


def _notes(path: Path, source: SourceOptions) -> tuple[str, ...]:
    if path.is_dir():
        names = [name for name, _ in line_files(path)]
        more = ", ..." if len(names) > _NAMED else ""
        classes = f"{len(names)} classes, a file each ({', '.join(names[:_NAMED])}{more})"
        return (f"{path}: {classes}; each line is a text",) if names else ()
    says = _SAYS.get(format_read(path, source))
    with blaming(path):
        return (*format_note(path, source), *(says(path, source) if says else ()))


def _cached(cache: Path, skipped: list[str] | None) -> datasets.Dataset:
    import datasets

    dataset = datasets.Dataset.from_file(str(cache))
    if skipped is not None:
        skipped += json.loads(skipped_file(cache).read_text(encoding="utf-8"))
    return dataset


def stream(
    data: Data,
    *,
    split: str = "train",
    encoding: str = "utf-8",
    source: SourceOptions | None = None,
    skip: bool = False,
    lines: str = "text",
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Iterate over the rows of `data` in order, without loading whole files.

    Takes what `read` takes, and "-": standard input, as JSON lines if its first line that is not blank starts with
    `{` and else as one text per line, in a column called `lines`, as those of .txt files are. A .json file that is
    one list is held whole. With `skip` a line that is no row comes as an `Unreadable`, in its place. `say` is called
    with the format of a file where its content decided it.

    Raises:
        DataError: as `read`, when the row is reached.
    """
    source = replace(source or SourceOptions(encoding), skip_bad_rows=skip)
    if data == "-":
        yield from standard_input(sys.stdin.buffer, source.encoding, skip, lines)
        return
    if isinstance(data, str) and is_hub_name(data):
        yield from cast("Iterator[Row]", _hub(data, split, streaming=True))
        return
    empty = True
    paths = find(data)
    for path in paths:
        with blaming(path):
            for note in () if path.is_dir() else format_note(path, source):
                say(note)
            if is_tabular(path, source):
                rows: Iterator[Row] = (row for table in tables_of(path, source) for row in table.to_pylist())
            else:
                rows = rows_of(path, source)
                if line_files(path) if path.is_dir() else format_read(path, source) == ".txt":
                    rows = (row if isinstance(row, Unreadable) else {lines: row.pop("text"), **row} for row in rows)
            for row in rows:
                empty = False
                yield row
    if empty:
        raise no_rows(paths)


def _hub(name: str, split: str, *, streaming: bool) -> Any:
    import datasets

    repository, _, configuration = name.partition(":")
    with quiet_datasets():
        try:
            return datasets.load_dataset(repository, configuration or None, split=split, streaming=streaming)
        except ValueError as error:
            message = str(error).splitlines()[0]
            if split in message and "split" in message.lower():
                try:
                    known = datasets.get_dataset_split_names(repository, configuration or None)
                except Exception:
                    known = []
                raise DataError(f"'{name}' on the hub has no part '{split}'{nearest(split, known)}") from None
            raise DataError(f"'{name}' on the hub cannot be read: {message}") from None
        except Exception as error:
            # Whatever the network, the hub or the data set's files did, a person needs the sentence only.
            message = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"'{name}' is no file here, and as a data set on the Hugging Face hub it cannot be read: {message}"
            ) from None


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Silence the log of `datasets`, and its progress bars unless stderr is a terminal."""
    import datasets

    level = datasets.logging.get_verbosity()
    bars = datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()
