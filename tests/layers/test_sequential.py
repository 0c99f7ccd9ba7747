"""Recurrent stacks one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.testing import assert_close

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN
from unroll.layers.sequential import RecurrentSequential
from unroll.layers.twins import to_torch

B, T, D = 3, 5, 2
LENGTHS = [5, 0, 3]
RESETS = torch.tensor([[t == b + 1 for t in range(T)] for b in range(B)])


def chain(dtype=torch.float64, **options):
    options = {"batch_first": True, "dtype": dtype, **options}
    first = LSTM(D, 4, num_layers=2, **options)
    return RecurrentSequential(
        [first, GRU(first.features, 3, **options), LSTM(GRU(1, 3, **options).features, 2, **options)]
    )


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_chain_is_its_parts_in_turn(bidirectional):
    module = chain(bidirectional=bidirectional)
    x = torch.randn(B, T, D, dtype=torch.float64)
    want = x
    ends = []
    for part in module:
        want, end = part(want, lengths=LENGTHS, resets=RESETS)
        ends.append(end)
    y, states = module(x, lengths=LENGTHS, resets=RESETS)
    assert torch.equal(y, want)
    assert torch.equal(states[1], ends[1])
    assert torch.equal(states[2][1], ends[2][1])
    again, _ = module(x, (None, states[1], None), lengths=LENGTHS)
    assert not torch.equal(again, y)


def test_one_layer_each_is_one_stack_of_them(close):
    stack = LSTM(D, 4, num_layers=3)
    parts = [LSTM(D if k == 0 else 4, 4) for k in range(3)]
    for k, part in enumerate(parts):
        named = {n: p for n, p in stack.state_dict().items() if n.endswith(f"_l{k}")}
        part.load_state_dict({n.replace(f"_l{k}", "_l0"): p for n, p in named.items()})
    x = torch.randn(T, B, D)
    y, states = RecurrentSequential(parts)(x, lengths=LENGTHS)
    want, (h, c) = stack(x, lengths=LENGTHS)
    close(y, want)
    close(torch.cat([s[0] for s in states]), h)
    close(torch.cat([s[1] for s in states]), c)


def test_locked_dropout_between_parts_is_that_between_layers(close):
    stack = GRU(D, 8, num_layers=2, hidden_dropout=0.5)
    parts = RecurrentSequential([GRU(D, 8), GRU(8, 8, input_dropout=0.5)])
    parts.load_state_dict({f"{n[-1]}.{n[:-1]}0": p for n, p in stack.state_dict().items()})
    x = torch.randn(T, B, D)
    torch.manual_seed(5)
    want, _ = stack(x)
    torch.manual_seed(5)
    close(parts(x)[0], want)


@pytest.mark.parametrize("grad", [False, True])
def test_steps_and_chunks_are_the_sequence(grad):
    module = chain()
    x = torch.randn(B, T, D, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        y, states = module(x)
        first, state = module(x[:, :2])
        rest, end = module(x[:, 2:], state)
        assert_close(torch.cat([first, rest], 1), y, rtol=0, atol=1e-12)
        assert_close(end, states, rtol=0, atol=1e-12)
        state = None
        for t in range(T):
            y_t, state = module.step(x[:, t], state)
            assert_close(y_t, y[:, t], rtol=0, atol=1e-12)
        assert_close(state, states, rtol=0, atol=1e-12)


def test_gradients_reach_every_part():
    module = chain()
    module(torch.randn(B, T, D, dtype=torch.float64))[0].sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_what_a_chain_says_of_itself():
    module = chain(dtype=torch.float32)
    assert [type(p).__name__ for p in module] == ["LSTM", "GRU", "LSTM"]
    assert (len(module), module.input_size, module.features, module.bidirectional) == (3, D, 2, False)
    assert module.used == ()
    module(torch.randn(B, T, D))
    assert module.used == module[0].used
    module[1].backend = "naive"
    module(torch.randn(B, T, D))
    assert [u.backend for u in module.used] == [module[0].used[0].backend, "naive"]
    assert next(iter(module.state_dict())) == "0.weight_ih_l0"
    twin = copy.deepcopy(module)
    assert twin.state_dict().keys() == module.state_dict().keys()
    twin.reset_parameters()
    assert not torch.equal(twin[2].weight_hh_l0, module[2].weight_hh_l0)
    assert chain(bidirectional=True).bidirectional


def test_packed_in_packed_out():
    module = chain()
    rows = [torch.randn(n, D, dtype=torch.float64) for n in (3, 5, 1)]
    y, _ = module(pack_sequence(rows, enforce_sorted=False))
    assert isinstance(y, PackedSequence)
    alone, _ = module(rows[1].unsqueeze(0))
    assert_close(y.data[0], alone[0, 0], rtol=0, atol=1e-12)


def test_parts_that_do_not_fit():
    with pytest.raises(OptionError, match="at least one part"):
        RecurrentSequential([])
    with pytest.raises(OptionError, match="part 1 of the chain takes 4 features, but part 0 gives 8"):
        RecurrentSequential([GRU(D, 4, bidirectional=True), GRU(4, 4)])
    with pytest.raises(OptionError, match="part 1 of the chain has batch_first=True"):
        RecurrentSequential([RNN(D, 4), GRU(4, 4, batch_first=True)])


def test_states_that_do_not_fit():
    module = chain(dtype=torch.float32)
    x = torch.randn(B, T, D)
    with pytest.raises(OptionError, match="takes a tuple of 3 states, got 2"):
        module(x, (None, None))
    with pytest.raises(OptionError, match="takes a tuple of 3 states, got Tensor"):
        module.step(x[:, 0], torch.zeros(3))
    with pytest.raises(OptionError, match=r"no step\(\)"):
        chain(bidirectional=True).step(x[:, 0])


def test_a_chain_of_torch_layers_is_called_without_lengths():
    chain = RecurrentSequential([LSTM(3, 4), GRU(4, 2)])
    x = torch.randn(5, 2, 3)
    assert_close(to_torch(chain)(x)[0], chain(x)[0])
