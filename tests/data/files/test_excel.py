from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from unroll.data.files.content import format_read
from unroll.data.files.dataset import read, stream
from unroll.data.options import SourceOptions
from unroll.errors import DataError


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_cells_keep_their_types(tmp_path: Path) -> None:
    day = datetime(2021, 1, 2, 3)
    rows = [
        ["text", "n", "x", "mixed", "day"],
        ["a", 1, 1, 1, day],
        [],
        ["b", 2, 0.5, "n/a", None],
        ["7", 3, None, 2.5, day],
    ]
    path = workbook(tmp_path / "t.xlsx", only=rows)
    expected = [
        {"text": "a", "n": 1, "x": 1.0, "mixed": "1", "day": day},
        {"text": "b", "n": 2, "x": 0.5, "mixed": "n/a", "day": None},
        {"text": "7", "n": 3, "x": None, "mixed": "2.5", "day": day},
    ]
    assert read(path, notes=(notes := [])).to_list() == list(stream(path)) == expected
    assert notes == []
    assert format_read(path.rename(tmp_path / "t.dat"), SourceOptions()) == ".xlsx"


def test_one_of_several_sheets_is_read_and_said(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", A=[["a"], ["x"]], B=[["b"], ["y"]], Empty=[])
    assert read(path, notes=(notes := [])).to_list() == [{"a": "x"}]
    assert notes == [f"{path}: sheet 'A' is read, the first of 3 (--sheet names another)"]
    assert read(path, source=SourceOptions(sheet="B"), notes=(notes := [])).to_list() == [{"b": "y"}]
    assert notes == []
    with pytest.raises(DataError, match=r"t\.xlsx' has no sheet 'C'; there is: A, B, Empty"):
        read(path, source=SourceOptions(sheet="C"))
    with pytest.raises(DataError, match=r"t\.xlsx', sheet 'Empty' is empty"):
        read(path, source=SourceOptions(sheet="Empty"))


def test_the_header_is_judged_as_that_of_other_tables(tmp_path: Path) -> None:
    path = workbook(tmp_path / "t.xlsx", A=[[1.5, "p"], [2.5, "p"], [3.5, "p"], [4.5, "q"]])
    with pytest.raises(DataError, match="sheet 'A' has no header: 'p' of its first line stands in column 2"):
        read(path)
    assert read(path, source=SourceOptions(header="none"))[3] == {"0": 4.5, "1": "q"}
    with pytest.raises(DataError, match=r"sheet 'A' has no rows"):
        read(workbook(tmp_path / "u.xlsx", A=[["a", "b"]]))


def test_what_is_no_workbook_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "t.xlsx").write_bytes(b"no workbook")
    with pytest.raises(DataError, match=r"t\.xlsx' is not an Excel workbook \(\.xlsx\), or is damaged"):
        read(tmp_path / "t.xlsx")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"t\.xlsx' is an Excel workbook; to read it, `pip install 'unroll\[excel\]'`"):
        read(tmp_path / "t.xlsx")
