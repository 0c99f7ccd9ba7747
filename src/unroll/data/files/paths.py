"""Find data files, open them, decompress and decode them."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from unroll.errors import DataError, OptionError, nearest

COLUMNS = (".conll", ".conll2000", ".conll2002", ".conll2003", ".bio", ".iob", ".iob2", ".bioes", ".iobes")
FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".npz", ".xlsx", ".txt", ".conllu", *COLUMNS)
DELIMITED = (".csv", ".tsv")
PACKED = (".gz", ".xz", ".zst")

# Bytes as decoded by the error handler "surrogateescape".
_ESCAPED = re.compile("[\udc80-\udcff]")

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?")


def format_of(path: Path) -> str:
    """Return the format by a file's name, without compression: ".csv", ".jsonl", ...; "" if it is unknown."""
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else ""


def last_suffix(path: Path) -> str:
    """Return the last part of a file's name after a dot, without compression: `train.en.gz` gives `en`."""
    suffixes = path.suffixes[:-1] if path.suffix.lower() in PACKED else path.suffixes
    return suffixes[-1].removeprefix(".") if suffixes else ""


_LONGEST_NAME = 255
"""Bytes."""


def is_hub_name(name: str) -> bool:
    """Tell whether `name` can only mean 'owner/name' (or 'owner/name:configuration') on the hub."""
    check_name(name)
    if not _HUB.fullmatch(name) or Path(name).exists():
        return False
    path = Path(name)
    return not (format_of(path) or path.suffix.lower() in PACKED or name[0] == "." or path.parent.exists())


