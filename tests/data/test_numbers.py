from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.numbers import number, read_numbers, read_targets
from unroll.data.options import SourceOptions
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import read_frames
from unroll.data.timeseries.table import ColumnTable
from unroll.errors import DataError

NAN = float("nan")


@pytest.mark.parametrize(
    ("cells", "values", "note"),
    [
        (["1.5", "-2", "+3", ".5", "5.", "1e3", "2E-2"], [1.5, -2, 3, 0.5, 5, 1000, 0.02], ""),
        (["1.234", "2.345"], [1.234, 2.345], ""),
        (["50,37", "-3,25", "1050,39"], [50.37, -3.25, 1050.39], "decimal commas, as 50,37"),
        (["1,5e3", ",5", "7"], [1500, 0.5, 7], "decimal commas, as 1,5e3"),
        (["0,234", "2,345"], [0.234, 2.345], "decimal commas, as 0,234"),
        (["58,668.6", "1,234", "12.5"], [58668.6, 1234, 12.5], "digits in groups, as 58,668.6"),
        (["58.668,6", "1.234", "12,5"], [58668.6, 1234, 12.5], "decimal commas, as 58.668,6"),
        (["1,234,567", "2,345"], [1234567, 2345], "digits in groups, as 1,234,567"),
        (["1.234.567", "2.345"], [1234567, 2345], "decimal commas, as 1.234.567"),
        (["1,234", "999", "12,345"], [1234, 999, 12345], "digits in groups, as 1,234"),
        (["1 234,5", "12\u00a0345,75", "1\u202f234\u202f567", "7,5"], [1234.5, 12345.75, 1234567, 7.5], "as 1 234"),
        (["1'234.5", "12\u2019345.75", "7.5"], [1234.5, 12345.75, 7.5], "digits in groups, as 1'234.5"),
        (["12,34,567.8", "1,23,456", "7.5"], [1234567.8, 123456, 7.5], "digits in groups, as 12,34,567.8"),
        (["\u22121.5", "2"], [-1.5, 2], ""),
        (["\u22121,5", "\u22121.234,5"], [-1.5, -1234.5], "decimal commas"),
        ([" 1.5 ", True, 2, 2.5, Decimal("3.25"), np.float32(0.5)], [1.5, 1, 2, 2.5, 3.25, 0.5], ""),
    ],
)  # fmt: skip
def test_a_column_is_read_as_all_its_cells_are_written(cells: list[Any], values: list[float], note: str) -> None:
    found = read_numbers(cells)
    assert found.values.tolist() == values
    assert not len(found.wrong)
    assert not found.doubt
    assert note in found.note
    assert bool(found.note) == bool(note)


def test_the_way_of_writing_never_changes_a_number() -> None:
    numbers = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-5, 5).repeat(50)
    plain = [repr(value) for value in numbers.tolist()]
    assert read_numbers(plain).values.tolist() == numbers.tolist()
    assert read_numbers([text.replace(".", ",") for text in plain]).values.tolist() == numbers.tolist()
    grouped = [f"{value:,.3f}" for value in numbers.tolist()]
    swapped = [text.translate(str.maketrans(",.", ".,")) for text in grouped]
    rounded = [float(text.replace(",", "")) for text in grouped]
    assert read_numbers(grouped).values.tolist() == read_numbers(swapped).values.tolist() == rounded


@pytest.mark.parametrize(
    "text",
    ["1_000", "inf", "-Infinity", "0x10", "1e400", "１２", "1%", "$5", "1,2,3", "12,3456.5", "1.234,5", "1 2", "--1"],
)  # fmt: skip
def test_what_is_no_number_is_wrong_by_its_place(text: str) -> None:
    assert number(text) is None
    found = read_numbers(["1.5", text, "3.5"])
    assert found.wrong.tolist() == [1]
    assert np.isnan(found.values[1])


def test_words_for_no_number() -> None:
    found = read_numbers(
        ["NA", "n/a", "#N/A", "NaN", "null", "None", "NaT", "<NA>", "", " ", None, NAN, pd.NA, pd.NaT, "1"]
    )
    assert found.empty.tolist() == [True] * 14 + [False]
    assert not len(found.wrong)
    assert read_numbers(["-", "--", "?", ".", "1"]).wrong.tolist() == [0, 1, 2, 3]


