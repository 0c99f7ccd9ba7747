from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path

import pytest

from unroll.data.options import SourceOptions
from unroll.data.text import documents
from unroll.data.text.documents import TextSource, said
from unroll.errors import DataError

TEXT = "one two\n\nthree\nfour five  six\n \nseven"


def passage(*data: Path | str, skip: bool = False, encoding: str = "utf-8", **more) -> TextSource:
    return TextSource(tuple(str(d) for d in data), SourceOptions(encoding, skip_bad_rows=skip), **more)


def text_of(made: TextSource) -> str:
    return "".join(piece.text for piece in made)


def written(path: Path, text: str = TEXT) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.tokens", "README", "b.txt.gz", "c.tokens.xz"])
def test_plain_text_in_any_file(tmp_path: Path, name: str) -> None:
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(Path(name).suffix, open)
    with opened(tmp_path / name, "wt", encoding="utf-8", newline="") as file:
        file.write(TEXT)
    made = passage(tmp_path / name)
    assert text_of(made) == TEXT
    assert [piece.row for piece in made] == [True] * 6
    assert made.characters() == len(TEXT)
    assert not made.has_records


def test_line_ends_of_all_kinds_are_one(tmp_path: Path) -> None:
    assert text_of(passage(written(tmp_path / "a.txt", "a\r\nb\rc\n\r\n"))) == "a\nb\nc\n\n"


