from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from unroll.data.files.dataset import read
from unroll.data.options import SequenceOptions, TextOptions
from unroll.data.ragged import RaggedDataset, encode_to_examples, iter_column
from unroll.data.sequences import SequenceScaler
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def ragged(n: int = 2500, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 99, size=k).astype(np.int32) for k in rng.integers(0, 9, size=n)]


def test_rows_come_back_as_they_went_in() -> None:
    arrays = ragged()
    examples = RaggedDataset.from_arrays(arrays, np.arange(2500))
    assert len(examples) == 2500
    assert examples.lengths.tolist() == [len(a) for a in arrays]
    assert examples.feature_shape == ()
    rows = np.array([2499, 0, 7, 7])
    assert same(examples.take(rows), [arrays[i] for i in rows])


def test_a_subset_of_a_subset() -> None:
    arrays = ragged()
    part = RaggedDataset.from_arrays(arrays, np.arange(2500)).subset(np.arange(2499, 0, -3)).subset(np.array([5, 1]))
    assert part.targets is not None
    assert part.targets.tolist() == [2484, 2496]
    assert same(part.take(np.array([1, 0])), [arrays[2496], arrays[2484]])
    assert part.lengths.tolist() == [len(arrays[2484]), len(arrays[2496])]


def test_features_per_step() -> None:
    examples = RaggedDataset.from_arrays([np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32)])
    assert examples.feature_shape == (3,)
    assert [a.shape for a in examples.take(np.arange(2))] == [(2, 3), (0, 3)]
    with pytest.raises(DataError, match="disagree on the number of features"):
        RaggedDataset.from_arrays([np.ones((2, 3)), np.ones((2, 2))])


def test_nothing() -> None:
    with pytest.raises(DataError, match="no rows"):
        RaggedDataset.from_arrays([])
    with pytest.raises(DataError, match="1 rows but 2 targets"):
        RaggedDataset.from_arrays([np.ones(3)], np.zeros(2))


@pytest.mark.parametrize("in_memory", [True, False])
def test_encoded_text(tmp_path: Path, in_memory: bool) -> None:
    path = tmp_path / "a.csv"
    texts = ["", *(f"the {'very ' * (i % 5)}w{i % 11}" for i in range(2300))]
    path.write_text("text\n" + "".join(f'"{t}"\n' for t in texts))
    dataset = read(path)
    encoder = TextTokenizer.learn(iter_column(dataset, "text"), TextOptions())
    done: list[int] = []
    examples = encode_to_examples(dataset, "text", encoder, in_memory=in_memory, progress=done.append)
    assert done == [1000, 2000, 2301]
    assert examples.lengths[0] == 0
    assert same(examples.take(np.arange(len(texts))), encoder.encode(texts))
    assert examples.take(np.array([5]))[0].base is not None


@pytest.mark.parametrize("in_memory", [True, False])
def test_encoded_series(tmp_path: Path, in_memory: bool) -> None:
    offsets = np.concatenate([[0], np.cumsum(np.arange(1500) % 4)])
    values = np.random.default_rng(0).normal(size=(int(offsets[-1]), 2))
    path = tmp_path / "a.npz"
    np.savez(path, x=values, offsets=offsets)
    dataset = read(path)
    encoder = SequenceScaler.learn(iter_column(dataset, "x"), SequenceOptions())
    np.testing.assert_allclose(encoder.mean, values.mean(0))
    examples = encode_to_examples(dataset, "x", encoder, in_memory=in_memory)
    assert examples.feature_shape == (2,)
    expected = [((values[a:b] - values.mean(0)) / values.std(0)) for a, b in pairwise(offsets)]
    for got, wanted in zip(examples.take(np.arange(1500)), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_row_of_the_data_is_named(tmp_path: Path, in_memory: bool) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": [1.0]}\n' * 1500 + '{"x": [1e300]}\n')
    encoder = SequenceScaler.learn([[1.0, 2.0]])
    rows = np.arange(1501) + 7
    with pytest.raises(DataError, match=r"^row 1508 of a\.jsonl has values too large"):
        encode_to_examples(read(path), "x", encoder, in_memory=in_memory, rows=rows, where="a.jsonl")
    with pytest.raises(DataError, match=r"^row 1501 has values too large"):
        encode_to_examples(read(path), "x", encoder, in_memory=in_memory)


def test_rows_encoded_on_disk_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "a b\n" * 10)
    dataset = read(path)
    first = TextTokenizer.learn(["a b a b"], TextOptions())
    done: list[int] = []
    encode_to_examples(dataset, "text", first, in_memory=False, progress=done.append)
    assert done == [10]
    again = encode_to_examples(read(path), "text", first, in_memory=False, progress=done.append)
    assert done == [10]
    assert again.lengths.tolist() == [2] * 10
    other = TextTokenizer.learn(["a a b"], TextOptions())
    assert encode_to_examples(dataset, "text", other, in_memory=False).take(np.array([0]))[0].tolist() == [2, 1]


def test_a_column_of_a_narrowed_data_set(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, ids=np.arange(20).reshape(10, 2))
    dataset = read(path).select([9, 0, 3])
    examples = RaggedDataset.from_dataset(dataset, "ids")
    assert [a.tolist() for a in examples.take(np.arange(3))] == [[18, 19], [0, 1], [6, 7]]
    assert list(iter_column(dataset, "ids", np.array([2, 0]))) == [[6, 7], [18, 19]]


def test_a_column_that_holds_no_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1, "b": [1]}\n{"a": 2, "b": null}\n')
    with pytest.raises(DataError, match="a list column is needed, but this one holds int64"):
        RaggedDataset.from_dataset(read(path), "a")
    with pytest.raises(DataError, match="1 rows are null"):
        RaggedDataset.from_dataset(read(path), "b")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    import datasets

    path = tmp_path / "a.csv"
    path.write_text("text\na a\n")
    dataset = read(path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(datasets.Dataset, "map", full)
    with pytest.raises(DataError, match=r"the disk of '.*' is full; HF_HOME"):
        encode_to_examples(dataset, "text", TextTokenizer.learn(["a a"]), in_memory=False)


def test_joined_rows_stand_one_after_the_other():
    first = RaggedDataset.from_arrays([np.arange(n) for n in (3, 1, 2)], np.array([0, 1, 2])).subset(np.array([2, 0]))
    second = RaggedDataset.from_arrays([np.arange(n) + 10 for n in (4, 2)], np.array([7, 8]))
    joined = first.join(second).join(first)
    assert [row.tolist() for row in joined.take(np.arange(6))] == [
        [0, 1],
        [0, 1, 2],
        [10, 11, 12, 13],
        [10, 11],
        [0, 1],
        [0, 1, 2],
    ]
    assert joined.lengths.tolist() == [2, 3, 4, 2, 2, 3]
    assert joined.targets.tolist() == [2, 0, 7, 8, 2, 0]
    assert joined.weights is None
    second.weights = np.array([0.5, 2.0], np.float32)
    assert first.join(second).weights.tolist() == [1.0, 1.0, 0.5, 2.0]
