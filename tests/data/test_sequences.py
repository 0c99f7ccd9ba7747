from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from unroll.data.options import LengthOptions, SequenceOptions
from unroll.data.sequences import SequenceScaler, as_array
from unroll.errors import DataError, RunError


def test_mean_and_deviation_as_numpy_has_them() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal([1e8, -3.0], [1e-2, 5.0], size=(n, 2)) for n in (1, 7, 63, 100)]
    encoder = SequenceScaler.learn(iter(sequences))
    every = np.concatenate(sequences)
    np.testing.assert_allclose(encoder.mean, every.mean(0), rtol=1e-14)
    np.testing.assert_allclose(encoder.scale, every.std(0), rtol=1e-6)
    np.testing.assert_allclose(encoder.scale[1], every[:, 1].std(), rtol=1e-13)
    encoded = encoder.encode(sequences)
    assert all(e.dtype == np.float32 for e in encoded)
    assert [e.shape for e in encoded] == [(1, 2), (7, 2), (63, 2), (100, 2)]
    np.testing.assert_allclose(np.concatenate(encoded).std(0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(encoded)[:, 1].mean(0), 0.0, atol=1e-6)


def test_lists_of_numbers() -> None:
    encoder = SequenceScaler.learn([[1, 2, 3], [], [4.0], "[5, 6]"])
    assert encoder.features == 1
    assert encoder.mean.tolist() == [3.5]
    assert encoder.encode([[3.5], []])[0].tolist() == [[0.0]]
    assert encoder.encode([[]])[0].shape == (0, 1)
    nested = SequenceScaler.learn([[[1, 2], [3, 4]]], SequenceOptions(standardize=False))
    assert nested.encode([[[1, 2]]])[0].tolist() == [[1.0, 2.0]]


def test_a_constant_feature_is_only_centred() -> None:
    encoder = SequenceScaler.learn([np.array([[0.1, 1.0], [0.1, 3.0]]), np.array([[0.1, 5.0]])])
    assert encoder.scale[0] == 1.0
    np.testing.assert_allclose(encoder.encode([[[0.1, 3.0], [2.1, 3.0]]])[0], [[0, 0], [2, 0]], atol=1e-7)


def test_the_last_steps_are_kept() -> None:
    encoder = SequenceScaler.learn([[0, 0, 1, 3]], None, LengthOptions(2, "tail"))
    assert encoder.mean.tolist() == [2.0]
    assert encoder.encode([[9, 9, 1, 3]])[0].tolist() == [[-1.0], [1.0]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "row 8 is null"),
        ([1.0, None], "row 8 has a null at step 2"),
        ([[1.0, 2.0], [1.0, None]], "row 8 has a null at step 2"),
        ([[1.0], [1.0, 2.0]], "row 8 is ragged: 1 features at step 1, 2 at step 2"),
        ([1.0, float("nan")], "row 8 has nan at step 2, feature 1"),
        ([[1.0, 2.0], [1.0, float("inf")]], "row 8 has inf at step 2, feature 2"),
        (["a", "b"], "row 8 holds values that are not numbers"),
        ("abc", "row 8 holds text where a list of numbers is needed: 'abc'"),
        (5.0, "row 8 holds float 5.0 where a list of numbers is needed"),
        ([[[1.0]]], "row 8 has 3 dimensions"),
    ],
)
def test_what_is_no_sequence(bad: object, message: str) -> None:
    encoder = SequenceScaler.learn([[1.0, 2.0]])
    with pytest.raises(DataError, match=message):
        encoder.encode([[1.0], bad], first=6)
    with pytest.raises(DataError, match=message.replace("row 8", "row 2")):
        SequenceScaler.learn([[1.0], bad])


def test_another_number_of_features() -> None:
    with pytest.raises(DataError, match="row 3 has 2 features per step, but row 1 has 1"):
        SequenceScaler.learn([[1.0], [], [[1.0, 2.0]]])
    with pytest.raises(DataError, match="row 1 has 2 features per step, but the training data has 1"):
        SequenceScaler.learn([[1.0]]).encode([[[1.0, 2.0]]])


