"""How recurrent weights start."""

from __future__ import annotations

import math

import pytest
import torch

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN

D, H, STEPS = 3, 200, 101


def gates(module, tail="l0"):
    """What each gate's two biases add up to."""
    return (getattr(module, f"bias_ih_{tail}") + getattr(module, f"bias_hh_{tail}")).chunk(module.recurrence.gates)


def check_range(keeping):
    """log U(1, 100): in range and, over 200 draws, spread as it should be."""
    u = keeping.detach().exp()
    assert 0.999 < float(u.min()) < 5
    assert 95 < float(u.max()) < 100.01
    assert abs(float(u.mean()) - 50.5) < 6


@pytest.mark.parametrize("init", ["torch", "orthogonal"])
@pytest.mark.parametrize("tail", ["l0", "l0_reverse", "l1", "l1_reverse"])
def test_an_lstm_remembers(init, tail):
    module = LSTM(D, H, num_layers=2, bidirectional=True, init=init, chrono_init=STEPS)
    i, f, *_ = gates(module, tail)
    check_range(f)
    assert torch.equal(i, -f)
    assert not bool(getattr(module, f"bias_hh_{tail}")[: 2 * H].any())


@pytest.mark.parametrize("reset_after", [True, False])
def test_a_gru_remembers(reset_after):
    module = GRU(D, H, chrono_init=STEPS, reset_after=reset_after)
    r, z, n = gates(module)
    check_range(z)
    assert max(float(b.detach().abs().max()) for b in (r, n)) < 2 / math.sqrt(H)


def test_the_state_fades_as_said(close):
    """With no input and no recurrent weights a unit keeps the share u / (1 + u) of its state at every step."""
    lstm = LSTM(D, 5, chrono_init=20, dtype=torch.float64).requires_grad_(False)
    gru = GRU(D, 5, chrono_init=20, dtype=torch.float64).requires_grad_(False)
    for module in (lstm, gru):
        block = 5 * (module.recurrence.gates - 1)  # of the candidate g (before o) or n
        for name, p in module.named_parameters():
            if name.startswith("weight"):
                p.zero_()
            else:
                p[(10 if module is lstm else block) :].zero_()
    x, ones = torch.zeros(3, 1, D, dtype=torch.float64), torch.ones(1, 1, 5, dtype=torch.float64)
    _, (_, c) = lstm(x, (ones, ones))
    u = gates(lstm)[1].exp()
    close(c.flatten(), (u / (1 + u)) ** 3)
    _, h = gru(x, ones)
    u = gates(gru)[1].exp()
    close(h.flatten(), (u / (1 + u)) ** 3)


def test_two_steps_are_the_least():
    assert not bool(gates(LSTM(D, H, chrono_init=2))[1].any())
    for steps in (1, -3, True, 2.0, "4"):
        with pytest.raises(OptionError, match=r"chrono_init is .*at least 2, or 0"):
            GRU(D, H, chrono_init=steps)


def test_remember_beside_others():
    with pytest.raises(OptionError, match="forget_bias and chrono_init"):
        LSTM(D, H, chrono_init=10, forget_bias=1.0)
    for cls in (LSTM, GRU):
        with pytest.raises(OptionError, match="chrono_init needs bias=True"):
            cls(D, H, chrono_init=10, bias=False)
    for options in ({"chrono_init": 10}, {"forget_bias": 1.0}):
        with pytest.raises(OptionError, match="starts the gate that keeps the state, and 'rnn_tanh' has none"):
            RNN(D, H, **options)


@pytest.mark.parametrize("cls", [LSTM, GRU])
def test_remember_leaves_the_other_weights_as_they_were(cls):
    torch.manual_seed(3)
    plain = cls(D, 4, num_layers=2)
    torch.manual_seed(3)
    module = cls(D, 4, num_layers=2, chrono_init=10)
    assert "chrono_init=10" in repr(module)
    assert "chrono_init" not in repr(plain)
    for (name, p), q in zip(module.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q) == name.startswith("weight")


def test_remember_can_be_had_on_the_meta_device():
    with torch.device("meta"):
        assert LSTM(D, H, chrono_init=10).bias_ih_l0.is_meta
