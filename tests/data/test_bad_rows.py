from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.bad_rows import good_rows
from unroll.data.bad_targets import bad_labels, bad_numbers
from unroll.data.options import TextOptions
from unroll.data.sequences import bad_series
from unroll.data.text.normalize import bad_texts
from unroll.data.text.tokenizer import TextTokenizer
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
    assert bad_numbers([1, "2", None, "x", float("inf"), [1.0, 2.0], [1.0, None], 10**400], "price") == [
        (2, "'price' is null"),
        (3, "'price' is not a number"),
        (4, "'price' is not a finite number"),
        (5, "'price' has 2 numbers, most rows have 1"),
        (6, "'price' has a null"),
        (7, "'price' is not a number"),
    ]


def test_lists_of_labels() -> None:
    assert bad_labels([["a"], ["a", None], [], ["a", " "], [float("nan")], {"b"}, np.array([0, 1])], "tags") == [
        (1, "'tags' has a label that is null or empty"),
        (3, "'tags' has a label that is null or empty"),
        (4, "'tags' has a label that is null or empty"),
    ]


@pytest.mark.parametrize("level", ["word", "bpe", "char"])
@pytest.mark.parametrize("punctuation", ["split", "drop", "keep"])
def test_texts_that_clean_to_nothing(level: Any, punctuation: Any) -> None:
    options = TextOptions(level=level, punctuation=punctuation, vocab_size=300, min_freq=1)
    texts = [
        "!!!",
        "<br>",
        "\u200b",
        "&nbsp;<br />",
        "_",
        "\u200d",
        "\u0301",
        "☺",
        "好",
        "A",
        "½",
        "?\n!",
        "<br>x",
        "\u037a",
    ]
    encoder = TextTokenizer.learn([*texts, "common ground"], options)
    empty = [row for row, ids in enumerate(encoder.encode(texts)) if not len(ids)]
    assert bad_texts(texts, "review", options) == [(row, "'review' has no token left after cleaning") for row in empty]
    assert {1, 2, 3} <= set(empty)
    assert (0 in empty) == (punctuation == "drop")
    assert bad_texts(texts) == []


def test_looking_for_empty_texts_is_fast() -> None:
    texts = ["It was <br /><br />a film of Caf&eacute;s &amp; people. " * 25] * 5000
    begin = time.process_time()
    assert bad_texts(texts, "text", TextOptions()) == []
    assert time.process_time() - begin < 2.0


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


def test_what_is_missing_is_null_whatever_its_kind() -> None:
    missing = [None, float("nan"), pd.NA, np.ma.masked]
    assert bad_texts(["a", *missing], "t") == [(row, "'t' is null") for row in range(1, 5)]
    assert bad_labels(["a", *missing, pd.NaT], "t") == [(row, "'t' is null or empty") for row in range(1, 6)]
    assert bad_series([[1], *missing], "t") == [(row, "'t' is null") for row in range(1, 5)]
    assert bad_numbers([1, None, pd.NA, pd.NaT], "t") == [(row, "'t' is null") for row in range(1, 4)]


def test_labels_that_cannot_be_stored() -> None:
    assert bad_labels(["NA", "nan", "x\ud83d", b"x", ["a", "\ude00"], "\U0001f600"], "y") == [
        (2, "'y' has half a character (a lone surrogate)"),
        (3, "'y' holds bytes, not text; decode them"),
        (4, "'y' has half a character (a lone surrogate)"),
    ]
