from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unroll.errors import OptionError
from unroll.layers.attention import Attention, Score

B, U, S, Q = 3, 4, 6, 5
LENGTHS = torch.tensor([6, 0, 3])
SCORES: tuple[Score, ...] = ("additive", "dot", "general")


def inputs(E: int = Q) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(B, U, Q, dtype=torch.float64), torch.randn(B, S, E, dtype=torch.float64)


def made(score: Score, E: int = Q) -> Attention:
    torch.manual_seed(1)
    return Attention(Q, E, score).double()


@pytest.mark.parametrize("score", SCORES)
def test_weights_sum_to_one_over_a_rows_own_steps(score: Score) -> None:
    query, memory = inputs()
    context, weights = made(score)(query, memory, LENGTHS)
    assert context.shape == (B, U, Q)
    assert weights.shape == (B, U, S)
    torch.testing.assert_close(weights.sum(2)[[0, 2]], torch.ones(2, U, dtype=torch.float64), rtol=0, atol=1e-15)
    assert not weights[2, :, 3:].any()
    assert not weights[1].any()
    assert not context[1].any()
    torch.testing.assert_close(context, torch.einsum("bus,bse->bue", weights, memory), rtol=0, atol=1e-14)


@pytest.mark.parametrize("score", SCORES)
def test_padding_changes_nothing_not_even_a_gradient(score: Score) -> None:
    query, memory = inputs()
    spoilt = memory.clone()
    spoilt[1] = torch.nan
    spoilt[2, 3:] = torch.nan
    found = []
    for given in (memory, spoilt):
        layer, given = made(score), given.requires_grad_()
        context, weights = layer(query, given, LENGTHS)
        context.square().sum().backward()
        found.append((context, weights, given.grad, *(p.grad for p in layer.parameters())))
    for a, b in zip(*found, strict=True):
        assert a is not None
        assert torch.equal(a, b)
    short, short_weights = made(score)(query[2:], memory[2:, :3])
    torch.testing.assert_close(found[0][0][2:], short, rtol=0, atol=1e-14)
    torch.testing.assert_close(found[0][1][2:, :, :3], short_weights, rtol=0, atol=1e-15)


@pytest.mark.parametrize("score", SCORES)
def test_one_query_at_a_time_is_all_at_once(score: Score) -> None:
    query, memory = inputs()
    layer = made(score)
    whole = layer(query, memory, LENGTHS)
    keys = layer.keys(memory, LENGTHS)
    for u in range(U):
        one = layer(query[:, u], memory, LENGTHS, keys)
        for a, b in zip(one, whole, strict=True):
            torch.testing.assert_close(a, b[:, u], rtol=0, atol=1e-14)


def test_the_scores_are_those_of_the_papers() -> None:
    query, memory = inputs(E=3)
    q, m = query[0, 1], memory[0]
    layer = made("additive", 3)
    W, b, M, v = layer.queries.weight, layer.queries.bias, layer.memories.weight, layer.values.weight[0]
    wanted = torch.stack([v @ torch.tanh(W @ q + b + M @ m[s]) for s in range(S)]).softmax(0)
    torch.testing.assert_close(layer(query, memory)[1][0, 1], wanted, rtol=0, atol=1e-14)
    layer = made("general", 3)
    wanted = torch.stack([q @ (layer.memories.weight @ m[s]) for s in range(S)]).softmax(0)
    torch.testing.assert_close(layer(query, memory)[1][0, 1], wanted, rtol=0, atol=1e-14)
    query, memory = inputs()
    wanted = torch.stack([query[0, 1] @ memory[0, s] for s in range(S)]).softmax(0)
    torch.testing.assert_close(made("dot")(query, memory)[1][0, 1], wanted, rtol=0, atol=1e-14)
    assert not list(made("dot").parameters())
    assert Attention(4, 3, hidden=7).queries.weight.shape == (7, 4)


@pytest.mark.parametrize("score", SCORES)
def test_gradients(score: Score) -> None:
    query, memory = inputs()
    layer = made(score)
    assert torch.autograd.gradcheck(
        lambda q, m: layer(q, m, LENGTHS), (query.requires_grad_(), memory.requires_grad_())
    )


def test_mistakes_are_said() -> None:
    with pytest.raises(OptionError, match="score is 'genral'; did you mean 'general'"):
        Attention(3, 3, "genral")
    with pytest.raises(OptionError, match="one width, and they have 3 and 4"):
        Attention(3, 4, "dot")
    with pytest.raises(OptionError, match="hidden goes with score 'additive', not 'dot'"):
        Attention(3, 3, "dot", hidden=5)
