from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from unroll.data.text.bptt import BPTTBatch, BPTTBatches
from unroll.data.text.corpus import Corpus
from unroll.errors import DataError, OptionError, RunError

pytestmark = pytest.mark.slow


def corpus(n: int, documents: tuple[int, ...] = (), start: int = 0) -> Corpus:
    """Tokens 2, 3, 4, ...: a token says where it stands."""
    return Corpus.of(np.arange(n) + 2, documents, start)


def cases() -> Iterator[tuple[int, int, int, float]]:
    draw = np.random.default_rng(0)
    yield from ((1, 1, 1, 0.0), (1, 9, 5, 0.4), (7, 7, 1, 0.4), (100, 1, 1000, 0.49), (101, 4, 7, 0.25))
    for _ in range(150):
        yield (*(int(draw.integers(1, most)) for most in (300, 20, 40)), float(draw.choice([0.0, 0.1, 0.3, 0.49])))


def test_every_token_is_a_target_exactly_once_after_the_token_before_it() -> None:
    draw = np.random.default_rng(1)
    for n, size, window, jitter in cases():
        documents = tuple(int(d) for d in draw.integers(0, n, 3))
        windows = BPTTBatches(corpus(n, documents, start=1), size, window, jitter=jitter, seed=3)
        for epoch in range(3):
            windows.set_epoch(epoch)
            batches = list(windows)
            seen = []
            for batch in batches:
                for row, length in enumerate(batch.lengths.tolist()):
                    for t in range(batch.x.shape[1]):
                        x, target = int(batch.x[row, t]), int(batch.target[row, t])  # type: ignore[index]
                        reset = batch.resets is not None and bool(batch.resets[row, t])
                        if t >= length:
                            assert (x, target, reset) == (0, 0, False)
                            continue
                        seen.append(target)
                        assert reset == (target - 2 in documents and target > 2)
                        assert x == (1 if reset or target == 2 else target - 1)
            assert sorted(seen) == list(range(2, n + 2)), (n, size, window, jitter)
            assert len(batches) == len(windows)
            assert sum(batch.total for batch in batches) == n
            assert [batch.first for batch in batches] == [True] + [False] * (len(batches) - 1)
            assert batches[0].nominal * len(batches) == pytest.approx(n, rel=1e-12)


def test_rows_go_on_from_window_to_window() -> None:
    batches = list(BPTTBatches(corpus(103), 4, 10, jitter=0.3, seed=1))
    for row, (begin, end) in enumerate([(0, 25), (25, 51), (51, 77), (77, 103)]):
        found = [t for b in batches for t in b.target[row, : b.lengths[row]].tolist()]  # type: ignore[index]
        assert found == list(range(begin + 2, end + 2))
    assert [b.lengths.tolist() for b in BPTTBatches(corpus(9), 4, 1)] == [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]]
    assert [b.lengths.tolist() for b in BPTTBatches(corpus(9), 4, 2)] == [[1, 1, 1, 1], [1, 1, 1, 2]]


def test_windows_are_at_most_as_long_as_asked_without_jitter() -> None:
    for n, size, window, _ in cases():
        steps = np.diff(BPTTBatches(corpus(n), size, window).cuts())
        assert steps.max() <= window
        assert steps.max() - steps.min() <= 1


def test_jitter_follows_seed_and_epoch_alone() -> None:
    windows = BPTTBatches(corpus(5000), 10, 50, jitter=0.2, seed=5)
    cuts = []
    for epoch in (0, 1, 2):
        windows.set_epoch(epoch)
        cuts.append(windows.cuts().tolist())
    windows.set_epoch(1)
    assert windows.cuts().tolist() == cuts[1]
    again = BPTTBatches(corpus(5000), 10, 50, jitter=0.2, seed=5)
    assert again.cuts().tolist() == cuts[0]
    assert len({tuple(c) for c in cuts}) == 3
    even = BPTTBatches(corpus(5000), 10, 50).cuts()
    moved = np.array(cuts) - even
    assert moved[:, 0].tolist() == moved[:, -1].tolist() == [0, 0, 0]
    assert moved.min() >= -10
    assert moved.max() <= 10
    assert len(set(moved[:, 1:-1].ravel().tolist())) > 8
    # the same in every version: raw PCG64 bits
    assert BPTTBatches(corpus(60), 1, 10, jitter=0.4, seed=0).cuts().tolist() == [0, 8, 17, 31, 44, 49, 60]


