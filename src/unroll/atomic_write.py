"""Write files atomically, and read only regular files of bounded size."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from unroll.errors import RunError, UserError


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` atomically: a crash at any moment leaves the old file or the new one.

    Raises:
        RunError: the disk is full, or the folder cannot be written. The old file is intact.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        raise RunError(_sentence(path, error)) from error
    except BaseException:
        _remove(temporary)
        raise


def read_regular(path: Path, limit: int, kind: type[UserError] = RunError) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Anything else (a pipe, a device, or a link to one) is refused without being opened, so that reading never blocks
    and never takes more memory than the file's size.

    Raises:
        FileNotFoundError: there is no such file.
        kind: it is not a regular file, is larger than `limit`, or cannot be read.
    """
    try:
        require_regular(path, kind)
        # if it becomes a pipe between the two calls, opening does not wait for a writer
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise kind(f"{path} has {size:,} bytes, more than such a file can hold ({limit:,})")
            content = file.read(size + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise kind(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) != size:
        raise kind(f"{path} has another size than its folder says; it is being written, or is no ordinary file")
    return content


def require_regular(path: Path, kind: type[UserError] = RunError) -> None:
    """Check that a path is a regular file or a link to one, without opening it.

    Raises:
        OSError: it does not exist or cannot be accessed.
        kind: it is a folder, a pipe or a device.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise kind(f"{path} is {'a folder' if path.is_dir() else 'a pipe or a device'}, not a regular file")


def read_document(text: str, form: str, what: str) -> dict[str, Any]:
    """Parse a JSON document with `"format": form`; `what` is its name in error messages.

    Raises:
        RunError: it is not JSON, has a duplicate key, NaN or a lone surrogate, or another format.
    """
    try:
        document = read_json(text)
    except ValueError as error:
        raise RunError(f"{what} is not JSON: {error!s:.200}") from None
    if not isinstance(document, dict) or document.get("format") != form:
        raise RunError(f"{what} is not in the form {form!r}")
    return document


def read_json(text: str) -> Any:
    """Parse a JSON value.

    Raises:
        ValueError: it is not JSON, is nested too deeply, has a duplicate key, NaN or a lone surrogate.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half a character (a lone surrogate)") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!r:.60} is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _flush_folder(folder: Path) -> None:
    # a rename is only durable once its folder is flushed; not every file system allows that
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sentence(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: cannot write {path}; what was written before is intact, make room and resume the run"
    return f"cannot write {path}: {error.strerror or error}; what was written before is intact"
