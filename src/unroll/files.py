"""Files that are whole or absent: written beside, flushed to the disk, renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

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
