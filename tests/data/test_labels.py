from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.labels import Labels, label_name
from unroll.errors import DataError, OptionError, RunError


@pytest.mark.parametrize(
    ("values", "names", "encoded"),
    [
        (["pos", "neg", "pos"], ("neg", "pos"), [1, 0, 1]),
        ([10, 9, 10], ("9", "10"), [1, 0, 1]),
        ([1.0, 0.0, 1.0], ("0", "1"), [1, 0, 1]),
        ([1.5, -2.0, 1.5], ("-2", "1.5"), [1, 0, 1]),
        ([True, False, True], ("false", "true"), [1, 0, 1]),
        (["10", "9", "10"], ("9", "10"), [1, 0, 1]),
        ([" 坏", "好 ", "坏"], ("坏", "好"), [0, 1, 0]),
        (np.array([3, 1, 3]), ("1", "3"), [1, 0, 1]),
        (np.array(["b", "a", "b"]), ("a", "b"), [1, 0, 1]),
    ],
)
def test_single(values, names: tuple[str, ...], encoded: list[int]) -> None:
    labels = Labels.learn(values)
    assert labels.names == names
    target = labels.encode(values)
    assert target.dtype == np.int64
    assert target.tolist() == encoded
    assert labels.decode(target) == [names[i] for i in encoded]


def test_the_same_label_from_other_formats() -> None:
    assert Labels.learn([0, 1]).encode(["1", 1.0, "1.0", "0"]).tolist() == [1, 1, 1, 0]
    assert Labels.learn(["0.0", "1.0"]).encode([1, "1", 1.0, 0]).tolist() == [1, 1, 1, 0]
    both = Labels.learn(["1", "1.0", "2", 1.0])
    assert both.names == ("1", "2")
    assert both.encode(["1.0", "1", "2.00"]).tolist() == [0, 0, 1]
    assert Labels.learn([True, False]).encode(["true", np.bool_(False)]).tolist() == [1, 0]
    composed = Labels.learn(["caf\u00e9", "cafe\u0301", "bar"])
    assert composed.names == ("bar", "caf\u00e9")
    assert composed.encode(["cafe\u0301"]).tolist() == [1]


def test_two_names_of_one_label_are_refused() -> None:
    with pytest.raises(DataError, match=r"^'1' and '1\.0' are one label$"):
        Labels("single", ["1", "1.0"])


def test_rows_of_the_data_are_named_where_some_were_left_out() -> None:
    rows = np.array([4, 7, 9])
    with pytest.raises(DataError, match=r"'c' \(2 rows, first row 8\)"):
        Labels.learn(["a", "b"]).encode(["a", "c", "c"], rows=rows)
    with pytest.raises(DataError, match="row 10 of the training data has no label"):
        Labels.learn(["a", "b", None], rows=rows)
    with pytest.raises(DataError, match=r"row 8 of b\.csv needs a number"):
        Labels.learn([1.0, "x", 3.0], "regression", where="b.csv", rows=rows)
    with pytest.raises(DataError, match="row 10 of the data has 2 target numbers, row 5 has 1"):
        Labels("regression", ["value"]).encode([1.0, 2.0, [3.0, 4.0]], rows=rows)


def test_labels_not_seen_in_training() -> None:
    labels = Labels.learn(["negative", "positive"])
    with pytest.raises(DataError) as caught:
        labels.encode(["positive", "positve", "odd", "positve"], where="test.csv")
    assert str(caught.value) == (
        "test.csv has labels that the training data did not have: 'positve' (2 rows, first row 2), "
        "'odd' (1 row, first row 3); did you mean 'positive'?"
    )


def test_one_class_only() -> None:
    with pytest.raises(DataError, match=r"all 3 rows of a\.csv have the one label 'x'; .* at least two classes"):
        Labels.learn(["x", "x", "x"], where="a.csv")
    with pytest.raises(DataError, match="has no rows"):
        Labels.learn([])


@pytest.mark.parametrize("bad", [None, float("nan"), "", " "])
def test_no_label(bad: object) -> None:
    with pytest.raises(DataError, match="row 2 of the training data has no label"):
        Labels.learn(["a", bad, "b"])
    with pytest.raises(DataError, match="row 3 of the data has no label"):
        Labels.learn(["a", "b"]).encode(["a", "b", bad])


def test_several_where_one_is_needed() -> None:
    with pytest.raises(DataError, match=r"row 1 .* needs one label, but holds .* kind 'multi'"):
        Labels.learn([["a", "b"]])
    with pytest.raises(OptionError, match="kind is 'both'"):
        Labels.learn(["a"], "both")  # type: ignore[arg-type]


def test_multi() -> None:
    values = [["b", "a"], [], ["a", "c"], {"c"}, ("b", "b")]
    labels = Labels.learn(values, "multi")
    assert labels.names == ("a", "b", "c")
    target = labels.encode(values)
    assert target.dtype == np.float32
    assert target.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert labels.decode(target) == [["a", "b"], [], ["a", "c"], ["c"], ["b"]]
    with pytest.raises(DataError, match=r"label that the training data did not have: 'd' \(1 row, first row 2\)"):
        labels.encode([["a"], ["d"]])
    with pytest.raises(DataError, match=r"row 1 .* needs a list of labels, but holds None"):
        labels.encode([None])
    with pytest.raises(DataError, match=r"row 1 .* needs a list of labels, but holds 'a\|c'; --label-separator splits"):
        labels.encode(["a|c"])
    with pytest.raises(DataError, match=r"no row of .* has a label"):
        Labels.learn([[], []], "multi")


