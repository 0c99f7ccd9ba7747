from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from unroll.data.batches import Batch, Batches
from unroll.data.options import BatchOptions
from unroll.data.ragged import RaggedDataset
from unroll.errors import DataError, OptionError, RunError


def some(n: int = 1003, seed: int = 0) -> RaggedDataset:
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.geometric(0.02, size=n), 400)
    arrays = [np.full(k, i + 2, np.int32) for i, k in enumerate(lengths)]
    return RaggedDataset.from_arrays(arrays, np.arange(n) * 10)


def rows(batches: Batches) -> list[list[int]]:
    return [b.rows.tolist() for b in batches]


def flat(lists: list[list[int]]) -> list[int]:
    return [i for part in lists for i in part]


def test_a_batch_holds_its_rows() -> None:
    batches = Batches(some(), shuffle=True, seed=1)
    for batch in batches:
        assert batch.x.dtype == batch.lengths.dtype == batch.rows.dtype == torch.int64
        assert batch.x.shape == (len(batch.rows), int(batch.lengths.max()))
        assert batch.total == len(batch.rows)
        assert batch.target is not None
        assert batch.all_targets is not None
        assert torch.equal(batch.target, batch.rows * 10)
        assert torch.equal(batch.all_targets, batch.target)
        for row, length, ids in zip(batch.rows, batch.lengths, batch.x, strict=True):
            assert (ids[:length] == row + 2).all()
            assert (ids[length:] == 0).all()


def test_series_are_padded_with_zeros() -> None:
    examples = RaggedDataset.from_arrays([np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32)])
    (batch,) = Batches(examples, batch_size=9, shuffle=False)
    assert batch.x.dtype == torch.float32
    assert batch.lengths.tolist() == [0, 2]
    assert batch.x.tolist() == [[[0.0] * 3] * 2, [[1.0] * 3] * 2]
    assert batch.target is None
    assert batch.all_targets is None


def test_target_numbers_keep_their_64_bits() -> None:
    targets = np.array([[1e9], [1e9 + 1]])
    (batch,) = Batches(RaggedDataset.from_arrays([np.ones(1, np.int32)] * 2, targets), shuffle=False)
    assert batch.target is not None
    assert batch.target.dtype == torch.float64
    assert batch.target.tolist() == targets.tolist()


def test_rows_of_no_length_have_one_step_of_padding() -> None:
    (batch,) = Batches(RaggedDataset.from_arrays([np.zeros(0, np.int32)] * 2), shuffle=False)
    assert batch.x.tolist() == [[0], [0]]
    assert batch.lengths.tolist() == [0, 0]


@pytest.mark.parametrize("bucket", [0, 1, 3, 50])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [1, 7, 100, 1003, 5000])
def test_every_row_once(bucket: int, shuffle: bool, size: int) -> None:
    batches = Batches(some(), BatchOptions(batch_size=size, bucket_batches=bucket), shuffle=shuffle, seed=3)
    parts = rows(batches)
    assert len(parts) == len(batches)
    assert sorted(flat(parts)) == list(range(1003))
    assert sorted(map(len, parts))[1:] == [size] * (len(parts) - 1)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = Batches(some(), shuffle=True, seed=seed)
        batches.set_epoch(epoch)
        return rows(batches)

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    batches = Batches(some(), shuffle=True, seed=0)
    assert rows(batches) == rows(batches)
    batches.set_epoch(1)
    assert rows(batches) == order(0, 1)


def test_the_order_is_the_same_on_every_machine() -> None:
    examples = RaggedDataset.from_arrays([np.ones(k, np.int32) for k in (3, 1, 4, 1, 5, 9, 2, 6, 5, 3)])
    bits = np.random.PCG64(np.random.SeedSequence([0, 0]))
    assert bits.random_raw(2).tolist() == [11749869230777074271, 4976686463289251617]
    assert rows(Batches(examples, batch_size=4, shuffle=True, seed=0)) == [[9, 2, 8, 4], [3, 1, 6, 0], [7, 5]]


