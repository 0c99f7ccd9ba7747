"""Tables whose texts stay in the file are read as those of objects are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from unroll.data.files.dataset import read
from unroll.data.files.memory_mapped import is_lean, iso_times, lean_table, shared_texts
from unroll.data.files.plain_numbers import plain_columns
from unroll.data.numbers import NumericColumn, read_numbers
from unroll.data.options import Decimal
from unroll.data.timeseries.table import ColumnTable


def lean(*pieces: list[str]) -> pd.Series:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array(pieces, pa.string())))


def plain(*pieces: Sequence[str | None], decimal: Decimal = "auto") -> NumericColumn | None:
    batches = [pa.record_batch({"x": pa.array(piece, pa.string())}) for piece in pieces]
    return plain_columns(batches, sum(map(len, pieces)), decimal).get("x")


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2.50", "", "-3e2", " 4 ", "NA", "null", "NaN"],
        ["007", "-0", ".5", "1.", "+2"],
        ["0.1", "123456789012345678901", "2.2250738585072014e-308", "5e-324"],
        ["", "n/a"],
        ["1.234", "1.2345"],
        ["1", None, "2"],
    ],
)
def test_plain_numbers_are_those_of_the_reader(cells: list[str | None]) -> None:
    found, wanted = plain(cells[:2], cells[2:]), read_numbers(cells)
    assert found is not None
    assert found.values.tobytes() == wanted.values.tobytes()
    assert found.empty.tolist() == wanted.empty.tolist()
    assert (found.wrong.tolist(), found.note, found.doubt, found.decorated) == ([], "", "", "")
    assert (wanted.wrong.tolist(), wanted.note, wanted.doubt, wanted.decorated) == ([], "", "", "")


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "x"],
        ["1,5", "2"],
        ["1", "1e999"],
        ["1", "inf"],
        ["1", "-nan"],
        ["1 000", "2"],
        ["1_0", "2"],
        ["\u0661", "2"],
        ["1.234", "22.500"],
        ["2020-01-01", "2"],
    ],
)
def test_columns_of_which_there_is_more_to_say_are_left_to_the_reader(cells: list[str]) -> None:
    assert plain(cells[:1], cells[1:]) is None


def test_the_decimal_mark_that_was_said_decides() -> None:
    found = plain(["1.234"], ["22.500"], decimal="point")
    assert found is not None
    assert found.values.tolist() == [1.234, 22.5]
    assert plain(["1"], ["2"], decimal="comma") is None


def test_texts_are_stripped_and_shared() -> None:
    texts = shared_texts(lean(["a ", "b", " "], ["", "a", "b"]))
    assert texts.tolist() == ["a", "b", None, None, "a", "b"]
    assert texts[0] is texts[4]
    assert texts[1] is texts[5]


def test_iso_times() -> None:
    found = iso_times(lean(["2020-02-29", "2020-02-29 12:30"], ["1969-12-31T23:59:59"]))
    assert found is not None
    assert found.tolist() == np.array(["2020-02-29", "2020-02-29T12:30", "1969-12-31T23:59:59"], "M8[s]").tolist()


@pytest.mark.parametrize(
    "cell", ["2021-02-29", "2020-01-01 24:00", "2020-01-01 05", "2020-01-01T00:00:00Z", "", "NA", "3000-01-01"]
)
def test_other_times_are_left_to_the_reader(cell: str) -> None:
    assert iso_times(lean(["2020-01-01"], [cell])) is None


def test_a_file_is_texts_and_numbers_and_texts_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("shop,day,sales\n007,2020-01-01,1.5\n007,2020-01-02,\n008,2020-01-01,3\n")
    frame, numbers = lean_table(read(path), "auto")
    assert all(is_lean(cast("pd.Series", frame[name])) for name in ("shop", "day", "sales"))
    assert sorted(numbers) == ["sales", "shop"]
    table = ColumnTable(frame, "x.csv", "auto", numbers)
    assert table.texts("shop").tolist() == ["007", "007", "008"]
    assert table.numbers("sales").empty.tolist() == [False, True, False]
    assert table.shown(0, "sales") == "'1.5'"
