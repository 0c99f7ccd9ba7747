from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.data.files.dataset import read, stream
from unroll.errors import DataError


def _listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": _listening,
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.txt", "t.npz", "t.parquet", "t.csv.gz", "t.conll"])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    SPECIAL[kind](Path(name))
    for data in (name, ".", "*"):
        with pytest.raises(DataError, match=f"'{name}' is {kind}, not a regular file"):
            read(data)
        with pytest.raises(DataError, match=f"'{name}' is {kind}, not a regular file"):
            list(stream(data))


def test_a_pipe_among_the_texts_of_a_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "1.txt").write_text("good")
    os.mkfifo(tmp_path / "pos" / "2.txt")
    with pytest.raises(DataError, match=r"2\.txt' is a pipe, not a regular file"):
        read(tmp_path)


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\nx\n")
    (tmp_path / "b.csv").symlink_to("a.csv")
    (tmp_path / "c.csv").symlink_to("c.csv")
    assert read(tmp_path / "b.csv").to_list() == [{"a": "x"}]
    with pytest.raises(DataError, match=r"c\.csv"):
        read(tmp_path / "c.csv")


def test_a_name_that_is_too_long_is_refused() -> None:
    for name in ("a/" + "é" * 200, "x" * 300 + ".csv"):
        with pytest.raises(DataError, match="whose name is longer than a file's can be"):
            list(stream(name))
