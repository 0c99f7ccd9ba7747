from __future__ import annotations

import numpy as np
import pytest
import torch

from unroll.data.options import BatchOptions
from unroll.data.pairs.batches import PairBatches, PairDataset, with_end
from unroll.data.ragged import RaggedDataset
from unroll.errors import DataError, RunError


def some(n: int = 203) -> PairDataset:
    rng = np.random.default_rng(0)
    sources = [np.full(k, i + 2, np.int32) for i, k in enumerate(rng.integers(1, 30, n))]
    targets = [np.full(k, i + 2, np.int32) for i, k in enumerate(rng.integers(0, 20, n))]
    texts = tuple(map(str, range(n)))
    return PairDataset(RaggedDataset.from_arrays(sources), with_end(targets, 999), texts, tuple((t,) for t in texts))


def test_a_batch_holds_its_pairs() -> None:
    pairs = some()
    batches = PairBatches(pairs, BatchOptions(batch_size=16, bucket_batches=4), shuffle=True)
    rows = []
    for batch in batches:
        assert batch.target is not None
        rows += batch.rows.tolist()
        assert batch.total == int(batch.target_lengths.sum())
        ends = batch.target[torch.arange(len(batch.rows)), batch.target_lengths - 1]
        assert ends.tolist() == [999] * len(batch.rows)
        inside = torch.arange(batch.x.shape[1]) < batch.lengths.unsqueeze(1)
        assert torch.equal(batch.x, torch.where(inside, (batch.rows + 2).unsqueeze(1), 0))
    assert sorted(rows) == list(range(203))
    alone = PairBatches(pairs, BatchOptions(batch_size=16, bucket_batches=0), shuffle=True).padding_share()
    assert batches.padding_share() < 0.2 < alone


def test_it_resumes_at_any_batch_and_is_shared_out() -> None:
    options = BatchOptions(batch_size=16)
    batches = PairBatches(some(), options, shuffle=True)
    batches.set_epoch(3)
    every = [batch.rows.tolist() for batch in batches]
    other = PairBatches(some(), options, shuffle=True)
    other.load_state_dict({**batches.state_dict(), "epoch": 3, "position": 5})
    assert [batch.rows.tolist() for batch in other] == every[5:]
    parts = [batches.shard(rank, 2) for rank in (0, 1)]
    for part in parts:
        part.set_epoch(3)
    for whole, a, b in zip(every, *parts, strict=True):
        assert sorted(whole) == sorted([*a.rows.tolist(), *b.rows.tolist()])
        assert a.total == b.total
    with pytest.raises(RunError, match="batch_size was 16"):
        PairBatches(some(), BatchOptions(batch_size=8), shuffle=True).load_state_dict(batches.state_dict())


def test_parts_are_selected_joined_and_told_apart() -> None:
    pairs = some(10)
    part = pairs.subset(np.array([7, 2]))
    assert part.sources == ("7", "2")
    joined = part.join(pairs.subset(np.array([0])))
    assert joined.references == (("7",), ("2",), ("0",))
    assert joined.source.take(np.array([2]))[0][0] == 2
    assert len(joined) == 3
    assert list(part.fingerprint()) != list(pairs.subset(np.array([2, 7])).fingerprint())
    with pytest.raises(DataError, match="there are no rows"):
        with_end([], 5)
