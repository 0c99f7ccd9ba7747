"""`layer.step` by the kernel made for it: the same numbers as `forward`, and only where it can serve."""

from __future__ import annotations

import itertools
import os

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from helpers.recurrences import every_recurrence, layer
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.ops.cpu import extension
from unroll.ops.cpu import step as live

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(extension.kernels is None, reason=str(extension.missing())),
]


def states(state):
    return list(state) if isinstance(state, tuple) else [state]


@pytest.fixture
def quick(monkeypatch):
    """How many steps the kernel served."""
    served = []
    real = live.step

    def step(*arguments):
        done = real(*arguments)
        served.append(done is not None)
        return done

    monkeypatch.setattr(live, "step", step)
    return served


def test_the_kernels_are_here_where_they_are_required():
    assert os.environ.get("UNROLL_REQUIRE_KERNELS") != "1" or extension.missing() is None


@every_recurrence
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("isa", [] if extension.kernels is None else extension.kernels.instruction_sets())
def test_steps_are_the_sequence(close, quick, name, dtype, isa):
    extension.kernels.use(isa)
    for B, (D, H), layers, bias in itertools.product(
        (1, 2, 5, 6, 17), ((1, 4), (7, 33), (64, 16)), (1, 3), (True, False)
    ):
        module = layer(name, D, H, num_layers=layers, bias=bias, dtype=dtype)
        x = torch.randn(4, B, D, dtype=dtype)
        with torch.no_grad():
            whole, end = module(x)
            y, state = module.step(x[0])
            parts = [y]
            for x_t in x[1:]:
                y, state = module.step(x_t, state)
                parts.append(y)
        assert module.used == (("cpu", {}),)
        close(torch.stack(parts), whole)
        close(states(state), states(end))
    assert quick
    assert all(quick)


@every_recurrence
def test_what_it_cannot_serve_goes_the_long_way(close, quick, name):
    module = layer(name, 6, 8, dtype=torch.float64)
    x = torch.randn(3, 6, dtype=torch.float64)
    with torch.no_grad():
        _, state = module.step(x)
        wanted, end = module(x.unsqueeze(0), state)
        quick.clear()
        two = len(states(state)) == 2
        for s in ([torch.randn(1, s.shape[2], 3, dtype=s.dtype).transpose(1, 2) for s in states(state)], states(state)):
            given = tuple(s) if two else s[0]
            spread, _ = module(x.unsqueeze(0), given)
            y, _ = module.step(x.repeat(1, 2)[:, :6], given)
            close(y, spread[0])
        negated = [torch._neg_view(-s) for s in states(state)]
        y, after = module.step(x, tuple(negated) if two else negated[0])
        close(y, wanted[0])
        close(states(after), states(end))
        assert not any(quick)
        with pytest.raises(RuntimeError):
            module.step(x[:2], state)
        with pytest.raises(RuntimeError):
            module.step(x[:, :5], state)
    y, _ = module.step(x, state)
    y.sum().backward()
    assert float(module.weight_ih_l0.grad.abs().sum()) > 0


@every_recurrence
@pytest.mark.parametrize("form", ["bfloat16", "float16", "autocast"])
def test_steps_of_16_bits_are_the_sequence(close, quick, name, form):
    low = torch.float16 if form == "float16" else torch.bfloat16
    dtype = torch.float32 if form == "autocast" else low
    for B, layers, bias in itertools.product((1, 3), (1, 3), (True, False)):
        module = layer(name, 7, 33, num_layers=layers, bias=bias, dtype=dtype)
        x = torch.randn(4, B, 7, dtype=dtype)
        exact = layer(name, 7, 33, num_layers=layers, bias=bias, dtype=torch.float64)
        exact.load_state_dict(module.state_dict())
        with torch.no_grad(), torch.autocast("cpu", dtype=low, enabled=form == "autocast"):
            whole, end = module(x)
            wanted, _ = exact(x.double())
            y, state = module.step(x[0])
            parts = [y]
            for x_t in x[1:]:
                y, state = module.step(x_t, state)
                parts.append(y)
        assert module.used == (("cpu", {}),)
        close(torch.stack(parts).to(low), whole.to(low))
        close([s.to(low) for s in states(state)], [s.to(low) for s in states(end)])
        close(torch.stack(parts).to(low), wanted.to(low))
    assert len(quick) == 3 * 8
    assert all(quick)


def test_steps_of_16_bits_refuse_what_does_not_fit(quick):
    module = GRU(6, 8)
    x, h = torch.randn(2, 6), torch.randn(1, 2, 8)
    with torch.no_grad():
        with pytest.raises(ValueError, match="does not match weight dtype"):
            module.step(x.bfloat16(), h.bfloat16())
        with pytest.raises(RuntimeError, match="same dtype"):
            module.bfloat16().step(x.bfloat16(), h)
        with torch.autocast("cpu"), pytest.raises(RuntimeError, match="Double"):
            module.float().step(x, h.double())
    assert not any(quick)


@every_recurrence
def test_swapped_and_parametrized_weights_are_noticed(close, name):
    module = layer(name, 6, 8)
    x = torch.randn(2, 6)
    with torch.no_grad():
        _, state = module.step(x)
        for change in (
            lambda: setattr(module.weight_hh_l0, "data", torch.randn_like(module.weight_hh_l0)),
            lambda: module.weight_ih_l0.mul_(-2),
            lambda: parametrize.register_parametrization(module, "weight_hh_l0", nn.Tanh()),
        ):
            change()
            close(module.step(x, state)[0], module(x.unsqueeze(0), state)[0][0])


@every_recurrence
def test_outputs_are_memory_of_their_own(name):
    module = layer(name, 6, 8)
    with torch.inference_mode():
        _, state = module.step(torch.randn(2, 6))
        before = [s.clone() for s in states(state)]
        y, after = module.step(torch.randn(2, 6), state)
        kept = [s.clone() for s in states(after)]
        y.zero_()
    assert all(torch.equal(a, b) for a, b in zip(states(state), before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(states(after), kept, strict=True))


def test_pruned_missing_and_dropped_out(close):
    for name, weight in (("gru", "bias_ih_l0"), ("projected", "weight_hr_l0"), ("lstm", "weight_hh_l0")):
        module = layer(name, 6, 8)
        prune.l1_unstructured(module, weight, 1)
        x = torch.randn(2, 6)
        with torch.no_grad():
            _, state = module.step(x)
            close(module.step(x, state)[0], module(x.unsqueeze(0), state)[0][0])
    module = GRU(6, 8, num_layers=2, dropout=0.5)
    with torch.no_grad():
        _, state = module.step(x)
        assert not torch.equal(module.step(x, state)[0], module.eval().step(x, state)[0])
        with pytest.raises((RuntimeError, TypeError)):
            LSTM(6, 8).step(x, torch.zeros(2, 1, 2, 8))
