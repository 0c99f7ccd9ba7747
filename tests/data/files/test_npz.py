from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unroll.data.files.dataset import read, stream
from unroll.data.options import SourceOptions
from unroll.errors import DataError


def saved(path: Path, **arrays: Any) -> dict[str, list[Any]]:
    """The columns of the arrays, read and streamed alike."""
    np.savez(path, **arrays)
    dataset = read(path)
    assert list(stream(path)) == list(dataset)
    return {name: list(dataset[name]) for name in dataset.column_names}


def test_labels_in_bytes_are_read_in_the_encoding_they_are_in(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    assert saved(path, y=np.array(["é".encode(), b"b"])) == {"y": ["é", "b"]}
    with pytest.raises(DataError, match=r"'y', row 2: byte 0xE9 is not utf-8; name .* with --encoding, as latin-1"):
        saved(path, y=np.array([b"bar", b"caf\xe9", b"caf\xe8"]))
    assert read(path, source=SourceOptions("latin-1"))["y"][:] == ["bar", "café", "cafè"]
    assert [row["y"] for row in stream(path, encoding="latin-1")] == ["bar", "café", "cafè"]


def test_an_array_called_offsets_always_divides(tmp_path: Path) -> None:
    path, offsets = tmp_path / "t.npz", np.array([0, 1, 1, 3, 4])
    v = np.arange(8.0).reshape(4, 2)
    divided = [[[0, 1]], [], [[2, 3], [4, 5]], [[6, 7]]]
    assert saved(path, v=v, offsets=offsets, y=np.arange(4)) == {"v": divided, "y": [0, 1, 2, 3]}
    assert saved(path, v=v, offset=offsets, y=np.array(list("abcd"))) == {"v": divided, "y": list("abcd")}
    assert saved(path, v=np.arange(4.0), offsets=offsets, y=np.arange(4))["v"] == [[0], [], [1, 2], [3]]
    assert saved(path, v=np.arange(4), offsets=offsets) == {"v": [[0], [], [1, 2], [3]]}
    assert saved(path, v=np.arange(4), y=np.arange(4), v_offsets=offsets)["y"] == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"as many rows as steps, so 'offsets' may divide any of 'v', 'y'; call it"):
        saved(path, v=np.arange(4.0), offsets=offsets, y=np.arange(4.0))


@pytest.mark.parametrize("kind", ["g", "e", ">f8", ">i4", "u1", "?"])
def test_numbers_of_every_type(tmp_path: Path, kind: str) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(kind)
    assert saved(tmp_path / "t.npz", x=x, y=x[:, 0]) == {"x": [[0, 1], [1, 0], [1, 1]], "y": [0, 1, 1]}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.float64(1), "'x' is a single value"),
        (np.zeros(3, "c16"), "'x' holds complex128, which is neither numbers nor text"),
        (np.zeros(3, "M8[D]"), r"'x' holds datetime64\[D\]"),
        (np.zeros(3, [("a", "f8")]), "'x' holds .*neither numbers nor text"),
        (np.zeros((2, 0)), "'x' has rows without any values"),
        (np.asfortranarray(np.zeros((2, 3))), "'x' is stored column by column"),
        (np.zeros((2, 2), "S1"), "'x' holds texts in 2 dimensions"),
        (np.zeros((1, 1, 1, 1)), "'x' has 4 dimensions"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        saved(tmp_path / "t.npz", x=array)


def test_a_header_that_tells_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    for shape in ("(3,)", "(1,)", "(9999999999999,)", "(-1,)"):
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16))
        with pytest.raises(DataError, match="'x' is damaged: its header tells of another size than it has"):
            read(path)


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=np.zeros(2))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("x.npy", archive.read("x.npy"))
    with pytest.raises(DataError, match="more than one array named 'x'"):
        read(path)


def test_offsets_of_one_step_a_row_do_not_say_what_they_divide(tmp_path: Path) -> None:
    ones = np.arange(4)
    with pytest.raises(DataError, match="may divide any of 'x', 'y'"):
        saved(tmp_path / "t.npz", x=np.zeros(3), y=np.arange(3), offsets=ones)
    assert saved(tmp_path / "t.npz", x=np.zeros(3), y=np.arange(3), x_offsets=ones)["y"] == [0, 1, 2]
