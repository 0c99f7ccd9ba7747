from __future__ import annotations

import numpy as np
import pytest
import torch

from unroll.data.text.corpus import Corpus
from unroll.data.text.masked import MaskedWindows


def windows(n: int = 3000, size: int = 6, window: int = 25, **more) -> MaskedWindows:
    corpus = Corpus.of(np.arange(n) + 2)
    return MaskedWindows(corpus, size, window, **{"share": 0.2, "anew": True, "seed": 3} | more)  # type: ignore[arg-type]


def test_hidden_tokens_are_to_be_predicted_and_the_others_stand() -> None:
    found = windows()
    seen, hidden = 0, 0
    for batch in found:
        assert batch.first
        assert batch.chosen is not None
        assert batch.target is not None
        there = torch.arange(batch.x.shape[1]) < batch.lengths.unsqueeze(1)
        assert not (batch.chosen & ~there).any()
        assert torch.equal(batch.x[batch.chosen], torch.ones_like(batch.x[batch.chosen]))
        assert torch.equal(batch.x[~batch.chosen], batch.target[~batch.chosen])
        assert batch.total == batch.nominal == int(batch.chosen.sum())
        assert torch.equal(batch.counted(), batch.chosen)
        seen, hidden = seen + int(there.sum()), hidden + batch.total
    assert seen == 3000
    assert 0.17 < hidden / seen < 0.23


def chosen(found: MaskedWindows, epoch: int) -> list[list[int]]:
    found.set_epoch(epoch)
    return [batch.target[batch.chosen].tolist() for batch in found]  # type: ignore[index]


def test_evaluation_hides_the_same_in_every_epoch_and_training_others() -> None:
    assert chosen(windows(anew=False), 0) == chosen(windows(anew=False), 4)
    assert chosen(windows(), 0) != chosen(windows(), 1)
    assert chosen(windows(), 1) == chosen(windows(), 1)
    assert chosen(windows(seed=4), 0) != chosen(windows(), 0)


@pytest.mark.parametrize("n", [1, 3, 40])
def test_every_window_hides_something(n: int) -> None:
    for batch in windows(n, 2, 1, share=0.01):
        assert batch.total >= 1
        assert torch.isfinite(torch.tensor(batch.nominal))


def test_processes_hide_the_same() -> None:
    whole = windows(501, 7, 9, jitter=0.2)
    parts = [whole.shard(rank, 2) for rank in range(2)]
    for every, *own in zip(whole, *parts, strict=True):
        assert [p.total for p in own] == [every.total] * 2
        found = sorted(t for p in own for t in p.target[p.chosen].tolist())  # type: ignore[index]
        assert found == sorted(every.target[every.chosen].tolist())  # type: ignore[index]
