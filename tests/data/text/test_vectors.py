from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from unroll.data.text.vectors import read_vectors
from unroll.errors import DataError, OptionError

LINES = "the 0.5 -1 2e-1\n. . 1 1 1\nThe 9 9 9\ncat 0 0.25 3\ndog 1 2 3\n"
ALL = ("the", ". .", "The", "cat", "dog")


def everything(_: str) -> bool:
    return True


@pytest.mark.parametrize("head", ["", "5 3\n"])
@pytest.mark.parametrize("trailing", ["", " "])
def test_both_forms_packed_or_not(tmp_path: Path, head: str, trailing: str) -> None:
    content = (head + LINES.replace("\n", trailing + "\n")).encode()
    (tmp_path / "v.txt").write_bytes(content)
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress(content))
    for name in ("v.txt", "v.txt.gz"):
        found = read_vectors(tmp_path / name, 3, everything)
        assert found.words == ALL
        assert found.values.dtype == np.float32
        assert np.allclose(found.values[[0, 3]], [[0.5, -1, 0.2], [0, 0.25, 3]])


def test_only_wanted_words_and_the_first_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("5 3\n" + LINES)
    assert read_vectors(path, 3, {"dog", "bird"}.__contains__).words == ("dog",)
    assert read_vectors(path, 3, {"dog"}.__contains__, first=2).words == ("the", ". .", "dog")
    folded = read_vectors(path, 3, {"the"}.__contains__, word=str.lower)
    assert folded.words == ("the",)
    assert folded.values.tolist() == [[0.5, -1, np.float32(0.2)]]
    none = read_vectors(path, 3, lambda _: False)
    assert (none.words, none.values.shape) == ((), (0, 3))


def test_another_dimension_is_refused_with_the_right_one(tmp_path: Path) -> None:
    for head in ("", "5 3\n"):
        path = tmp_path / "v.txt"
        path.write_text(head + LINES)
        with pytest.raises(OptionError, match=r"embedding_dim is 4, but the vectors in '.*v\.txt' have 3 values"):
            read_vectors(path, 4, everything)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1 2\nb 1\n", r"line 2: a word and 2 values are needed, not 'b 1'"),
        ("a 1 2\nb 1 x\n", r"line 2: 'x' is not a number"),
        ("a 1 2\n\nb nan 1\n", r"line 3: the vector holds a NaN"),
        ("a 1 2\nb 1e99 1\n", r"line 2: the vector holds a NaN or an infinite number"),
        ("", r"v\.txt' is empty"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_vectors(path, 2, everything)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("a 1\n")
    with pytest.raises(DataError, match=r"no such file: '.*glove\.tx'; did you mean 'glove.txt'"):
        read_vectors(tmp_path / "glove.tx", 1, everything)


def test_broken_words_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(b"a\xff 1 2\nb 3 4\nc\t5\t6\n")
    assert read_vectors(path, 2, everything).words == ("b", "c")