def test_the_last_line_of_every_file(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{name}.txt", name) for name in "abc"]
    assert text_of(passage(*files)) == "abc"
    assert text_of(passage(*files, last_line=True)) == "a\nb\nc\n"
    assert text_of(passage(tmp_path / "*.txt", last_line=True)) == "a\nb\nc\n"
    assert text_of(passage(tmp_path, last_line=True)) == "a\nb\nc\n"


def test_patterns_of_unknown_suffixes(tmp_path: Path) -> None:
    written(tmp_path / "2.tokens", "b\n")
    written(tmp_path / "1.tokens", "a\n")
    assert text_of(passage(tmp_path / "*.tokens")) == "a\nb\n"


def test_records(tmp_path: Path) -> None:
    rows = [{"review": "good\nbad", "n": 1}, {"review": "", "n": 2}, {"review": "so so", "n": 3}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "b.csv").write_text('review,n\n"x,\n\ny",1\n')
    made = passage(tmp_path / "a.jsonl", tmp_path / "b.csv", column="review", reset="row")
    assert [(p.text, p.row, p.document) for p in made] == [
        ("good\n", True, True),
        ("bad\n", False, False),
        ("\n", True, True),
        ("so so\n", True, True),
        ("x,\n", True, True),
        ("\n", False, False),
        ("y\n", False, False),
    ]
    assert made.has_records
    blank = passage(tmp_path / "b.csv", column="review", reset="blank")
    assert [p.document for p in blank] == [False, False, True]
    with pytest.raises(DataError, match=r"a.jsonl' has no column 'text'; there is: review, n"):
        list(passage(tmp_path / "a.jsonl"))


def test_documents(tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", "a\n\n\n b\nc\n \t\nd")
    other = written(tmp_path / "b.txt", "e")

    def begin(reset: str) -> list[str]:
        return [p.text for p in passage(file, other, reset=reset) if p.document]

    assert begin("never") == []
    assert begin("blank") == ["a\n", " b\n", "d", "e"]
    assert begin("row") == ["a\n", "\n", "\n", " b\n", "c\n", " \t\n", "d", "e"]


def test_lines_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_AT_ONCE", 20)
    text = "".join(f"word{i} " for i in range(40)) + "\n" + "x" * 55 + " y\nend"
    made = list(passage(written(tmp_path / "a.txt", text)))
    assert "".join(p.text for p in made) == text
    assert max(len(p.text) for p in made) <= 40
    words = [p.text for p in made if "word" in p.text]
    assert all(w.startswith(" word") for w in words[1:])
    assert [p.text for p in made if p.row] == [words[0], "x" * 20, "end"]


def test_division_by_position(tmp_path: Path) -> None:
    whole = passage(written(tmp_path / "a.txt"))
    for cut in ("anywhere", "space", "row"):
        for share in (0.05, 0.1, 0.3, 0.5, 0.8):
            train, valid = whole.divided(share, cut)
            assert text_of(train) + text_of(valid) == TEXT
            assert text_of(train)
            assert text_of(valid)
            at, wanted = len(text_of(train)), int(len(TEXT) * (1 - share) + 1e-6)
            if cut == "anywhere":
                assert at == wanted
            elif cut == "space":
                assert at >= wanted
                assert TEXT[at].isspace() or at == wanted
            else:
                assert TEXT[at - 1] == "\n"
    assert text_of(whole.divided(0.5, "space")[0]) == "one two\n\nthree\nfour"
    assert text_of(whole.divided(0.05, "row")[1]) == "seven"
    ten = passage(written(tmp_path / "b.txt", "0123456789"))
    assert [text_of(ten.divided(share, "anywhere")[0]) for share in (0.9, 0.7, 0.25)] == ["0", "012", "0123456"]


def test_division_between_documents(tmp_path: Path) -> None:
    whole = passage(written(tmp_path / "a.txt"), reset="blank")
    assert text_of(whole.divided(0.9, "document")[0]) == "one two\n\n"
    assert text_of(whole.divided(0.5, "document")[0]) == "one two\n\nthree\nfour five  six\n \n"
    assert text_of(whole.divided(0.1, "document")[1]) == "seven"
    train, valid = whole.divided(0.5, "document")
    assert [p.document for p in train] == [True, False, True, False, False]
    assert [p.row for p in valid] == [True]


@pytest.mark.parametrize(("text", "cut"), [("a", "anywhere"), ("a b", "row"), ("one line only", "document")])
def test_what_cannot_be_divided(tmp_path: Path, text: str, cut) -> None:
    made = passage(written(tmp_path / "a.txt", text), reset="row" if cut == "document" else "never")
    with pytest.raises(DataError, match=r"too short to be divided .* give --valid, or --validation-fraction 0"):
        made.divided(0.5, cut)


def test_bad_lines_and_records(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\nna\xefve\nagain\n")
    with pytest.raises(DataError, match=r"a.txt', line 2: byte 0xEF is not utf-8; --encoding latin-1 may be right"):
        list(passage(tmp_path / "a.txt"))
    assert text_of(passage(tmp_path / "a.txt", encoding="latin-1")) == "fine\nnaïve\nagain\n"
    made = passage(tmp_path / "a.txt", skip=True)
    assert text_of(made) == "fine\nagain\n"
    assert said(made.left_out(), "a.txt").startswith("left out 1 of the lines or rows of a.txt ('")
    (tmp_path / "b.jsonl").write_text('{"text": "a"}\n{"text": null}\n{"text": "b"}\n')
    with pytest.raises(DataError, match=r"b.jsonl cannot be used \(row 2: 'text' is null\); --skip-bad-rows"):
        list(passage(tmp_path / "b.jsonl"))
    made = passage(tmp_path / "b.jsonl", skip=True)
    assert text_of(made) == "a\nb\n"
    assert made.left_out() == ["row 2: 'text' is null"]


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"PK\x03\x04\x00\x00abc")
    with pytest.raises(DataError, match=r"a.bin' is not a text file: it holds bytes that are zero"):
        list(passage(tmp_path / "a.bin"))
    (tmp_path / "b.txt").write_text("a b\n", encoding="utf-16")
    assert text_of(passage(tmp_path / "b.txt", encoding="utf-16")) == "a b\n"
    with pytest.raises(DataError, match="no such file"):
        list(passage(tmp_path / "c.txt"))
    with pytest.raises(DataError, match="standard input cannot be read more than once"):
        list(passage("-"))
    (tmp_path / "d.txt.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(DataError, match=r"d.txt.gz' is damaged"):
        list(passage(tmp_path / "d.txt.gz"))


def test_the_identity_follows_the_files(tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt")
    before = passage(file).identity()
    assert passage(file).identity() == before
    others = [passage(file, reset="row"), passage(file, last_line=True), *passage(file).divided(0.5, "space")]
    assert len({before, *(other.identity() for other in others)}) == 5
    written(file, TEXT + "!")
    assert passage(file).identity() != before
