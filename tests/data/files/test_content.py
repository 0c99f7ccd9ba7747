from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unroll.data.files.content import format_note, format_read
from unroll.data.files.dataset import read, stream
from unroll.data.options import InputFormat, SourceOptions
from unroll.errors import DataError

AUTO = SourceOptions()
CONLL = "EU B-ORG\nrejects O\ncalls O\n\nPeter B-PER\nsleeps O\nhere O\n"


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["data", "data.dat", "data.txt"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"text": "a"}\n\n{"text": "b"}\n', ".jsonl"),
        ('[\n {"text": "a"},\n {"text": "b"}]\n', ".json"),
        ("text,label\na,1\nb,2\n", ".csv"),
        ("text\tlabel\na, b\t1\nb\t2\n", ".csv"),
        ('text;label\n"a;b";1\nb;2\n', ".csv"),
        (CONLL, ".conll"),
        (CONLL.replace(" ", "\t").replace("\n", "\r\n"), ".conll"),
        ("# text = He is\n1\tHe\the\tPRON\t_\t_\t2\tnsubj\t_\t_\n2\tis\tbe\tAUX\t_\t_\t0\troot\t_\t_\n", ".conllu"),
    ],
)
def test_the_content_shows_the_format(tmp_path: Path, name: str, content: str, kind: str) -> None:
    path = written(tmp_path / name, content)
    assert format_read(path, AUTO) == kind
    words = format_note(path, AUTO)
    assert len(words) == 1
    assert words[0].startswith(f"{path}: read as ")
    assert words[0].endswith(", as its content shows (--input-format tells otherwise)")
    said: list[str] = []
    assert list(stream(path, say=said.append)) == read(path, notes=(notes := [])).to_list()
    assert said == [words[0]] == notes[:1]


def test_binary_formats_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    packed = io.BytesIO()
    np.savez(packed, values=np.ones((3, 2)))
    assert read(written(tmp_path / "a.dat", packed.getvalue()))[0] == {"values": [1.0, 1.0]}
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "b")
    assert read(tmp_path / "b").to_list() == [{"text": "x"}]
    with pytest.raises(DataError, match=r"'.*c.dat' is a damaged archive"):
        format_read(written(tmp_path / "c.dat", b"PK\x03\x04" + bytes(50)), AUTO)


@pytest.mark.parametrize(
    "content",
    [
        "a fine day\nrain, again\n",
        "good, really\nbad, awful\nfine, thanks\n",
        "one two\nthree four\n\nfive six\nseven eight\n\nnine ten\neleven twelve\n",
        "{not json}\n{nor this}\n",
        "text\nhello\nworld\n",
        "a,b\n1,2\n",
        "a;b,c\n1;2,3\n4;5,6\n",
        "",
    ],
)
def test_lines_of_text_stay_lines(tmp_path: Path, content: str) -> None:
    path = written(tmp_path / "lines.txt", content)
    assert (format_read(path, AUTO), format_note(path, AUTO)) == (".txt", ())
    with pytest.raises(DataError, match=r"of no known format: its name ends in none of .*; give --input-format \(txt"):
        format_read(written(tmp_path / "lines", content), AUTO)


@pytest.mark.parametrize("name", ["iris.data", "iris.txt"])
def test_a_table_without_a_header_is_read_with_the_option(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, "5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n5.0,3.6,setosa\n")
    with pytest.raises(DataError, match="'setosa' of its first line stands in column 3 of 2 lines below"):
        read(path)
    assert read(path, source=SourceOptions(header="none"))[2] == {"0": "6.3", "1": "3.3", "2": "virginica"}


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ("txt", [{"text": "a,b"}, {"text": "1,2"}]),
        ("csv", [{"a": "1", "b": "2"}]),
        ("tsv", [{"a,b": "1,2"}]),
    ],
)
@pytest.mark.parametrize("name", ["data", "data.csv", "data.json"])
def test_the_option_decides_whatever_the_name_is(
    tmp_path: Path, name: str, given: InputFormat, rows: list[dict[str, str]]
) -> None:
    path = written(tmp_path / name, "a,b\n1,2\n")
    source = SourceOptions(input_format=given)
    assert read(path, source=source).to_list() == list(stream(path, source=source)) == rows
    assert format_note(path, source) == ()


def test_a_changed_file_is_looked_at_again(tmp_path: Path) -> None:
    path = written(tmp_path / "data", "a,b\n1,2\n3,4\n")
    assert format_read(path, AUTO) == ".csv"
    written(path, '{"a": 1}\n')
    os.utime(path, ns=(1, 1))
    assert format_read(path, AUTO) == ".jsonl"