def test_rows_of_like_length_meet() -> None:
    examples = some()
    grouped = Batches(examples, shuffle=True, seed=0)
    mixed = Batches(examples, BatchOptions(bucket_batches=0), shuffle=True, seed=0)
    assert grouped.padding_share() < 0.1
    large = some(20_000)
    assert Batches(large, BatchOptions(bucket_batches=1000), shuffle=True, seed=0).padding_share() < 0.02
    assert mixed.padding_share() > 0.5
    positions = steps = 0
    for batch in grouped:
        positions += batch.x.numel()
        steps += int(batch.lengths.sum())
    assert grouped.padding_share() == pytest.approx(1 - steps / positions, abs=1e-12)


def test_without_shuffling_rows_are_sorted_or_kept() -> None:
    examples = some()
    batches = Batches(examples, shuffle=False)
    order = flat(rows(batches))
    assert examples.lengths[order].tolist() == sorted(examples.lengths.tolist())
    kept = Batches(examples, BatchOptions(bucket_batches=0), shuffle=False)
    assert flat(rows(kept)) == list(range(1003))


@pytest.mark.parametrize("stop", [0, 1, 17, 31, 32])
def test_exact_resumption(stop: int) -> None:
    batches = Batches(some(), shuffle=True, seed=5)
    batches.set_epoch(2)
    expected = rows(batches)
    before = []
    state = batches.state_dict() | {"position": 0}
    if stop:
        for batch in batches:
            before.append(batch.rows.tolist())
            if len(before) == stop:
                state = batches.state_dict()
                break
    assert state["position"] == stop
    resumed = Batches(some(), shuffle=True, seed=5)
    resumed.load_state_dict(state)
    resumed.set_epoch(2)
    assert before + rows(resumed) == expected
    assert rows(resumed) == expected
    resumed.set_epoch(3)
    batches.set_epoch(3)
    assert rows(resumed) == rows(batches)


def test_a_loop_that_was_left_starts_anew() -> None:
    batches = Batches(some(), shuffle=True, seed=5)
    first = next(iter(batches)).rows.tolist()
    assert next(iter(batches)).rows.tolist() == first


def test_a_state_of_something_else() -> None:
    batches = Batches(some(), shuffle=True, seed=5)
    state = batches.state_dict()
    for change, message in [
        ({"rows": 5}, "rows was 5 when the checkpoint was written, now it is 1003"),
        ({"batch_size": 5}, "batch_size was 5"),
        ({"seed": 6}, "seed was 6"),
        ({"position": 33}, "damaged"),
        ({"epoch": -1}, "damaged"),
        ({"position": "1"}, "damaged"),
        ({"more": 1}, "damaged"),
    ]:
        with pytest.raises(RunError, match=message):
            batches.load_state_dict({**state, **change})  # type: ignore[dict-item]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("n", [96, 97, 98, 99, 4])
def test_processes_share_every_global_batch(world: int, n: int) -> None:
    examples = some(n)
    one = Batches(examples, batch_size=8, shuffle=True, seed=1)
    ranks = [one.shard(r, world) for r in range(world)]
    assert len({len(r) for r in ranks}) == 1
    together: list[list[int]] = []
    for parts in zip(*ranks, strict=True):
        assert len({p.total for p in parts}) == 1
        assert parts[0].total == sum(len(p.rows) for p in parts)
        assert all(len(p.rows) for p in parts)
        merged = [0] * parts[0].total
        for r, part in enumerate(parts):
            merged[r::world] = part.rows.tolist()
            assert part.target is not None
            assert part.all_targets is not None
            assert torch.equal(part.all_targets[r::world], part.target)
        together.append(merged)
    assert sorted(flat(together)) == list(range(n))
    assert len(together) == len(ranks[0])
    if n % 8 == 0:
        assert together == rows(one)
    assert all(r.padding_share() == ranks[0].padding_share() for r in ranks)


