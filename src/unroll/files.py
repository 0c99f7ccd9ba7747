"""Files that are whole or absent: written beside, flushed to the disk, renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

from unroll.errors import RunError


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


def read_document(text: str, form: str, what: str) -> dict[str, Any]:
    """A JSON document that says of itself that it is of the form `form`; `what` is what messages call it.

    Raises:
        RunError: it is not JSON, or of another form.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
        raise RunError(f"{what} is not JSON: {error}") from None
    if not isinstance(found, dict) or found.get("format") != form:
        raise RunError(f"{what} is not in the form {form!r}")
    return found
