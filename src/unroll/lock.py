"""Lock a run folder against other trainings, with a file `lock` that the operating system locks.

The system releases the lock whenever the process ends, so the folder of a killed training can be used again.
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
"""Errors of a file system without locks."""
_TRIES = 5
_BETWEEN = 0.02
_LARGEST = 4096


@contextlib.contextmanager
def held(folder: Path) -> Iterator[str]:
    """Lock `folder`, which must exist, against other trainings within the context.

    Yields:
        "", or a warning that the file system has no locks.

    Raises:
        RunError: another training writes to the folder; the message names its process. Nothing was changed.
    """
    file = _acquire(folder)
    if file is None:
        yield f"{folder} is on a file system without file locks: see to it that no other training writes there"
        return
    try:
        _sign(file)
        yield ""
    finally:
        # removed while the lock is held: a process that has opened this file finds it gone, and tries again
        with contextlib.suppress(OSError):
            os.unlink(folder / NAME)
        os.close(file)


def check(folder: Path) -> None:
    """Check that no other training writes to a folder; nothing is changed.

    Raises:
        RunError: one does; the message names its process.
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
    """Open and lock the lock file; None if the file system has no locks."""
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
    # follow no link, wait for no pipe
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
    """Try to take the lock; return whether another process has it.

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
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False


def _sign(file: int) -> None:
    """Write this process's id, host and time to the lock file; errors, e.g. a full disk, are ignored."""
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(who).encode(), 0)


def _taken(folder: Path, file: int) -> RunError:
    """Make the error that names the lock's owner, who may not have signed it yet."""
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