def test_cells_that_contradict_the_others_are_wrong() -> None:
    assert read_numbers(["1,5", "2.5", "3,5"]).wrong.tolist() == [1]
    assert read_numbers(["1.5", "2,5", "3.5"]).wrong.tolist() == [1]


@pytest.mark.parametrize("cells", [["1,234", "2,345"], ["1,234"], ["-1,234", "5678"], ["1,234", "1.234"]])
def test_a_column_that_allows_two_readings_is_in_doubt(cells: list[str]) -> None:
    assert read_numbers(cells).doubt == cells[0]
    table = ColumnTable(pd.DataFrame({"y": cells}), "'x.csv'")
    with pytest.raises(DataError, match=r"^'x.csv', column 'y': -?1,234 may be a number with a decimal comma or "):
        table.certain("y")


def test_the_other_columns_or_a_person_tell_which(tmp_path: Path) -> None:
    cells = ["1,234", "2,345"]
    assert read_numbers(cells, "comma").values.tolist() == [1.234, 2.345]
    assert read_numbers(cells, "point").values.tolist() == [1234, 2345]
    assert read_numbers(["1.234"], "comma").values.tolist() == [1234]
    assert read_numbers(cells, "auto", [["a", None], ["0,5", "1"]]).values.tolist() == [1.234, 2.345]
    assert read_numbers(["1.234"], "auto", [["0,5", "1"]]).values.tolist() == [1234]
    assert read_numbers(cells, "auto", [["0.5", 1.5]]).values.tolist() == [1234, 2345]
    assert read_numbers(cells, "auto", [["0.5"], ["0,5"]]).doubt == "1,234"
    path = tmp_path / "t.csv"
    path.write_text("t;y\n" + "".join(f"{i};{i},234\n" for i in range(1, 9)))
    options = TimeSeriesOptions(time="t", target=("y",))
    with pytest.raises(DataError, match="column 'y': 1,234 may be"):
        read_frames(path, options)
    frames = read_frames(path, options, source=SourceOptions(decimal="comma"))
    assert frames.series[0].target[:3, 0].tolist() == [1.234, 2.234, 3.234]


def test_how_numbers_are_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t;Preis\n" + "".join(f"{i};{i},5\n" for i in range(8)))
    frames = read_frames(path, TimeSeriesOptions(time="t"))
    assert frames.targets == ("Preis",)
    assert f"{path}: fields are separated by ';'" in frames.notes
    assert "column 'Preis' is written with decimal commas, as 0,5" in frames.notes


@pytest.mark.parametrize("cell", ["{}.5%", "${}.50", "{} €", "USD {}.1", "{}.2K"])
def test_numbers_with_something_around_them_are_not_dropped_without_a_word(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t,y,change\n" + "".join(f"{i},{i}.5,{cell.format(i)}\n" for i in range(8)))
    with pytest.raises(DataError, match="column 'change' holds numbers with something around them, as"):
        read_frames(path, TimeSeriesOptions(time="t"))
    assert read_frames(path, TimeSeriesOptions(time="t", target=("y",))).targets == ("y",)


def test_names_are_no_missing_values() -> None:
    table = ColumnTable(pd.DataFrame({"shop": ["NA", "null", "None", "N/A", " ", None, NAN, 3.0]}), "")
    assert table.texts("shop").tolist() == ["NA", "null", "None", "N/A", None, None, None, "3"]


def test_targets_that_are_texts() -> None:
    assert read_targets(["1,5", "2,25", None, "x"], "auto", "y") == (
        [1.5, 2.25, None, "x"],
        "is written with decimal commas, as 1,5",
    )
    assert read_targets([1, 2.5, "3"], "auto", "y") == ([1, 2.5, 3.0], "")
    with pytest.raises(DataError, match=r"^y: 1,234 may be"):
        read_targets(["1,234"], "auto", "y")