def test_the_data_and_its_rows_are_named() -> None:
    encoder = SequenceScaler.learn([[1.0, 2.0]])
    rows = np.array([3, 8])
    with pytest.raises(DataError, match=r"^row 9 of test\.npz has 2 features per step, but the training data has 1$"):
        encoder.encode([[1.0], [[1.0, 2.0]]], rows=rows, where="test.npz")
    with pytest.raises(DataError, match=r"^row 9 of test\.npz is null$"):
        encoder.encode([[1.0], None], rows=rows, where="test.npz")
    with pytest.raises(DataError, match=r"^row 4 of test\.npz has values too large"):
        encoder.encode([[1e300]], rows=rows, where="test.npz")


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="every sequence is empty"):
        SequenceScaler.learn([[], []])


def test_too_large_for_32_bits() -> None:
    encoder = SequenceScaler.learn([[1.0, 2.0]])
    with pytest.raises(DataError, match="row 1 has values too large"):
        encoder.encode([[1e300]])


def test_json_there_and_back_to_the_last_bit() -> None:
    encoder = SequenceScaler.learn([np.random.default_rng(0).normal(size=(9, 3))], None, LengthOptions(7, "tail"))
    again = SequenceScaler.from_json(encoder.to_json())
    assert np.array_equal(again.mean, encoder.mean)
    assert np.array_equal(again.scale, encoder.scale)
    assert (again.options, again.length) == (encoder.options, encoder.length)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "x"},
        {"mean": [1.0]},
        {"mean": ["a", "b"]},
        {"scale": [1.0, 0.0]},
        {"scale": [1.0, float("nan")]},
        {"options": {"standardise": True}},
        {"options": 3},
    ],
)
def test_damaged_json(change: dict) -> None:
    document = json.loads(SequenceScaler.learn([[[1, 2], [3, 4]]]).to_json())
    with pytest.raises(RunError, match="scaler is"):
        SequenceScaler.from_json(json.dumps({**document, **change}))
    with pytest.raises(RunError, match="not JSON"):
        SequenceScaler.from_json("{")


def of_objects(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1, 2], [3, 4]], dtype=np.longdouble),
        np.array([[1, 2], [3, 4]], dtype=np.float16),
        np.array([[1, 2], [3, 4]], dtype=object),
        [[Decimal(1), Decimal("2.0")], [Fraction(3), 4]],
        of_objects([np.array([1.0, 2.0]), np.array([3.0, 4.0])]),
        of_objects([of_objects([1, 2]), of_objects([3, 4])]),
        of_objects([[1, 2], [3, 4]]),
        [torch.tensor([1, 2]), torch.tensor([3, 4])],
        torch.tensor([[1, 2], [3, 4]], requires_grad=False).bfloat16(),
        torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        pd.DataFrame({"a": [1, 3], "b": [2, 4]}),
        [pd.Series([1, 2]), pd.Series([3, 4])],
        np.ma.masked_array([[1, 2], [3, 4]], False),
        "[[1, 2], [3, 4]]",
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_of_all_kinds_are_steps(value: object) -> None:
    steps = as_array(value)
    assert steps.dtype == np.float64
    assert steps.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_series_of_numbers_is_a_sequence() -> None:
    assert as_array(pd.Series([1, 2], dtype="Int64")).tolist() == [[1.0], [2.0]]
    assert as_array(of_objects([True, 2])).tolist() == [[1.0], [2.0]]
    assert as_array(of_objects([])).shape == (0, 1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (pd.NA, "is null"),
        (float("nan"), "is null"),
        ([1, pd.NA], "has a null at step 2"),
        (of_objects([1.0, None]), "has a null at step 2"),
        ([[1, 2], [3, None]], "has a null at step 2"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "has nan at step 2, feature 1"),
        ([Decimal(1), Decimal("Infinity")], "has inf at step 2"),
        ([1 + 2j, 3], "holds complex numbers"),
        ([10**400, 1], "holds a number too large for 64 bits"),
        (np.array([np.finfo(np.longdouble).max]), "has inf at step 1"),
        (b"[1, 2]", "holds bytes"),
        ({"a": 1}, "holds dict"),
        (of_objects([np.array([1.0]), np.array([1.0, 2.0])]), "is ragged: 1 features at step 1, 2 at step 2"),
        (["1", "2"], "holds values that are not numbers"),
        (np.array(["2024-01-01"], dtype="M8[D]"), "holds values that are not numbers"),
        (np.zeros((2, 2, 2)), "has 3 dimensions"),
        ("1" * 5000, "holds text where a list of numbers is needed"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 50 else type(value).__name__,
)
def test_what_is_no_number_is_said(value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        as_array(value)
