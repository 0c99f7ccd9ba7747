from __future__ import annotations

import pandas as pd
import pytest

from unroll.data.sequence_columns import constant_values, feature_columns, long_sequences, wide_sequences
from unroll.data.timeseries.table import ColumnTable
from unroll.errors import DataError


def table(**columns: list) -> ColumnTable:
    return ColumnTable(pd.DataFrame(columns), "t.csv")


def test_the_columns_of_a_row_are_its_steps() -> None:
    found = wide_sequences(table(a=["1,5", "2"], b=[3, 4], c=["5", "6,5"]), ["c", "a", "b"])
    assert [steps.tolist() for steps in found.sequences] == [[5, 1.5, 3], [6.5, 2, 4]]
    assert (found.bad, found.notes) == ([], ())


def test_empty_cells_at_the_end_of_a_row_are_no_steps() -> None:
    found = wide_sequences(
        table(a=["1", "1", "", "1", ""], b=["2", "", "2", "x", ""], c=["3", "", "3", "3", ""]), "abc"
    )
    assert [steps.tolist() for steps in found.sequences[:2]] == [[1, 2, 3], [1]]
    assert found.notes == ("1 row ends before 'c': the empty cells at their end are no steps",)
    assert found.bad == [
        (2, "'a' is empty, and a column after it is not"),
        (3, "'b' holds 'x', which is no number"),
        (4, "the columns 'a' to 'c' are all empty"),
    ]


def test_the_rows_of_a_series_are_its_steps_in_order_of_time() -> None:
    long = table(id=["B", "A", "B", "A"], t=[10, 9, 2, 11], u=[1, 2, 3, 4], v=["5", "6", "7", "8"])
    found = long_sequences(long, "id", "t", ["v", "u"])
    assert found.names == ("B", "A")
    assert [steps.tolist() for steps in found.sequences] == [[[7, 3], [5, 1]], [[6, 2], [8, 4]]]
    assert [rows.tolist() for rows in found.rows] == [[2, 0], [1, 3]]
    assert [steps.tolist() for steps in long_sequences(long, "id", "", ["u"]).sequences] == [[[1], [3]], [[2], [4]]]


def test_dates_are_sorted_as_times_and_numbers_as_numbers() -> None:
    dates = table(id=["A"] * 3, t=["2.1.2021", "10.1.2020", "30.1.2020"], u=[1, 2, 3])
    assert long_sequences(dates, "id", "t", ["u"]).sequences[0].tolist() == [[2], [3], [1]]
    seconds = table(id=["A"] * 3, t=["10.5", "9.25", "-1"], u=[1, 2, 3])
    assert long_sequences(seconds, "id", "t", ["u"]).sequences[0].tolist() == [[3], [2], [1]]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["1", "later", "3", "4"], "t.csv cannot be sorted by time: row 2, 'later' in 't' is no number"),
        (["1", "", "3", ""], "t.csv cannot be sorted by time: row 2, 't' is empty; and 1 more"),
        (["2021-01-01", "soon", "2021-01-03", "2021-01-02"], "row 2, 'soon' in 't' is no time"),
    ],
)
def test_times_that_cannot_be_sorted(times: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        long_sequences(table(id=["A"] * 4, t=times, u=[1, 2, 3, 4]), "id", "t", ["u"])


def test_series_that_cannot_be_used_are_named() -> None:
    long = table(id=["A", "A", "B", "B", "C"], t=[1, 1, 2, 3, 4], u=["1", "2", "", "4", "x"])
    assert long_sequences(long, "id", "t", ["u"]).bad == [
        (0, "rows 1 and 2 are at the same time, '1'"),
        (1, "row 3, 'u' is empty"),
        (2, "row 5, 'u' holds 'x', which is no number"),
    ]
    with pytest.raises(DataError, match=r"row 2 of t.csv, column 'id': the name of the series is empty"):
        long_sequences(table(id=["A", ""], u=[1, 2]), "id", "", ["u"])


def test_a_column_has_one_value_for_each_series() -> None:
    found = long_sequences(table(id=["A", "B", "A", "B"], t=[2, 1, 1, 2], u=[1, 2, 3, 4]), "id", "t", ["u"])
    assert constant_values(found, ["p", "q", "p", "q"], "'label'") == (["p", "q"], [])
    values, bad = constant_values(found, ["p", "q", "p", "r"], "'label'")
    assert values == ["p", "q"]
    assert bad == [(1, "'label' is not the same in all its rows: 'q' in row 2, 'r' in row 4")]


def test_the_features_are_the_numeric_columns() -> None:
    long = table(id=["1", "1"], t=[1, 2], u=["1", "2"], note=["a", "b"], v=[1.5, 2.5], label=[0, 0])
    assert feature_columns(long, ["id", "t", "label"]) == (
        ("u", "v"),
        "the features are the numeric columns 'u', 'v'; left out, because they hold no numbers: 'note'",
    )
    with pytest.raises(DataError, match=r"t.csv has no numeric column beside 'id', 'label'"):
        feature_columns(table(id=["1"], note=["a"], label=["x"]), ["id", "", "label"])
