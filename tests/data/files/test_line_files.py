from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from unroll.__main__ import main
from unroll.data.files.dataset import read, stream
from unroll.data.options import SourceOptions
from unroll.data.text.documents import TextSource
from unroll.errors import DataError


@pytest.fixture
def names(tmp_path: Path) -> Path:
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / "German.txt").write_text("Bach\n\nSchütz\n")
    (folder / "Czech.txt.gz").write_bytes(gzip.compress(b"Dvorak"))
    (folder / "about.md").write_text("names of composers")
    return folder


def test_a_file_per_class_gives_a_row_for_each_line(names: Path) -> None:
    rows = [
        {"text": "Dvorak", "label": "Czech"},
        {"text": "Bach", "label": "German"},
        {"text": "Schütz", "label": "German"},
    ]
    assert read(names, notes=(notes := [])).to_list() == list(stream(names)) == rows
    assert notes == [f"{names}: 2 classes, a file each (Czech, German); each line is a text"]
    assert next(stream(names, lines="name")) == {"name": "Dvorak", "label": "Czech"}


def test_a_changed_file_of_a_class_is_read_again(names: Path) -> None:
    assert len(read(names)) == 3
    (names / "German.txt").write_text("Bach\nWeill\nOrff\n")
    assert len(read(names)) == 4


def test_a_folder_of_other_files_is_their_rows(tmp_path: Path, names: Path) -> None:
    (names / "more.csv").write_text("text,label\na,b\n")
    (names / "Czech.txt.gz").unlink()
    (names / "German.txt").unlink()
    assert read(names).to_list() == [{"text": "a", "label": "b"}]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "only.txt").write_text("a line\n")
    assert read(tmp_path / "one").to_list() == [{"text": "a line"}]


def test_files_that_hold_no_lines_of_text_are_named(names: Path) -> None:
    (names / "rows.txt").write_text('{"text": "a"}\n{"text": "b"}\n')
    said = (
        r"rows\.txt: read as JSON lines, as its content shows, so its folder has no lines of texts; name the files, as"
    )
    with pytest.raises(DataError, match=said):
        read(names)
    assert len(read(names, source=SourceOptions(input_format="txt"))) == 5


def test_a_language_model_reads_them_as_text(names: Path) -> None:
    text = "".join(chunk.text for chunk in TextSource((str(names),), SourceOptions()))
    assert text == "DvorakBach\n\nSchütz\n"


def test_columns_of_a_folder_are_checked_before_training(names: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", "classification", str(names), "--out", str(names.parent / "run"), "--label", "labels"]
    assert main(arguments) == 2
    assert "has no column 'labels'; did you mean 'label'?" in capsys.readouterr().err
