"""One writer at a time: a file `lock` in the run folder, locked by the operating system for the life of a training.

The system releases the lock when the process ends, however it ends, so that what a killed training left is taken over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from unroll.errors import RunError

try:
    import fcntl
except ImportError:  # a system that is not POSIX
    fcntl = None

NAME = "lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that has no locks."""
_TRIES = 5
_BETWEEN = 0.02
_LARGEST = 4096


@contextlib.contextmanager
def held(folder: Path) -> Iterator[str]:
    """Keep every other training out of `folder`, an existing folder, within the context.

    Yields:
        "", or what a person should know: the file system has no locks.

    Raises:
        RunError: another training writes to the folder; its process is named. Nothing was touched.
    """
    file = _acquire(folder)
    if file is None:
        yield f"{folder} is on a file system without file locks: see to it that no other training writes there"
        return
    try:
        _sign(file)
        yield ""
    finally:
        # removed while the lock is held: whoever has opened this file finds that it is gone, and tries anew
        with contextlib.suppress(OSError):
            os.unlink(folder / NAME)
        os.close(file)


def check(folder: Path) -> None:
    """Refuse a folder that another training writes to; nothing is touched.

    Raises:
        RunError: one does; its process is named.
    """
    if fcntl is None:
        return
    try:
        file = _open(folder, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if _is_locked(file, fcntl.LOCK_SH):
            raise _taken(folder, file)
    except OSError:
        return
    finally:
        os.close(file)


def _acquire(folder: Path) -> int | None:
    """The open and locked file; None where the file system has no locks."""
    if fcntl is None:
        return None
    refusal = RunError(f"{folder / NAME} comes and goes: other trainings write to this folder; choose another")
    for _ in range(_TRIES):
        file = _open(folder, os.O_RDWR | os.O_CREAT)
        try:
            if _is_locked(file, fcntl.LOCK_EX):
                refusal = _taken(folder, file)  # or another only looks, which is over at once
            elif _is_at(folder / NAME, file):
                return file
        except OSError as error:
            os.close(file)
            if error.errno not in _NO_LOCKS:
                raise RunError(f"cannot lock {folder / NAME}: {error.strerror or error}") from error
            return None
        os.close(file)
        time.sleep(_BETWEEN)
    raise refusal


def _open(folder: Path, flags: int) -> int:
    # neither a link is followed nor a pipe waited for
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    path = folder / NAME
    try:
        file = os.open(path, flags, 0o644)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise RunError(f"cannot open {path}, which keeps two trainings apart: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise RunError(f"{path} is not a regular file; remove it, if no training writes to this folder")
    return file


def _is_locked(file: int, how: int) -> bool:
    """Whether another has the lock; otherwise this process has it now.

    Raises:
        OSError: the file system has no locks.
    """
    assert fcntl is not None  # noqa: S101 (the callers have seen to it)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _is_at(path: Path, file: int) -> bool:
    """Whether the open file is the one that lies at `path`."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False


def _sign(file: int) -> None:
    """Say in the file who has it; a full disk does not matter here."""
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(who).encode(), 0)


def _taken(folder: Path, file: int) -> RunError:
    """Who has the lock; they may be about to sign it."""
    who: dict[str, object] = {}
    for _ in range(_TRIES):
        with contextlib.suppress(OSError, ValueError, TypeError):
            found = json.loads(os.pread(file, _LARGEST, 0))
            who = {"pid": int(found["pid"]), "host": str(found["host"]), "since": str(found["since"])}
        if who:
            break
        time.sleep(_BETWEEN)
    name = "process {pid} on {host}, since {since}".format(**who) if who else "its process is not known yet"
    return RunError(
        f"another training writes to {folder} ({name}); wait for its end, or choose another folder for this one"
    )
