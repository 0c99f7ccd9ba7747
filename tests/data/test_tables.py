from __future__ import annotations

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from unroll.data.tables import column_of, is_table, refuse_other_table, rows_in
from unroll.errors import DataError


def test_columns_of_frames_and_data_sets() -> None:
    frame = pd.DataFrame({"id": [1, 2], "text": ["a", "b"], 3: [0.5, 1.5]}, index=[7, 9])
    assert column_of(frame, "text") == ["a", "b"]
    assert column_of(frame, "3") == [0.5, 1.5]
    made = datasets.Dataset.from_dict({"text": ["a", "b"], "y": [[1.0], [2.0, 3.0]]})
    assert column_of(made, "y") == [[1.0], [2.0, 3.0]]
    assert column_of(made.to_iterable_dataset(), "text") == ["a", "b"]
    assert column_of(made.select([1]), "text") == ["b"]


def test_a_column_that_is_not_one_column_is_refused() -> None:
    twice = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(DataError, match="the table has 2 columns named 'text'; rename or drop all but one"):
        column_of(twice, "text")
    with pytest.raises(DataError, match="X has no column 'text'; did you mean 'texts'"):
        column_of(twice.set_axis(["texts", "id"], axis=1), "text", "X")
    levels = pd.DataFrame([["a", "b"]], columns=pd.MultiIndex.from_tuples([("text", "x"), ("text", "y")]))
    with pytest.raises(DataError, match="its columns have 2 levels, make them one"):
        column_of(levels, "text")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["a", None], ["a", None]),
        (pd.Series(["a", "b"], index=[5, 3]), ["a", "b"]),
        (pd.Series(["a", "b"]).astype("category"), ["a", "b"]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pd.DataFrame({"t": ["a", "b"]}, index=[4, 4]), ["a", "b"]),
        (datasets.Dataset.from_dict({"t": ["a", "b"]}), ["a", "b"]),
        ((t for t in "ab"), ["a", "b"]),
        ({"x": "a", "y": "b"}.values(), ["a", "b"]),
        (np.ma.masked_array([1.0, 2.0], [False, True]), [1.0, None]),
        ([], []),
    ],
    ids=lambda v: type(v).__name__,
)
def test_collections_become_lists(values: object, wanted: list[object]) -> None:
    assert rows_in(values, "X") == wanted


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("text", "X is one text; give a list"),
        (b"text", "X is one text in bytes; give a list"),
        ({"t": ["a"]}, "X is of type dict"),
        ({"a", "b"}, "X is of type set"),
        (None, "X is None"),
        (5, "X is of type int"),
        (np.array(5.0), "X is one value, of type ndarray"),
        (pd.DataFrame({"id": [1], "t": ["a"]}), r"X has 2 columns \('id', 't'\); give the one that holds the values"),
        (pa.table({"t": ["a"]}), r"X is a pyarrow table; give its .to_pandas\(\)"),
    ],
)
def test_what_has_no_rows_is_refused(values: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        rows_in(values, "X")


def test_only_tables_of_pandas_and_datasets_are_tables() -> None:
    assert is_table(pd.DataFrame())
    assert not is_table(pd.Series([1]))
    assert not is_table(np.zeros((2, 2)))
    refuse_other_table(pd.DataFrame(), "it")
    refuse_other_table([1], "it")
    refuse_other_table(pa.array([1]), "it")
