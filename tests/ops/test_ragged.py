from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from helpers.recurrences import weights
from unroll.ops.call import Call, Sizes
from unroll.ops.elman import TANH
from unroll.ops.ragged import groups, move


def call(T, B, **more):
    return Call(TANH, torch.zeros(T, B, 1), (torch.zeros(B, 2),), weights(TANH, Sizes(1, 2, bias=False)), **more)


def test_move_and_its_derivatives():
    source, target = torch.tensor([2, -1, 0, 3]), torch.tensor([2, -1, 0, 3, -1])
    x = torch.randn(5, 2, dtype=torch.float64)
    x[1] = float("nan")
    moved = move(x, source, target)
    assert torch.equal(moved, torch.stack([x[2], torch.zeros(2), x[0], x[3]]))
    x = torch.randn(5, 2, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda v: move(v, source, target), (x,))
    assert gradgradcheck(lambda v: move(v, source, target), (x,))
    assert move(torch.zeros(0, 2), torch.tensor([-1, -1]), torch.zeros(0, dtype=torch.int64)).shape == (2, 2)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_every_step_has_one_place(reverse, ragged, cut):
    T, B = 33, 6
    lengths = torch.tensor([33, 1, 0, 20, 33, 7]) if ragged else None
    resets = torch.rand(B, T).t() < torch.tensor([0.0, 0.5, 0.5, 0.05, 0.7, 0.2]) if cut else None
    made = groups(call(T, B, lengths=lengths, resets=resets, reverse=reverse))
    seen = torch.zeros(T * B, dtype=torch.int64)
    for group in made:
        here = group.source >= 0
        assert torch.equal(group.target[group.source[here]], here.nonzero().squeeze(1))
        assert int((group.target >= 0).sum()) == int(here.sum()) == int(group.lengths.sum())
        seen[group.source[here]] += 1
        place = group.source.view(group.steps, -1)
        for s, n in enumerate(group.lengths.tolist()):
            assert bool((place[:n, s] >= 0).all())
            assert bool((place[n:, s] < 0).all())
            if n:
                t = place[:n, s] // B
                assert torch.equal(t.diff(), torch.full((n - 1,), -1 if reverse else 1))
                assert bool((place[:n, s] % B == group.rows[s]).all())
    inside = torch.arange(T).unsqueeze(1) < (lengths if lengths is not None else torch.full((B,), T))
    assert torch.equal(seen, inside.flatten().long())
    if cut:
        assert sum(len(g.source) for g in made) <= 2 * int(inside.sum())


def test_unequal_segments_do_not_blow_up():
    T = 256
    resets = torch.ones(T, 1, dtype=torch.bool)
    resets[1:128] = False
    made = groups(call(T, 1, resets=resets))
    assert [(g.steps, len(g.rows)) for g in made] == [(1, 128), (128, 1)]
    same = dataclasses.replace(call(T, 1), resets=torch.arange(T).unsqueeze(1) % 4 == 0)
    assert [(g.steps, len(g.rows)) for g in groups(same)] == [(4, 64)]
