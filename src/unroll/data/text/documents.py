"""Read the text of files of any size in chunks, any number of times, and split it by position."""

from __future__ import annotations

import glob
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from unroll.data.bad_rows import describe
from unroll.data.files.cache import cache_file
from unroll.data.files.dataset import read, require_columns
from unroll.data.files.paths import (
    blaming,
    class_files,
    decoder_of,
    find,
    format_of,
    is_hub_name,
    line_files,
    opened,
    opened_text,
    wrong_byte,
)
from unroll.data.options import SourceOptions
from unroll.errors import DataError

if TYPE_CHECKING:
    import datasets

Reset = Literal["never", "row", "blank"]
Cut = Literal["anywhere", "space", "row", "document"]

_AT_ONCE = 2**20
_HEAD = 2**13
_ROWS_AT_ONCE = 1000
_SPACE = re.compile(r"\s")
_NAMED = 5


class Chunk(NamedTuple):
    """Hold a line, or a part of a very long line.

    Attributes:
        text: with its line end, where it has one.
        row: whether a line or record begins here.
        document: whether a document begins here, and the state is reset.
    """

    text: str
    row: bool
    document: bool


@dataclass(frozen=True)
class TextSource:
    """Iterate over a text in files, or over its characters `start` to `stop`, any number of times.

    A file with a known format of rows (CSV, TSV, JSON lines, JSON, Parquet, .npz, a folder of texts per class), or a
    hub name, is a text for each record: the `column`'s, and a line end. Any other file is plain text: all its lines, in
    order, with line ends of all kinds as one. At most about a million characters are in memory at once.

    Args:
        data: files, folders, glob patterns, a hub name.
        source: encoding, and whether invalid lines and records are skipped.
        column: of the text, in records.
        reset: where documents begin: nowhere but at the start, with every line or record, after blank lines.
        last_line: whether to add a missing line end to a file's last line.
    """

    data: tuple[str, ...]
    source: SourceOptions
    column: str = "text"
    reset: Reset = "never"
    last_line: bool = False
    start: int = 0
    stop: int | None = None

    @property
    def where(self) -> str:
        """Name of the text in messages."""
        return ", ".join(self.data)

    def identity(self) -> str:
        """Return a key that changes whenever the chunks may: the files in their current state, and the settings."""
        parts: list[str] = []
        for item in self._found():
            if isinstance(item, str):
                parts.append(f"{item} {read(item)._fingerprint}")
            else:
                parts.append(cache_file([item], self.source, Path()).stem)
        return repr((parts, self.column, self.reset, self.last_line, self.start, self.stop))

    def characters(self) -> int:
        """Count the Unicode code points of all chunks."""
        return sum(len(piece.text) for piece in self)

    def __iter__(self) -> Iterator[Chunk]:
        """Iterate over the chunks, in order.

        Raises:
            DataError: a file cannot be read, is no text, or a record has none.
        """
        at = 0
        for piece in self._whole(None):
            begin, at = at, at + len(piece.text)
            if at <= self.start:
                continue
            if self.stop is not None and begin >= self.stop:
                return
            low, high = max(self.start - begin, 0), None if self.stop is None else self.stop - begin
            if low or (high is not None and high < len(piece.text)):
                piece = Chunk(piece.text[low:high], piece.row or bool(low), piece.document and not low)
            yield piece

    def left_out(self) -> list[str]:
        """List the reasons for the lines and records that `skip_bad_rows` skips."""
        reasons: list[str] = []
        for _ in self._whole(reasons):
            pass
        return reasons

    def divided(self, share: float, cut: Cut) -> tuple[TextSource, TextSource]:
        """Split the text: the first part, and the last `share` of the characters.

        Args:
            share: above 0 and below 1.
            cut: where the text may be split: at exactly that character; at the next white space after it; or at the
                start of the next row or document, else of the last one before.

        Raises:
            DataError: there is no such place.
        """
        total = self.characters()
        wanted = int(total * (1 - share) + 1e-6)  # 10 (1 - 0.9) is a little less than 1
        at = wanted if cut == "anywhere" else self._boundary(wanted, total, cut)
        if not 0 < at < total:
            raise DataError(
                f"{self.where} is too short to be divided into training and validation ({share:g}); "
                "give --valid, or --validation-fraction 0"
            )
        return replace(self, stop=self.start + at), replace(self, start=self.start + at)

    def _boundary(self, wanted: int, total: int, cut: Cut) -> int:
        at = last = 0
        for piece in self:
            begin, at = at, at + len(piece.text)
            if cut != "space":
                if piece.document if cut == "document" else piece.row:
                    if begin >= wanted:
                        return begin
                    last = begin
                continue
            if begin >= wanted and piece.row and begin:
                return begin
            if at > wanted:
                space = _SPACE.search(piece.text, max(wanted - begin, 0))
                if space and begin + space.start() > 0:
                    return begin + space.start()
        return wanted if cut == "space" else last

    @property
    def has_records(self) -> bool:
        """Whether any of the data has records rather than plain text."""
        return any(isinstance(found, str) or not _is_plain(found, self.source) for found in self._found())

    def _found(self) -> list[Path | str]:
        """List the files, and hub names as text."""
        if "-" in self.data:
            raise DataError("standard input cannot be read more than once; put the text into a file")
        decoder_of(self.source.encoding)
        found = [path for name in self.data for path in _find(name)]
        if not found:
            raise DataError("no data was named")
        return found

    def _whole(self, reasons: list[str] | None) -> Iterator[Chunk]:
        for item in self._found():
            if isinstance(item, Path) and _is_plain(item, self.source):
                with blaming(item):
                    yield from self._plain(item, reasons)
            else:
                yield from self._records(str(item), reasons)

    def _plain(self, path: Path, reasons: list[str] | None) -> Iterator[Chunk]:
        encoding, skip = self.source.encoding, self.source.skip_bad_rows
        _refuse_binary(path, encoding)
        ended = after_blank = True
        number = 0
        with opened_text(path, encoding, lenient=skip) as text:
            for line in _lines(text):
                number += ended
                begins, ended = ended, line.endswith("\n")
                if skip and (wrong := wrong_byte(line, encoding)):
                    if reasons is not None:
                        reasons.append(f"'{path}', line {number}: {wrong}")
                    continue
                blank = begins and not line.strip()
                document = self.reset == "row" or (self.reset == "blank" and after_blank and not blank)
                after_blank = blank
                yield Chunk(line, begins, begins and document)
        if not ended and self.last_line:
            yield Chunk("\n", row=False, document=False)

    def _records(self, name: str, reasons: list[str] | None) -> Iterator[Chunk]:
        skip = self.source.skip_bad_rows
        skipped: list[str] = []
        dataset = read(name, source=self.source, skipped=skipped if skip else None)
        require_columns(dataset, [self.column], name)
        if reasons is not None:
            reasons += skipped
        for row, text in enumerate(_column(dataset, self.column)):
            if not isinstance(text, str):
                what = "is null" if text is None else f"holds {type(text).__name__}, not text"
                bad = f"'{self.column}' {what}"
                if not skip:
                    raise DataError(f"{describe([(row, bad)], len(dataset), name)}; --skip-bad-rows leaves them out")
                if reasons is not None:
                    reasons.append(f"row {row + 1}: {bad}")
                continue
            after_blank = False
            for number, line in enumerate(_lines(io.StringIO(f"{text}\n", newline=None))):
                blank = not line.strip()
                document = (self.reset == "row" and number == 0) or (
                    self.reset == "blank" and after_blank and not blank
                )
                after_blank = blank
                yield Chunk(line, number == 0, document)