def test_processes_share_every_window() -> None:
    whole = BPTTBatches(corpus(230, (30, 77)), 7, 9, jitter=0.3, seed=2)
    parts = [whole.shard(rank, 3) for rank in range(3)]
    assert [len(p) for p in parts] == [len(whole)] * 3
    for every, *own in zip(whole, *parts, strict=True):
        assert [p.total for p in own] == [every.total] * 3
        assert [p.longest for p in own] == [every.x.shape[1]] * 3
        assert sorted(r for p in own for r in p.rows.tolist()) == list(range(7))
        for part in own:
            for i, row in enumerate(part.rows.tolist()):
                length = int(part.lengths[i])
                assert length == int(every.lengths[row])
                assert part.x[i, :length].tolist() == every.x[row, :length].tolist()


def test_too_many_processes() -> None:
    with pytest.raises(OptionError, match="batch_size is 2, but 3 processes need at least a row each"):
        BPTTBatches(corpus(50), 2, 5).shard(0, 3)
    with pytest.raises(DataError, match="there are 2 tokens, but 3 processes need at least one each"):
        BPTTBatches(corpus(2), 3, 5).shard(0, 3)
    with pytest.raises(OptionError, match="rank is 3"):
        BPTTBatches(corpus(50), 9, 5).shard(3, 3)


def test_a_text_shorter_than_the_batch() -> None:
    windows = BPTTBatches(corpus(3), 20, 35)
    assert windows.streams == 3
    (batch,) = windows
    assert batch.target.tolist() == [[2], [3], [4]]  # type: ignore[union-attr]
    assert batch.x.tolist() == [[0], [2], [3]]


def test_going_on_in_the_middle() -> None:
    windows = BPTTBatches(corpus(400), 4, 9, jitter=0.3, seed=4)
    windows.set_epoch(2)
    every = list(windows)
    iterator = iter(windows)
    for _ in range(5):
        next(iterator)
    state = windows.state_dict()
    assert (state["epoch"], state["position"]) == (2, 5)
    other = BPTTBatches(corpus(400), 4, 9, jitter=0.3, seed=4)
    other.load_state_dict(state)
    other.set_epoch(2)
    rest = list(other)
    assert [b.target.tolist() for b in rest] == [b.target.tolist() for b in every[5:]]  # type: ignore[union-attr]
    assert not rest[0].first
    assert len(list(other)) == len(other)
    other.load_state_dict(state)
    other.set_epoch(3)
    assert next(iter(other)).first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": 401}, "cannot continue: tokens was 401 when the checkpoint was written, now it is 400"),
        ({"batch_size": 5}, "batch_size was 5"),
        ({"windows": 7}, "windows was 7"),
        ({"reach": 0}, "reach was 0"),
        ({"seed": 1}, "seed was 1"),
        ({"position": 99}, "damaged"),
        ({"epoch": -1}, "damaged"),
        ({"epoch": 1.5}, "damaged"),
        ({"more": 1}, "damaged"),
    ],
)
def test_a_place_in_another_text(change: dict, message: str) -> None:
    windows = BPTTBatches(corpus(400), 4, 9, jitter=0.3, seed=4)
    with pytest.raises(RunError, match=message):
        windows.load_state_dict(windows.state_dict() | change)


def test_a_batch_moves_to_a_device() -> None:
    batch = next(iter(BPTTBatches(corpus(40, (3,)), 2, 9)))
    moved = batch.to("meta")
    assert isinstance(moved, BPTTBatch)
    for name in ("x", "target", "resets"):
        assert getattr(moved, name).is_meta
    assert moved.lengths.device == moved.rows.device == torch.device("cpu")
    assert BPTTBatch.counts == "tokens"
