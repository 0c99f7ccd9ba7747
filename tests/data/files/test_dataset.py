from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unroll.data.files.dataset import Unreadable, read, require_columns, stream
from unroll.errors import DataError, OptionError

pytestmark = pytest.mark.slow

ROWS = [
    {"text": "plain", "label": "a"},
    {"text": 'say "hi", then\nleave', "label": "b"},
    {"text": "中文,很好", "label": "a"},
    {"text": "", "label": "NA"},
]
CSV = 'text,label\nplain,a\n"say ""hi"", then\nleave",b\n"中文,很好",a\n,NA\n'


def rows_of(path) -> list[dict]:
    got = read(path).to_list()
    assert list(stream(path)) == got
    return got


def packed(data: bytes, ending: str) -> bytes:
    if ending == ".gz":
        return gzip.compress(data)
    if ending == ".xz":
        return lzma.compress(data)
    if ending == ".zst":
        sink = io.BytesIO()
        with pa.CompressedOutputStream(sink, "zstd") as out:
            out.write(data)
            out.flush()
            return _closed(out, sink)
    return data


def _closed(out, sink: io.BytesIO) -> bytes:
    held = io.BytesIO()
    sink.close = lambda: held.write(sink.getvalue())  # type: ignore[method-assign]
    out.close()
    return held.getvalue()


def payload(kind: str) -> bytes:
    if kind == ".csv":
        return CSV.encode()
    if kind == ".tsv":
        return (
            CSV.replace("text,label", "text\tlabel")
            .replace(",a\n", "\ta\n")
            .replace(",b\n", "\tb\n")
            .replace(",NA", "\tNA")
            .encode()
        )
    if kind == ".jsonl":
        return "\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS).encode()
    if kind == ".json":
        return json.dumps(ROWS, indent=1).encode()
    sink = io.BytesIO()
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), sink)
    else:
        np.savez(sink, text=np.array([r["text"] for r in ROWS]), label=np.array([r["label"] for r in ROWS]))
    return sink.getvalue()


