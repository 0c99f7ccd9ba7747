from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN

T, B, D, H = 5, 3, 2, 4
LENGTHS = [2, 5, 0]


@pytest.mark.parametrize("cls", [RNN, GRU, LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_trace_is_the_call(close, cls, batch_first):
    module = cls(D, H, num_layers=2, bidirectional=True, batch_first=batch_first, layer_norm=True)
    x = torch.randn((B, T, D) if batch_first else (T, B, D))
    resets = torch.rand(B, T) < 0.3
    trace = module.trace(x, lengths=LENGTHS, resets=resets)
    close((trace.output, trace.state), module(x, lengths=LENGTHS, resets=resets))
    assert [(p.layer, p.direction) for p in trace.parts] == [
        (0, "forward"), (0, "reverse"), (1, "forward"), (1, "reverse")
    ]  # fmt: skip
    ends = trace.state if cls is LSTM else (trace.state,)
    for k, part in enumerate(trace.parts):
        assert list(part.states) == list(module.recurrence.states)
        for values in (*part.states.values(), *part.gates.values()):
            values = values if batch_first else values.transpose(0, 1)
            assert values.shape == (B, T, H)
            assert not bool(values[0, 2:].any())
            assert not bool(values[2].any())
        for name, end in zip(part.states, ends, strict=True):
            states = part.states[name] if batch_first else part.states[name].transpose(0, 1)
            for b, n in enumerate(LENGTHS[:2]):
                close(states[b, n - 1 if part.direction == "forward" else 0], end[k, b])


def test_gates_make_the_states(close):
    x = torch.randn(T, B, D)
    part = LSTM(D, H).trace(x).parts[0]
    i, f, g, o = (part.gates[k] for k in "ifgo")
    h, c = part.states["h"], part.states["c"]
    before = torch.cat([torch.zeros(1, B, H), c[:-1]])
    close(c, f * before + i * g)
    close(h, o * c.tanh())
    for reset_after in (True, False):
        part = GRU(D, H, reset_after=reset_after).trace(x).parts[0]
        h, z, n = part.states["h"], part.gates["z"], part.gates["n"]
        before = torch.cat([torch.zeros(1, B, H), h[:-1]])
        close(h, (1 - z) * n + z * before)


def test_trace_of_one_row_with_state(close):
    module = LSTM(D, H)
    x, state = torch.randn(T, D), (torch.randn(1, H), torch.randn(1, H))
    trace = module.trace(x, state)
    close((trace.output, trace.state), module(x, state))
    assert trace.parts[0].gates["f"].shape == (T, H)
    trace.parts[0].gates["f"].sum().backward()
    assert bool(module.weight_hh_l0.grad.any())


def test_packed_is_refused():
    with pytest.raises(OptionError, match="PackedSequence"):
        GRU(D, H).trace(pack_sequence([torch.zeros(T, D)]))
