from __future__ import annotations

import numpy as np
import pytest

from unroll.data.checks import bad_labels, bad_numbers, bad_series, bad_texts, good_rows
from unroll.errors import DataError


def test_texts() -> None:
    assert bad_texts(["a", None, "", " \n", 3], "review") == [
        (1, "'review' is null"),
        (2, "'review' is empty"),
        (3, "'review' is empty"),
        (4, "'review' holds int, not text"),
    ]


def test_series() -> None:
    values = [[[1, 2]], [[1, 2], [3]], None, [[1.0, float("nan")]], [], [1, 2], [[5, 6]], [["a", "b"]]]
    assert bad_series(values, "x") == [
        (1, "'x' is ragged: 2 features at step 1, 1 at step 2"),
        (2, "'x' is null"),
        (3, "'x' has nan at step 1, feature 2"),
        (4, "'x' is empty"),
        (5, "'x' has 1 features per step, not 2"),
        (7, "'x' holds values that are not numbers"),
    ]
    assert bad_series([[1, 2]], "x", features=3) == [(0, "'x' has 1 features per step, not 3")]


def test_labels_and_numbers() -> None:
    assert [row for row, _ in bad_labels(["a", None, "", float("nan"), 0, [], False])] == [1, 2, 3]
    assert bad_numbers([1, "2", None, "x", float("inf"), [1.0, 2.0], [1.0, None]], "price") == [
        (2, "'price' is null"),
        (3, "'price' is not a number"),
        (4, "'price' is not a finite number"),
        (6, "'price' is not a number"),
    ]


def test_stopping_or_leaving_out() -> None:
    bad = [(7, "'label' is null or empty"), (1, "'text' is empty"), (7, "'text' is null")]
    with pytest.raises(DataError) as caught:
        good_rows(bad, 9, "a.csv", skip=False)
    assert str(caught.value) == (
        "2 of 9 rows of a.csv cannot be used (row 2: 'text' is empty; row 8: 'label' is null or empty and "
        "'text' is null); --skip-bad-rows leaves them out"
    )
    kept = good_rows(bad, 9, "a.csv", skip=True)
    assert kept.dtype == np.int64
    assert kept.tolist() == [0, 2, 3, 4, 5, 6, 8]
    assert good_rows([], 2, "a.csv", skip=False).tolist() == [0, 1]
    with pytest.raises(DataError, match="and 2 more"):
        good_rows([(i, "bad") for i in range(7)], 9, "a.csv", skip=False)
    with pytest.raises(DataError, match=r"^2 of 2 rows of a\.csv cannot be used"):
        good_rows([(0, "bad"), (1, "bad")], 2, "a.csv", skip=True)
