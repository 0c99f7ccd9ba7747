"""Files that are whole or absent when written, and regular and of a bounded size when read."""

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
    """Put `content` at `path`; a stop at any moment leaves the old file or the new one, never a part.

    Raises:
        RunError: the disk is full, or the folder cannot be written. The old file is intact.
    """
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _flush_folder(path.parent)
    except OSError as error:
        _remove(beside)
        raise RunError(_sentence(path, error)) from error
    except BaseException:
        _remove(beside)
        raise


def read_regular(path: Path, limit: int, kind: type[UserError] = RunError) -> bytes:
    """Read a regular file of at most `limit` bytes.

    What is no regular file (a pipe, a device, or a link to one) is refused without being opened, so that reading
    never waits and never takes more memory than the file's size.

    Raises:
        FileNotFoundError: there is no such file.
        kind: it is not a regular file, is larger than `limit`, or cannot be read.
    """
    try:
        require_regular(path, kind)
        # should it become a pipe between the two calls, opening does not wait for a writer
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
    """Refuse what is no regular file nor a link to one, without opening it.

    Raises:
        OSError: it cannot be looked at, or is not there.
        kind: it is a folder, a pipe or a device.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise kind(f"{path} is {'a folder' if path.is_dir() else 'a pipe or a device'}, not a regular file")


def read_document(text: str, form: str, what: str) -> dict[str, Any]:
    """A JSON document that says of itself that it is of the form `form`; `what` is what messages call it.

    Raises:
        RunError: it is not JSON, has a key twice, NaN or half a character, or is of another form.
    """
    try:
        found = read_json(text)
    except ValueError as error:
        raise RunError(f"{what} is not JSON: {error!s:.200}") from None
    if not isinstance(found, dict) or found.get("format") != form:
        raise RunError(f"{what} is not in the form {form!r}")
    return found


def read_json(text: str) -> Any:
    """A JSON value.

    Raises:
        ValueError: it is not JSON, is nested too deeply, has a key twice, NaN or half a character.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "\\u" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half a character (a lone surrogate)") from None
    return found


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
    # a rename reaches the disk with its folder; not every file system lets a folder be flushed
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