@pytest.mark.parametrize("ending", ["", ".gz", ".xz", ".zst"])
@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".npz"])
def test_every_format_in_every_packing(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"data{kind}{ending}"
    path.write_bytes(packed(payload(kind), ending))
    assert rows_of(path) == ROWS


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_of_texts_per_class(tmp_path: Path, ending: str) -> None:
    for label, name, text in [("pos", "2", "good\n"), ("neg", "1", "bad"), ("pos", "10", "最好")]:
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{name}.txt{ending}").write_bytes(packed(text.encode(), ending))
    assert rows_of(tmp_path) == [
        {"text": "bad", "label": "neg"},
        {"text": "最好", "label": "pos"},
        {"text": "good\n", "label": "pos"},
    ]


def test_lines_of_text(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_bytes("one\r\n\r\nthree\u2028still".encode())
    assert rows_of(path) == [{"text": "one"}, {"text": ""}, {"text": "three\u2028still"}]


def test_several_files_patterns_and_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name},1\n")
    both = [{"text": "a", "label": "1"}, {"text": "b", "label": "1"}]
    assert rows_of([tmp_path / "a.csv", str(tmp_path / "b.csv")]) == both
    assert rows_of(str(tmp_path / "*.csv")) == both
    assert rows_of(tmp_path) == both
    with pytest.raises(DataError, match=r"no file matches '.*\*\.tsv'"):
        read(str(tmp_path / "*.tsv"))
    (tmp_path / "b.csv").write_text("text,kind\nb,1\n")
    with pytest.raises(DataError, match=r"b\.csv' has no column 'label', which '.*a\.csv' has"):
        read(str(tmp_path / "*.csv"))


def test_ragged_arrays(tmp_path: Path) -> None:
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    path = tmp_path / "r.npz"
    np.savez_compressed(path, x=values, offset=np.array([0, 2, 2, 5]), y=np.array([1, 0, 1]))
    assert rows_of(path) == [
        {"x": [[0.0, 1.0], [2.0, 3.0]], "y": 1},
        {"x": [], "y": 0},
        {"x": [[4.0, 5.0], [6.0, 7.0], [8.0, 9.0]], "y": 1},
    ]


def test_arrays_of_one_length_over_many_pieces(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4500, 3, 2))
    z = np.arange(9000, dtype=">i2").reshape(4500, 2)
    path = tmp_path / "x.npz"
    np.savez(path, x=x, z=z)
    dataset = read(path)
    assert np.array_equal(np.array(dataset["x"]), x)
    assert np.array_equal(np.array(dataset["z"]), z)
    assert [r["z"][1] for r in stream(path)] == list(range(1, 9000, 2))


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "o.npz"
    np.savez(path, x=np.array([[1], [1, 2]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="'x' holds Python objects"):
        read(path)


def test_arrays_that_disagree(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((3, 2)), y=np.zeros(4))
    with pytest.raises(DataError, match="disagree on the number of rows: 'x' 3, 'y' 4"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"", r"'.*e\.csv' is empty"),
        ("e.jsonl", b"", r"'.*e\.jsonl' is empty"),
        ("e.parquet", b"", r"'.*e\.parquet' is empty"),
        ("e.npz", b"", r"'.*e\.npz' is empty"),
        ("h.csv", b"text,label\n", r"'.*h\.csv' has no rows"),
        ("g.csv", b'text,label\n"a\nb",1\nx,1,2\n', r"line 4: 3 fields, but the header has 2"),
        ("s.csv", b"text,label\na,1\nb\n", r"line 3: 1 field, but the header has 2"),
        ("q.csv", b'text,label\na,1\n"b,2\nc,3\n', r"line 3: a quoted field is opened here and never closed"),
        ("i.csv", b'text,label\n"b" c,2\n', r"line 2: ',' expected after '\"'"),
        ("d.csv", b"text,label,text\na,1,b\n", r"more than one column named 'text'"),
        (
            "u.csv",
            "text,label\nok,1\n很好,2\n".encode("gbk"),
            r"u\.csv', line 3: byte 0xBA is not utf-8; --encoding gbk",
        ),
        ("l.csv", "text,label\ncaf\u00e9 cr\u00e8me,1\n".encode("latin-1"), r"line 2: byte 0xE9 .*--encoding latin-1"),
        ("w.csv", "text,label\na,1\n".encode("utf-16"), r"line 1: byte 0xFF .*--encoding utf-16"),
        ("j.jsonl", b'{"a": 1}\n\n{"a": 2\n', r"j\.jsonl', line 3: not JSON"),
        ("k.jsonl", b'{"a": 1}\n[2]\n', r"line 2: a JSON object .* not \[2\]"),
        ("l.json", b'[{"a": 1}, 2]', r"item 2: an object"),
        ("m.json", b'[{"a": 1},\n {"a" 2}]', r"line 2: not JSON"),
        ("n.jsonl", b'{"a": 1}\n{"a": "x"}\n', r"row 2: column 'a' holds text \('x'\), unlike the rows before"),
        ("o.jsonl", b'{"a": 1}\n{"a": 99999999999999999999}\n', r"row 2: column 'a' holds a number beyond 64 bits"),
        ("p.jsonl", b'{"a": "x"}\n{"a": "\\ud83d"}\n', r"row 2: column 'a' holds half a character"),
        ("p.parquet", b"PAR1 no parquet at all", r"p\.parquet' is not a Parquet file, or is damaged"),
        ("z.npz", b"no zip", r"z\.npz' is not an \.npz file"),
        ("c.csv.gz", b"no gzip", r"c\.csv\.gz' is damaged: it cannot be unpacked"),
        ("c.csv.xz", b"no xz", r"c\.csv\.xz' is damaged: it cannot be unpacked"),
        ("c.csv.zst", b"no zstandard", r"c\.csv\.zst' is damaged: it cannot be unpacked"),
        ("data.xls", b"x", r"of no known format"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    if "row 2" not in message:
        with pytest.raises(DataError, match=message):
            list(stream(path))


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".npz"])
@pytest.mark.parametrize("ending", [".gz", ".xz", ".zst"])
def test_a_file_that_ends_too_early(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"t{kind}{ending}"
    path.write_bytes(packed(payload(kind) * 50, ending)[:-12])
    with pytest.raises(DataError, match=r"is damaged: it cannot be unpacked"):
        read(path)


def test_an_npz_that_ends_too_early(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=np.zeros((100, 5)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"t\.npz' is not an \.npz file, or is damaged"):
        read(path)


def test_a_missing_file_names_the_near_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reviews.csv").write_text("text\na\n")
    with pytest.raises(DataError, match=r"no such file: '.*review\.csv'; did you mean 'reviews\.csv'\?"):
        read(tmp_path / "review.csv")
    with pytest.raises(DataError, match=r"no such file: '.*x\.csv' \(there is no folder"):
        read(tmp_path / "nowhere" / "x.csv")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("data/review", "owner/name.csv", "./owner/name", "reviews"):
        with pytest.raises(DataError, match="no such file"):
            read(name)
    with pytest.raises(DataError, match="holds neither data files"):
        read("data")


def test_a_hub_name_is_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load(name, configuration, *, split, streaming):
        asked.append((name, configuration, split, streaming))
        return datasets.Dataset.from_dict({"text": ["a"]})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", load)
    assert read("owner/name", split="test").to_list() == [{"text": "a"}]
    assert list(stream("owner/name:plain")) == [{"text": "a"}]
    assert asked == [("owner/name", None, "test", False), ("owner/name", "plain", "train", True)]

    def fail(*_, **__):
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"'owner/name' is no file here, .*: no route$"):
        read("owner/name")


def test_byte_order_mark_line_ends_semicolons_and_huge_fields(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    huge = "长" * 300_000
    path.write_bytes(b"\xef\xbb\xbf" + f"text;label\r\n\r\n{huge};1\r\n".encode())
    assert rows_of(path) == [{"text": huge, "label": "1"}]


def test_other_encodings(tmp_path: Path) -> None:
    for encoding in ("gbk", "utf-16", "shift_jis"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes("text,label\n日本,1\n".encode(encoding))
        assert read(path, encoding=encoding).to_list() == [{"text": "日本", "label": "1"}]
        assert list(stream(path, encoding=encoding)) == [{"text": "日本", "label": "1"}]
    with pytest.raises(OptionError, match="encoding is 'utf8000'"):
        read(path, encoding="utf8000")


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nold\n")
    assert read(path)["text"][:] == ["old"]
    stamp = path.stat()
    path.write_text("text\nnew\n")
    assert read(path)["text"][:] == ["new"]
    # Even if the size and the time of the last change are put back.
    path.write_text("text\nyet\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read(path)["text"][:] == ["yet"]


def test_an_unchanged_file_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import unroll.data.files.dataset as sources

    path = tmp_path / "a.csv"
    path.write_text("text\nold\n")
    first = read(path)
    monkeypatch.setattr(sources, "write_arrow", lambda *_: pytest.fail("converted again"))
    assert read(path)._fingerprint == first._fingerprint


def test_a_damaged_cache_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / "a.csv"
    path.write_text("text\nold\n")
    cache = Path(read(path).cache_files[0]["filename"])
    cache.write_bytes(b"\x00damage")
    assert read(path)["text"][:] == ["old"]
    assert [p.suffix for p in cache.parent.iterdir()] == [".arrow"]


def test_types_that_widen_after_the_first_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"x": i, "s": [1, 2]} for i in range(5000)] + [{"x": 0.5, "s": [0.25], "late": "yes"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    dataset = read(path)
    assert dataset[4999] == {"x": 4999.0, "s": [1.0, 2.0], "late": None}
    assert dataset[5000] == {"x": 0.5, "s": [0.25], "late": "yes"}
    path.write_text("\n".join(map(json.dumps, [*rows, {"x": "text"}])).replace("0.5", "5"))
    with pytest.raises(DataError, match=r"row 5002: column 'x' holds text"):
        read(path)
    path.write_text("\n".join(map(json.dumps, [*rows[:4000], {"x": "text"}])))
    with pytest.raises(DataError, match=r"column 'x' holds text from about row 4001 on, but numbers before"):
        read(path)


def test_parquet_categories_nested_lists_and_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"kind": pa.array(["b", "a", "b"]).dictionary_encode(), "x": [[[1.0, 2.0]], [], None]})
    pq.write_table(table, path)
    assert rows_of(path) == [
        {"kind": "b", "x": [[1.0, 2.0]]},
        {"kind": "a", "x": []},
        {"kind": "b", "x": None},
    ]
    pq.write_table(table.slice(0, 0), path)
    with pytest.raises(DataError, match="has no rows"):
        read(path)
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(DataError, match="more than one column named 'a'"):
        read(path)


def test_require_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("review,sentiment\na,b\n")
    dataset = read(path)
    require_columns(dataset, ["review", "sentiment"], "a.csv")
    with pytest.raises(DataError, match=r"^'a.csv' has no column 'sentimant'; did you mean 'sentiment'\?$"):
        require_columns(dataset, ["review", "sentimant"], "a.csv")
    with pytest.raises(DataError, match="there is: review, sentiment"):
        require_columns(["review", "sentiment"], ["xyz"], "a.csv")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> list[dict]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return list(stream("-"))

    assert given(b'{"text": "a", "n": 1}\n\n{"text": "b"}') == [{"text": "a", "n": 1}, {"text": "b"}]
    assert given("first\r\n\n好".encode()) == [{"text": "first"}, {"text": ""}, {"text": "好"}]
    assert given(b'\n \r\n{"text": "a"}\n') == [{"text": "a"}]
    assert given(b"\nplain\n") == [{"text": ""}, {"text": "plain"}]
    assert given(b"\n") == [{"text": ""}]
    with pytest.raises(DataError, match="standard input, line 3: not JSON"):
        given(b'\n{"text": "a"}\nplain\n')
    with pytest.raises(DataError, match="standard input, line 2: not JSON"):
        given(b'{"text": "a"}\nplain\n')
    with pytest.raises(DataError, match="standard input is empty"):
        given(b"")
    with pytest.raises(DataError, match="standard input, line 2: byte 0xE9 is not utf-8"):
        given(b"a\n\xe9\n")
    with pytest.raises(DataError, match="put the data into a file"):
        read("-")


def _reasons(rows: Iterable[dict]) -> list[object]:
    return [row.reason if isinstance(row, Unreadable) else row for row in rows]


def test_a_line_of_standard_input_in_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> list[object]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return _reasons(stream("-", skip=True))

    wrong = "standard input, line 2: byte 0xE9 is not utf-8"
    assert given("好\n".encode() + b"caf\xe9\nb") == [{"text": "好"}, wrong, {"text": "b"}]
    assert given(b'{"text": "a"}\n{"text": "caf\xe9"}\n{"text": "\\udc80"}') == [
        {"text": "a"},
        wrong,
        {"text": "\udc80"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", b'text\n"one\nmore"\n"caf\xe9\ncr\xe8me"\nb\n', 4),
        ("a.jsonl", b'{"text": "one\\nmore"}\n{"text": "caf\xe9"}\n{"text": "b"}', 2),
        ("a.json", b'\n{"text": "one\\nmore"}\n{"text": "caf\xe9"}\n{"text": "b"}', 3),
    ],
)
def test_a_line_in_another_encoding_is_left_out(tmp_path: Path, name: str, content: bytes, line: int) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    wrong = f"'{path}', line {line}: byte 0xE9 is not utf-8"
    assert _reasons(stream(path, skip=True)) == [{"text": "one\nmore"}, wrong, {"text": "b"}]
    skipped: list[str] = []
    assert read(path, skipped=skipped).to_list() == [{"text": "one\nmore"}, {"text": "b"}]
    assert skipped == [wrong]
    with pytest.raises(DataError, match="byte 0xE9 is not utf-8; --encoding"):
        read(path)


def test_nothing_left_says_how_many_were_left_out_and_why(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\n电影,a\n很好,b\n".encode("gbk"))
    with pytest.raises(DataError) as error:
        read(path, skipped=[])
    wrong = f"'{path}', line 2: byte 0xB5 is not utf-8"
    assert str(error.value) == f"all 2 rows of '{path}' were left out, the first because of this: {wrong}"
    other = tmp_path / "b.jsonl"
    other.write_bytes("电影\n".encode("gbk"))
    with pytest.raises(DataError, match=r"^the one row of '.*b.jsonl' was left out because of this: .*line 1: byte"):
        read(other, skipped=[])
    with pytest.raises(
        DataError, match=r"^all 3 rows of the 2 files were left out, the first because of this: .*a.csv"
    ):
        read([path, other], skipped=[])
    (tmp_path / "c.csv").write_text("text\n")
    with pytest.raises(DataError, match=r"c.csv' has no rows$"):
        read(tmp_path / "c.csv", skipped=[])


def test_texts_in_another_encoding_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\r\n\xe9\r\nb")
    wrong = f"'{path}', line 2: byte 0xE9 is not utf-8"
    assert _reasons(stream(path, skip=True, lines="t")) == [{"t": "a"}, wrong, {"t": "b"}]
    path.write_bytes("好\n".encode("gbk") + b"\xff\nb")
    wrong = f"'{path}', line 2: byte 0xFF is not gbk"
    assert _reasons(stream(path, encoding="gbk", skip=True)) == [{"text": "好"}, wrong, {"text": "b"}]
    for label, text in (("neg", b"\xe9"), ("pos", b"good")):
        (tmp_path / "texts" / label).mkdir(parents=True)
        (tmp_path / "texts" / label / "1.txt").write_bytes(text)
    wrong = f"'{tmp_path / 'texts' / 'neg' / '1.txt'}': byte 0xE9 is not utf-8"
    assert _reasons(stream(tmp_path / "texts", skip=True)) == [wrong, {"text": "good", "label": "pos"}]


def test_where_lines_cannot_be_told_apart_wrong_bytes_are_an_error(tmp_path: Path) -> None:
    for name, content, encoding in (
        ("a.csv", b"t\xe9xt\na\n", "utf-8"),
        ("a.json", b'[{"text": "\xe9"}]', "utf-8"),
        ("a.txt", "a\nb".encode("utf-16") + b"\n", "utf-16"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"is not {encoding}"):
            list(stream(path, encoding=encoding, skip=True))


def test_a_row_from_standard_input_is_not_waited_for() -> None:
    code = "from unroll.data.files.dataset import stream\nfor r in stream('-'): print(r['text'], flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin
        assert process.stdout
        for word in ("one", "two"):
            process.stdin.write(json.dumps({"text": word}) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == word + "\n"
        process.stdin.close()


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "a\n" * 3000)
    read(path)
    assert capfd.readouterr() == ("", "")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    path = tmp_path / "a.csv"
    path.write_text("text\na\n")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unroll.data.files.cache._write_tables", full)
    with pytest.raises(DataError, match=r"the disk of '.*' is full; HF_HOME"):
        read(path)


MEMORY = """
import resource, sys, threading, time
import numpy as np
from pathlib import Path
import datasets, datasets.config, pyarrow, torch
from unroll.data.files.dataset import read, stream
from unroll.data.ragged import encode_to_examples, iter_column
from unroll.data.text.tokenizer import TextTokenizer
from unroll.data.options import TextOptions
from unroll.data.batches import Batches

datasets.config.HF_DATASETS_CACHE = Path(sys.argv[2])
def own():  # anonymous memory: pages of a mapped file can be dropped at any time
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024

peak = [0.0]
def watch():
    while True:
        peak[0] = max(peak[0], own())
        time.sleep(0.005)

options = TextOptions(normalize="none", lowercase=False, punctuation="keep")
encoder = TextTokenizer.learn(["w1 w2 w3"] * 3, options)
base = own()
threading.Thread(target=watch, daemon=True).start()
assert sum(1 for _ in stream(sys.argv[1])) == 6000
print(peak[0] - base)
dataset = read(sys.argv[1])
assert len(dataset) == 6000
print(peak[0] - base)
examples = encode_to_examples(dataset, "text", encoder, in_memory=False)
count = sum(len(b.rows) for b in Batches(examples, batch_size=64, shuffle=True, seed=0))
assert count == 6000 and examples.lengths.sum() == int(sys.argv[3])
print(peak[0] - base)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """A file of 60 MB passes through in much less."""
    path = tmp_path / "big.jsonl"
    text = " ".join("w" * 20 + str(i % 7) for i in range(470))
    with path.open("w") as file:
        for i in range(6000):
            file.write(json.dumps({"text": text, "label": i % 2}) + "\n")
    assert path.stat().st_size > 60e6
    command = [sys.executable, "-c", MEMORY, str(path), str(tmp_path / "cache"), str(6000 * 470)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == 0, done.stderr
    streamed, read_, batched = (float(line) for line in done.stdout.split())
    assert streamed < 20
    assert read_ < 110
    assert batched < 110


@pytest.mark.data
def test_reviews_as_published(public_data: Path) -> None:
    rows = []
    for row in stream(public_data / "imdb" / "train.jsonl.xz"):
        rows.append(row)
        if len(rows) == 200:
            break
    assert [set(row) for row in rows] == [{"id", "label", "rating", "text"}] * 200
    assert {row["label"] for row in rows} <= {0, 1}
    assert sum(len(row["text"]) for row in rows) > 100_000


@pytest.mark.data
def test_recordings_as_published(public_data: Path) -> None:
    dataset = read(public_data / "an4" / "test_mfcc.npz")
    assert len(dataset) == 130
    first = np.array(dataset[0]["mfcc"])
    assert first.shape[1] == 13
    assert np.isfinite(first).all()


def test_an_object_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 1, "b": 2, "a": 3}\n')
    with pytest.raises(DataError, match="line 2: the key 'a' stands twice in an object"):
        read(path)
    path.write_text('{"a": {"b": 2, "b": 3}}\n{"a": {"b": 4}}\n')
    first, second = stream(path, skip=True)
    assert isinstance(first, Unreadable)
    assert second == {"a": {"b": 4}}
    (tmp_path / "b.json").write_text('[{"a": 1, "a": 3}]')
    with pytest.raises(DataError, match="the key 'a' stands twice"):
        read(tmp_path / "b.json")


def test_half_a_character_in_json_is_left_out_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x"}\n{"a": "\\ud83d"}\n{"a": "\\ud83d\\ude00"}\n')
    skipped: list[str] = []
    assert read(path, skipped=skipped).to_list() == [{"a": "x"}, {"a": "😀"}]
    assert skipped == [f"'{path}', row 2: column 'a' has half a character (a lone surrogate)"]
    path.write_text('{"a": ["\\ude00"]}\n')
    with pytest.raises(DataError, match=r"the one row of .* left out because of this: .*row 1: column 'a' has half"):
        read(path, skipped=[])