def said(reasons: Sequence[str], where: str) -> str:
    """Describe in one sentence which lines or rows were left out."""
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return f"left out {len(reasons)} of the lines or rows of {where} ({'; '.join(reasons[:_NAMED])}{more})"


def _find(name: str) -> list[Path | str]:
    if is_hub_name(name):
        return [name]
    path = Path(name).expanduser()
    if path.is_file():
        return [path]
    if not path.exists() and any(c in name for c in "*?["):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        if matches:
            return [file for match in matches for file in ([match] if match.is_file() else _find(os.fspath(match)))]
    return [file for found in find(name) for file in ([text for _, text in _lines_in(found)] or [found])]


def _lines_in(path: Path) -> list[tuple[str, Path]]:
    return line_files(path) if path.is_dir() and not any(class_files(path)) else []


def _is_plain(path: Path, source: SourceOptions) -> bool:
    if path.is_dir():
        return False
    return format_of(path) in ("", ".txt") if source.input_format == "auto" else source.input_format == "txt"


def _refuse_binary(path: Path, encoding: str) -> None:
    if decoder_of(encoding).startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        return
    with opened(path) as stream:
        if b"\0" in stream.read(_HEAD):
            raise DataError(f"'{path}' is not a text file: it holds bytes that are zero")


def _lines(text: IO[str]) -> Iterator[str]:
    """Yield lines with their ends; a very long line comes in several chunks, cut before white space."""
    rest = ""
    while line := text.readline(_AT_ONCE):
        whole = line.endswith("\n") or len(line) < _AT_ONCE
        line, rest = rest + line, ""
        if not whole:
            spaces = [found.start() for found in _SPACE.finditer(line, max(0, len(line) - _HEAD))]
            if spaces and spaces[-1]:
                line, rest = line[: spaces[-1]], line[spaces[-1] :]
        yield line
    if rest:
        yield rest


def _column(dataset: datasets.Dataset, name: str) -> Iterator[Any]:
    for batch in dataset.select_columns([name]).iter(_ROWS_AT_ONCE):
        yield from batch[name]  # pyright: ignore[reportArgumentType, reportCallIssue]