def find(data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find the files and class folders named by `data`, in order; patterns and folders of files are expanded.

    Raises:
        DataError: nothing is there, or it is no regular file.
    """
    if isinstance(data, str | os.PathLike):
        return _find_one(os.fspath(data))
    paths = [path for item in data for path in _find_one(os.fspath(item))]
    if not paths:
        raise DataError("no data was named")
    return paths


def check_name(name: str) -> None:
    """Check that a file name is not too long.

    Raises:
        DataError: it is longer than file systems take.
    """
    if any(len(part.encode("utf-8", "surrogatepass")) > _LONGEST_NAME for part in name.split("/")):
        raise DataError(f"no such file: '{name:.60}...', whose name is longer than a file's can be")


def _find_one(name: str) -> list[Path]:
    check_name(name)
    path = Path(name).expanduser()
    if path.is_dir():
        return _inside(path)
    if not path.exists():
        if any(c in name for c in "*?["):
            matches = sorted(Path(m) for m in glob.glob(str(path), recursive=True))
            if not matches:
                raise DataError(f"no file matches '{name}'")
            return [found for match in matches for found in (_inside(match) if match.is_dir() else [_regular(match)])]
        raise _missing(path, name)
    return [_regular(path)]


def check_regular(path: Path) -> None:
    """Check that a path is a regular file, not a device or a pipe, which may never end.

    Raises:
        DataError: it does not.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
        kind = next((name for test, name in kinds if test(mode)), "a device")
        raise DataError(f"'{path}' is {kind}, not a regular file; put the data into a file")


def _regular(path: Path) -> Path:
    with blaming(path):
        check_regular(path)
    return path


def _missing(path: Path, name: str) -> DataError:
    parent = path.parent
    if not name:
        return DataError("the name of the data is empty")
    if not parent.is_dir():
        return DataError(f"no such file: '{name}' (there is no folder '{parent}')")
    hint = nearest(path.name, sorted(os.listdir(parent)))
    return DataError(f"no such file: '{name}'{hint if 'did you mean' in hint else ''}")


def _inside(folder: Path) -> list[Path]:
    """Return the folder itself if it has a folder or a file of texts per class, else the data files in it."""
    if any(class_files(folder)) or line_files(folder):
        return [folder]
    files = sorted(_regular(p) for p in folder.iterdir() if format_of(p) and not p.is_dir())
    if not files:
        raise DataError(
            f"the folder '{folder}' holds neither data files ({', '.join(FORMATS)}) "
            "nor a folder of .txt files per class, nor a .txt file per class"
        )
    return files


def class_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (class, file) for each text file in a folder with one subfolder per class, in order of name."""
    for kind in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        for path in sorted(kind.iterdir()):
            if format_of(path) == ".txt" and not path.is_dir():
                with blaming(path):
                    check_regular(path)
                yield kind.name, path


def line_files(folder: Path) -> list[tuple[str, Path]]:
    """List (class, file) for a folder whose data files are several .txt files and nothing else, in order of name."""
    files = sorted(path for path in folder.iterdir() if format_of(path) and not path.is_dir())
    if len(files) < 2 or any(format_of(path) != ".txt" for path in files):
        return []
    return [(_regular(path).name[: path.name.lower().rindex(".txt")], path) for path in files]


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Turn errors raised while reading into a one-sentence `DataError` about `path`."""
    try:
        yield
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"'{path}' is damaged: it cannot be unpacked ({error})") from None
    except PermissionError:
        raise DataError(f"'{path}' may not be read: permission denied") from None
    except FileNotFoundError:
        raise _missing(path, str(path)) from None
    except OSError as error:
        if path.suffix.lower() == ".zst" and error.errno is None:
            raise DataError(f"'{path}' is damaged: it cannot be unpacked ({error})") from None
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading decompressed bytes; the stream may not be seekable."""
    check_regular(path)
    with ExitStack() as stack:
        packed = path.suffix.lower()
        if packed == ".gz":
            stream = stack.enter_context(gzip.GzipFile(path, "rb"))
        elif packed == ".xz":
            stream = stack.enter_context(lzma.LZMAFile(path, "rb"))
        elif packed == ".zst":
            import pyarrow as pa

            # Unlike the zstandard package, Arrow notices a file that ends too early.
            source = stack.enter_context(pa.OSFile(str(path), "rb"))
            stream = stack.enter_context(pa.CompressedInputStream(source, "zstd"))
        else:
            stream = stack.enter_context(path.open("rb"))
        yield cast("BinaryIO", stream)


@contextmanager
def seekable(path: Path) -> Iterator[Path]:
    """Give a path to the decompressed file: itself, or a temporary copy if it is compressed."""
    if path.suffix.lower() not in PACKED:
        check_regular(path)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="unroll-") as folder:
        copy = Path(folder) / path.stem
        with opened(path) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 2**20)
        yield copy


def decoder_of(encoding: str) -> str:
    """Return the codec's name; for UTF-8 one that drops a byte-order mark at the start.

    Raises:
        OptionError: there is no such encoding.
    """
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise OptionError(f"encoding is {encoding!r}, which is not known") from None
    return "utf-8-sig" if name == "utf-8" else name


def has_plain_lines(codec: str) -> bool:
    """Tell whether the byte 0x0A ends a line, so that lines can be split even if they have invalid bytes."""
    return codec == "utf-8-sig" or "\n".encode(codec) == b"\n"


def wrong_byte(text: str, encoding: str) -> str:
    """Describe the first invalid byte in text decoded with `surrogateescape`; "" if there is none."""
    match = None if text.isascii() else _ESCAPED.search(text)
    return f"byte 0x{ord(match[0]) - 0xDC00:02X} is not {encoding}" if match else ""


@contextmanager
def opened_text(path: Path, encoding: str, newline: str | None = None, lenient: bool = False) -> Iterator[IO[str]]:
    """Open a file as text; an invalid byte raises an error with its line and an encoding to try.

    With `lenient` such bytes are passed on for `wrong_byte` to find, if the encoding has plain lines.
    """
    codec = decoder_of(encoding)
    errors = "surrogateescape" if lenient and has_plain_lines(codec) else "strict"
    try:
        with opened(path) as stream, io.TextIOWrapper(stream, codec, errors, newline=newline) as text:
            yield text
    except UnicodeError as error:
        raise undecodable(path, encoding, error) from None


def decoded(lines: Iterable[str], path: Path, encoding: str) -> Iterator[str]:
    """Yield lines of `opened_text` until one has an invalid byte.

    Raises:
        DataError: a line has an invalid byte; the message gives an encoding to try.
    """
    for line in lines:
        if wrong_byte(line, encoding):
            raise undecodable(path, encoding)
        yield line


def undecodable(path: Path, encoding: str, error: UnicodeError | None = None) -> DataError:
    """Build the error for a file with an invalid byte: its line, and the encoding that may be right."""
    codec = decoder_of(encoding)
    with opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(codec)
            except UnicodeDecodeError as found:
                if codec.startswith(("utf-16", "utf-32")):
                    break
                byte = line[found.start]
                return DataError(
                    f"'{path}', line {number}: byte 0x{byte:02X} is not {encoding}; "
                    f"--encoding {_guess(path, line)} may be right"
                )
            except UnicodeError:
                break
    reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error or "a byte is no character")
    return DataError(f"'{path}' is not {encoding} ({reason}); --encoding {_guess(path, b'')} may be right")


def _guess(path: Path, line: bytes) -> str:
    with opened(path) as stream:
        head = stream.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # Chinese in GBK is pairs of high bytes; in a western encoding a high byte mostly stands alone.
    high = re.findall(rb"[\x80-\xff]+", line)
    paired = sum(len(run) for run in high if len(run) % 2 == 0)
    if not high:
        return "utf-8"
    if paired * 2 > sum(len(run) for run in high):
        try:
            line.decode("gb18030")
            return "gbk"
        except UnicodeDecodeError:
            pass
    return "latin-1"