def test_multi_as_columns_of_zeros_and_ones() -> None:
    values = np.array([[1, 0, 1], [0, 0, 0]])
    labels = Labels.learn(values, "multi")
    assert labels.names == ("0", "1", "2")
    assert np.array_equal(labels.encode(values), values)
    with pytest.raises(DataError, match="has 2 label columns; trained with 3"):
        labels.encode(values[:, :2])
    with pytest.raises(DataError, match="values other than 0 and 1"):
        labels.encode(values * 2)


def test_regression() -> None:
    labels = Labels.learn([1.5, "2", 3], "regression")
    assert labels.names == ("value",)
    target = labels.encode([1.5, "-2e3", np.float32(3)])
    assert target.dtype == np.float64
    assert target.tolist() == [[1.5], [-2000.0], [3.0]]
    assert labels.decode(target) == [1.5, -2000.0, 3.0]
    pair = Labels.learn([[1, 2], (3, 4)], "regression")
    assert pair.names == ("0", "1")
    assert pair.decode(pair.encode([[1, 2]])) == [[1.0, 2.0]]


def test_targets_far_from_zero_keep_their_differences() -> None:
    values = [1e9 + i for i in range(5)]
    assert Labels.learn(values, "regression").encode(values)[:, 0].tolist() == values


@pytest.mark.parametrize("bad", [None, "high", float("nan"), float("inf"), [1.0, 2.0], [], 10**400])
def test_what_is_no_target(bad: object) -> None:
    with pytest.raises(DataError, match="row 2 of the training data"):
        Labels.learn([1.0, bad], "regression")


def test_another_number_of_targets() -> None:
    with pytest.raises(DataError, match="has 2 target numbers per row; trained with 1"):
        Labels.learn([1.0, 2.0], "regression").encode([[1.0, 2.0]])


def test_json_there_and_back() -> None:
    for labels in (Labels.learn(["坏", "好"]), Labels("multi", ["a"]), Labels("regression", ["value"])):
        again = Labels.from_json(labels.to_json())
        assert (again.kind, again.names) == (labels.kind, labels.names)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "not in the form 'unroll.labels/1'"),
        ({"format": "other"}, "not in the form 'unroll.labels/1'"),
        ({"format": "unroll.labels/1", "kind": "one", "names": ["a", "b"]}, "labels are damaged: kind"),
        ({"format": "unroll.labels/1", "kind": "single", "names": ["a"]}, "labels are damaged: names are missing"),
        ({"format": "unroll.labels/1", "kind": "single", "names": ["a", "a"]}, "labels are damaged"),
        ({"format": "unroll.labels/1", "kind": "single", "names": ["a", 1]}, "labels are damaged: names is not a list"),
        (
            {"format": "unroll.labels/1", "kind": "single", "names": ["a", "1"], "values": "integer"},
            "the labels are damaged: values is 'integer', which the names are not",
        ),
        ({"format": "unroll.labels/1", "kind": "single", "names": ["a", "b"], "values": "?"}, "damaged: values is"),
        ({"format": "unroll.labels/1", "kind": "multi", "names": []}, "labels are damaged: names are missing"),
    ],
)
def test_damaged_json(document: object, why: str) -> None:
    with pytest.raises(RunError, match=why):
        Labels.from_json(json.dumps(document))
    with pytest.raises(RunError, match="not JSON"):
        Labels.from_json("{")


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), " "])
def test_what_is_missing_is_no_label(missing: object) -> None:
    assert label_name(missing) is None
    with pytest.raises(DataError, match="row 2 of the training data has no label"):
        Labels.learn(["a", missing])


def test_names_that_read_like_nothing_are_labels() -> None:
    assert Labels.learn(["NA", "nan", "None", "null"]).names == ("NA", "None", "nan", "null")


def test_a_label_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(DataError, match="row 2 of the training data has a label that has half a character"):
        Labels.learn(["a", "x\ud83d"])
    assert Labels.learn(["a", "x\U0001f600"]).names == ("a", "x\U0001f600")


def test_a_complex_number_is_no_target() -> None:
    with pytest.raises(DataError, match="row 2 of the data needs a number to predict, but holds"):
        Labels("regression", ["value"]).encode([1.0, np.complex128(2 + 1j)])


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([3, 3.0, np.int64(-1), 10], [-1, 3, 10]),
        ([True, np.False_], [False, True]),
        (["b", "a"], ["a", "b"]),
        (["2", "1"], ["1", "2"]),
        ([1, "2"], ["1", "2"]),
        ([1, 10**30], ["1", str(10**30)]),
    ],
)
def test_labels_come_back_as_they_were(values: list[Any], labels: list[Any]) -> None:
    again = Labels.from_json(Labels.learn(values).to_json())
    assert again.array().tolist() == labels
