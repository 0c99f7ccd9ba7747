from __future__ import annotations

import numpy as np
import pytest

from unroll.data.split import split
from unroll.errors import DataError, OptionError


def check(train: np.ndarray, valid: np.ndarray, n: int) -> None:
    assert train.dtype == valid.dtype == np.int64
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(n))
    assert (np.diff(train) > 0).all()
    assert (np.diff(valid) > 0).all()


def test_every_class_has_its_share() -> None:
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    train, valid = split(labels, 0.1, 0)
    check(train, valid, 1000)
    assert np.bincount(labels[valid]).tolist() == [70, 20, 10]


def test_the_seed_decides() -> None:
    labels = np.arange(100) % 2
    assert np.array_equal(split(labels, 0.2, 1)[1], split(labels, 0.2, 1)[1])
    assert not np.array_equal(split(labels, 0.2, 1)[1], split(labels, 0.2, 2)[1])


def test_a_class_of_one_row_is_trained_on() -> None:
    labels = np.array([0] * 50 + [1] * 50 + [2])
    train, valid = split(labels, 0.1, 0)
    check(train, valid, 101)
    assert 100 in train
    assert np.bincount(labels[valid]).tolist() == [5, 5]


def test_fewer_rows_to_hold_out_than_classes() -> None:
    labels = np.repeat(np.arange(20), 2)
    train, valid = split(labels, 0.1, 0)
    check(train, valid, 40)
    assert len(valid) == 4


def test_rows_without_classes() -> None:
    for labels in (10, np.linspace(0, 1, 10), np.eye(10)):
        train, valid = split(labels, 0.3, 0)
        check(train, valid, 10)
        assert len(valid) == 3


def test_no_share() -> None:
    train, valid = split(np.array([0, 1]), 0.0, 0)
    assert train.tolist() == [0, 1]
    assert valid.tolist() == []


def test_a_small_share_holds_out_a_row() -> None:
    assert len(split(10, 0.01, 0)[1]) == 1


def test_what_cannot_be_divided() -> None:
    with pytest.raises(DataError) as error:
        split(1, 0.1, 0)
    assert str(error.value) == (
        "1 row cannot be divided into training and validation (0.1); "
        "give validation 0 (--validation-fraction 0), or rows of its own (--valid DATA)"
    )
    with pytest.raises(DataError, match="2 rows cannot be divided"):
        split(2, 0.9, 0)
    with pytest.raises(OptionError, match=r"validation is 1\.5"):
        split(10, 1.5, 0)
