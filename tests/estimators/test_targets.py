from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import DataConversionWarning

from unroll import Classifier, Regressor
from unroll.errors import DataError
from unroll.estimators.targets import read_labels, read_numbers

NAN = float("nan")


def of_objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@pytest.mark.parametrize(
    "y",
    [
        ["a", "b", NAN, "b"],
        ["a", "b", None, "b"],
        ["a", "b", "", "b"],
        ["a", "b", " ", "b"],
        of_objects(["a", "b", NAN, "b"]),
        pd.Series(["a", "b", NAN, "b"], dtype=object),
        pd.Series(["a", "b", None, "b"], index=[4, 4, 2, 1]),
        pd.Series(["a", "b", pd.NA, "b"], dtype="string"),
        pd.Series(["a", "b", None, "b"]).astype("category"),
        pd.Series([1, 0, None, 0], dtype="Int64"),
        pd.Series([True, False, None, False], dtype="boolean"),
        pd.Series([1.0, 0.0, NAN, 0.0]),
        pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02", None, "2024-01-02"])),
        np.array([1.0, 0.0, np.nan, 0.0], dtype=np.float32),
        np.ma.masked_array([1, 0, 1, 0], [False, False, True, False]),
        pd.DataFrame({"y": ["a", "b", None, "b"]}),
        [["a"], ["b"], [None], ["b"]],
        (label for label in ["a", "b", None, "b"]),
    ],
    ids=lambda y: f"{type(y).__name__}-{getattr(y, 'dtype', '')}",
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_rows_without_a_label_are_named(y: Any) -> None:
    with pytest.raises(DataError, match=r"^1 of 4 rows of y cannot be used \(row 3: 'y' is null or empty\)$"):
        read_labels(y)


@pytest.mark.parametrize(
    ("y", "wanted"),
    [
        (["NA", "nan", "None", "null"], ["NA", "nan", "None", "null"]),
        (pd.Series([1, 0], dtype="Int64", index=[9, 8]), [1, 0]),
        (pd.Series([True, False], dtype="boolean"), [True, False]),
        (pd.Series(["b", "a"]).astype("category"), ["b", "a"]),
        (of_objects([2, 1]), [2, 1]),
        (of_objects([True, False]), [True, False]),
        (torch.tensor([1, 0]), [1, 0]),
        (datasets.Dataset.from_dict({"y": ["b", "a"]})["y"], ["b", "a"]),
        (np.ma.masked_array([1, 0], False), [1, 0]),
        ((label for label in "ba"), ["b", "a"]),
        ([0.5, 1.5], [0.5, 1.5]),
        (np.array([[1, 0], [0, 1]]), [[1, 0], [0, 1]]),
        ([[1, 0], [True, False]], [[1, 0], [1, 0]]),
        (scipy.sparse.csr_matrix([[1, 0], [0, 1]]), [[1, 0], [0, 1]]),
        (pd.DataFrame([[1, 0], [0, 1]], dtype="Int64"), [[1, 0], [0, 1]]),
    ],
    ids=lambda y: type(y).__name__,
)
def test_labels_are_what_they_were(y: Any, wanted: list[Any]) -> None:
    found = read_labels(y)
    assert found.tolist() == wanted
    assert found.dtype != object or isinstance(wanted[0], str)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1, "1"], "y mixes texts and numbers: row 2 holds '1', row 1 1"),
        (of_objects(["a", 2.5]), "y mixes texts and numbers: row 1 holds 'a', row 2 2.5"),
        ([b"a", b"b"], "row 1: 'y' holds bytes, not text; decode them"),
        (["x\ud83d", "y"], r"row 1: 'y' has half a character \(a lone surrogate\)"),
        ([["a"], ["a", "b"]], "row 1: 'y' holds list; several labels a row are an array"),
        ([{"a"}, {"b"}], "row 1: 'y' holds set; several labels a row"),
        ([Decimal(1), Decimal(2)], "row 1: 'y' holds Decimal 1, where a text, a number, true or false is needed"),
        ([date(2024, 1, 1), date(2024, 1, 2)], "row 1: 'y' holds date 2024-01-01, where a text"),
        ([[1, 0], [NAN, 1]], r"^1 of 2 rows of y cannot be used \(row 2: 'y' has a null\)$"),
        (pd.DataFrame([[1, 0], [None, 1]], dtype="Int64"), "row 2: 'y' has a null"),
        (np.ma.masked_array([[1, 0], [1, 0]], [[False, False], [False, True]]), "row 2: 'y' has a null"),
        ([[1, 0], [2, 1]], "row 2: 'y' has 2, where several labels a row are zeros and ones"),
        ([["a", "b"], ["c", "d"]], "row 1: 'y' has 'a', where several labels"),
        ("ab", "y is one text"),
        ({"a": 1}, "y is of type dict"),
    ],
    ids=str,
)
def test_labels_that_cannot_be_used_are_said(y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_labels(y)


@pytest.mark.parametrize(
    ("y", "wanted"),
    [
        (pd.Series([1.5, 2], index=[3, 3]), [1.5, 2.0]),
        ([Decimal("1.5"), 2], [1.5, 2.0]),
        (np.array([1.5, 2], dtype=np.longdouble), [1.5, 2.0]),
        (torch.tensor([1.5, 2.0], requires_grad=True), [1.5, 2.0]),
        ([[1, 2], [3, 4]], [[1.0, 2.0], [3.0, 4.0]]),
        (pd.DataFrame({"a": [1, 3], "b": [2, 4]}), [[1.0, 2.0], [3.0, 4.0]]),
    ],
    ids=lambda y: type(y).__name__,
)
def test_numbers_of_all_kinds(y: Any, wanted: list[Any]) -> None:
    assert read_numbers(y).tolist() == wanted


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1.0, None], r"^1 of 2 rows of y cannot be used \(row 2: 'y' is null\)$"),
        (pd.Series([1, None], dtype="Int64"), "row 2: 'y' is null"),
        ([1.0, NAN], "row 2: 'y' is not a finite number"),
        ([1.0, float("inf")], "row 2: 'y' is not a finite number"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "row 2: 'y' is null"),
        ([[1.0, 2.0], [3.0, NAN]], "row 2: 'y' is not a finite number"),
        ([[1.0, 2.0], [3.0]], "'y' has 1 numbers, most rows have 2|'y' has 2 numbers, most rows have 1"),
        (["a", 1.0], "row 1: 'y' is not a number"),
        ([1 + 1j, 2], "Complex data not supported: y holds complex numbers"),
        (of_objects([1, np.complex128(2)]), "Complex data not supported"),
        ([[1, 2], [1j, 2]], "row 2: 'y' is a complex number"),
    ],
    ids=str,
)
def test_numbers_that_cannot_be_used_are_said(y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_numbers(y)


def test_a_column_of_labels_is_taken_with_a_warning() -> None:
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        assert read_labels(pd.DataFrame({"y": ["a", "b"]})).tolist() == ["a", "b"]


def test_estimators_refuse_them_before_they_train() -> None:
    texts = ["good film", "bad film"] * 4
    with pytest.raises(DataError, match=r"2 of 8 rows of y cannot be used \(row 4: 'y' is null or empty; row 8"):
        Classifier().fit(texts, ["pos", "neg", "pos", NAN] * 2)
    with pytest.raises(DataError, match=r"row 8: 'y' is null"):
        Regressor().fit(texts, [1.0] * 7 + [None])
    with pytest.raises(DataError, match="y has one class only, 'a'"):
        Classifier().fit(texts, ["a"] * 8)
