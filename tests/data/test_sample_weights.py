from __future__ import annotations

import numpy as np
import pytest

from unroll.data.batches import Batches
from unroll.data.ragged import RaggedDataset
from unroll.data.sample_weights import bad_weights, read_weights, weighted_rows
from unroll.errors import DataError


def test_weights_have_the_mean_1_and_rows_of_weight_0_are_left_out() -> None:
    rows, weights = weighted_rows(np.array([2.0, 0.0, 6.0, 4.0]), "X")
    assert rows.tolist() == [0, 2, 3]
    assert weights is not None
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, np.array([2, 6, 4]) / 4, rtol=1e-6)


def test_equal_weights_are_none() -> None:
    rows, weights = read_weights([0.0, 7.0, 7.0], 3)
    assert (rows.tolist(), weights) == ([1, 2], None)
    assert read_weights(None, 2)[1] is None
    assert read_weights(2.5, 2)[1] is None


def test_weights_of_any_size_stay_finite() -> None:
    rows, weights = weighted_rows(np.array([1e308, 1e308, 1e-300, 5e307]), "X")
    assert rows.tolist() == [0, 1, 3]
    assert weights is not None
    np.testing.assert_allclose(weights, [1.2, 1.2, 0.6], rtol=1e-6)


def test_what_is_no_weight() -> None:
    assert bad_weights([1, -0.5, None, float("inf"), "many", 0, True], "w") == [
        (1, "'w' is -0.5, but a weight is 0 or more"),
        (2, "'w' is null"),
        (3, "'w' is not a finite number"),
        (4, "'w' is not a number"),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], "sample_weight has shape (2,); give one number for each of the 3 rows of X"),
        (np.ones((3, 1)), "sample_weight has shape (3, 1); give one number for each of the 3 rows of X"),
        ([1, [2], 3], "sample_weight is not a list of numbers; give one number for each row of X"),
        ([0, 0, 0], "the weights of X are all zero, so that no row is left for training"),
        (
            [1, -2, 3],
            "1 of 3 rows of sample_weight cannot be used (row 2: 'sample_weight' is -2, but a weight is 0 or more)",
        ),
    ],
)
def test_weights_that_are_refused(given: object, message: str) -> None:
    with pytest.raises(DataError) as error:
        read_weights(given, 3)
    assert str(error.value) == message


def test_batches_carry_their_rows_weights() -> None:
    data = RaggedDataset.from_arrays([np.ones(n, np.int64) for n in (3, 1, 2, 5)], np.arange(4))
    plain = b"".join(data.fingerprint())
    data.weights = np.array([3, 1, 2, 5], np.float32)
    assert b"".join(data.fingerprint()) != plain
    part = data.subset(np.array([3, 0, 1]))
    for batch in Batches(part, batch_size=2, shuffle=False):
        assert batch.weights is not None
        assert batch.weights.tolist() == batch.lengths.tolist()
    own = next(iter(Batches(part, batch_size=3, shuffle=False).shard(1, 2)))
    assert own.weights is not None
    assert own.all_weights is not None
    assert (len(own.weights), own.all_weights.sum()) == (1, 9)
