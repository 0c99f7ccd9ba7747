from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from unroll import lock
from unroll.errors import RunError
from unroll.runs import Run

FORK = multiprocessing.get_context("fork")


def hold(folder: Path, told: Connection) -> None:
    with lock.held(folder):
        told.send(None)
        told.recv()


def holder(folder: Path) -> tuple[multiprocessing.Process, Connection]:
    """A process that holds the lock until it is told otherwise."""
    mine, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(folder, theirs))
    process.start()
    mine.recv()
    return process, mine


def test_a_second_training_is_told_who_writes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    process, told = holder(run)
    before = sorted((p.name, p.read_bytes()) for p in run.iterdir())
    link = tmp_path / "link"
    link.symlink_to(run)
    for spelling in (run, link, Path(os.path.relpath(run)), tmp_path / "." / "run" / ".." / "run"):
        with pytest.raises(RunError, match=rf"another training writes to .* \(process {process.pid} on .*, since 20"):
            Run.claim(spelling, overwrite=True)
        with pytest.raises(RunError, match=f"process {process.pid} on"), Run(spelling).writing():
            raise AssertionError("it was not kept out")
    assert sorted((p.name, p.read_bytes()) for p in run.iterdir()) == before
    told.send(None)
    process.join()
    assert not list(run.iterdir())
    with Run.claim(run).writing() as note:
        assert note == ""
        assert (run / "lock").is_file()
    assert not list(run.iterdir())


def test_the_lock_of_a_killed_training_is_taken_over(tmp_path: Path) -> None:
    process, _ = holder(tmp_path)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]
    with Run.claim(tmp_path).writing():
        assert f'"pid": {os.getpid()}' in (tmp_path / "lock").read_text()


def test_the_lock_goes_when_a_training_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of its own"), lock.held(tmp_path):
        raise ValueError("of its own")
    assert not list(tmp_path.iterdir())


def test_the_same_process_is_kept_out_too(tmp_path: Path) -> None:
    with lock.held(tmp_path), pytest.raises(RunError, match=f"process {os.getpid()} "), lock.held(tmp_path):
        raise AssertionError("it was not kept out")


@pytest.mark.parametrize("what", ["pipe", "folder", "/dev/zero", "itself"])
def test_a_lock_that_is_no_file_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "lock"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("lock" if what == "itself" else what)
    with pytest.raises(RunError, match="lock"):
        Run.claim(tmp_path)
    with pytest.raises(RunError, match="lock"), lock.held(tmp_path):
        raise AssertionError("it was taken")


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    lock.check(tmp_path)
    with Run.claim(tmp_path).writing() as note:
        assert "without file locks" in note