def test_a_last_batch_smaller_than_the_world_joins_the_one_before() -> None:
    ranks = [Batches(some(10), batch_size=3, shuffle=False).shard(r, 2) for r in range(2)]
    assert [[b.total for b in r] for r in ranks] == [[3, 3, 4]] * 2
    assert [len(r) for r in ranks] == [3, 3]


def test_what_cannot_be_shared() -> None:
    with pytest.raises(OptionError, match="batch_size is 2, but 3 processes"):
        Batches(some(10), batch_size=2, shuffle=True).shard(0, 3)
    with pytest.raises(DataError, match="2 rows, but 3 processes"):
        Batches(some(2), batch_size=8, shuffle=True).shard(0, 3)
    with pytest.raises(OptionError, match="rank is 3"):
        Batches(some(10), shuffle=True).shard(3, 3)
    with pytest.raises(DataError, match="no rows"):
        Batches(some(10).subset(np.arange(0)), shuffle=True)


def test_a_shard_is_what_that_process_would_have_made() -> None:
    options = BatchOptions(batch_size=8, bucket_batches=3, seed=5)
    batches = Batches(some(100), options, shuffle=True)
    batches.set_epoch(4)
    next(iter(batches))
    for rank in range(3):
        part = batches.shard(rank, 3)
        assert (part.epoch, part.position) == (0, 0)
        twin = Batches(some(100), options, shuffle=True).shard(rank, 3)
        for at in (0, 4):
            part.set_epoch(at)
            twin.set_epoch(at)
            assert rows(part) == rows(twin)
        assert part.state_dict() == twin.state_dict()
    with pytest.raises(DataError, match="100 rows, but 101 processes"):
        Batches(some(100), batch_size=200, shuffle=True).shard(0, 101)


@dataclass(frozen=True)
class Tagged(Batch):
    """A batch of a task that has more to say."""

    extra: torch.Tensor | None = None
    names: tuple[str, ...] = ()
    weight: torch.Tensor | None = None

    counts: ClassVar[str] = "tokens"


def test_moving_a_batch_of_ones_own() -> None:
    plain = next(iter(Batches(some(), shuffle=False)))
    batch = Tagged(**vars(plain), extra=torch.ones(3, 2), names=("a", "b"))
    there = batch.to("meta")
    assert type(there) is Tagged
    assert (there.counts, plain.counts) == ("tokens", "rows")
    for name in ("x", "target", "all_targets", "extra"):
        value = getattr(there, name)
        assert value.device.type == "meta"
        assert value.shape == getattr(batch, name).shape
    assert there.lengths is batch.lengths
    assert there.rows is batch.rows
    assert there.weight is None
    assert (there.names, there.total) == (("a", "b"), batch.total)


def test_moving_a_batch() -> None:
    batch = next(iter(Batches(some(), shuffle=False))).to("cpu")
    assert isinstance(batch, Batch)
    there = batch.to("meta")
    assert there.x.device.type == "meta"
    assert there.lengths.device.type == there.rows.device.type == "cpu"


def test_collation_is_quick() -> None:
    examples = RaggedDataset.from_arrays([np.arange(400, dtype=np.int32)] * 3200)
    batches = Batches(examples, shuffle=True)
    batches.plan()
    times = []
    iterator = iter(batches)
    for _ in range(len(batches)):
        start = time.perf_counter()
        next(iterator)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": 10**21}, "batch_size is 10{21}; it must be at least 1 and below"),
        ({"bucket_batches": -1}, "bucket_batches is -1"),
        ({"bucket_batches": 2**31}, "bucket_batches is 2147483648; it must be at least 0 and below"),
        ({"seed": 2**32}, "seed is 4294967296; it must be at least 0 and below"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"validation_fraction": float("nan")}, "validation_fraction is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
    ],
)
def test_options(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BatchOptions(**options)
