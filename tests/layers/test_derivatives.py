"""Derivatives of every order, and what autograd promises about graphs."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

from helpers.recurrences import every_recurrence, layer
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM

T, B, D, H = 3, 2, 2, 2
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]


def functional(module, **call):
    names = list(dict(module.named_parameters()))

    def run(x, *values):
        parameters = dict(zip(names, values, strict=True))
        y, end = torch.func.functional_call(module, parameters, (x,), call)
        return (y, *end) if isinstance(end, tuple) else (y, end)

    return run


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@every_recurrence
def test_first_and_second_derivative(name, ragged, backend):
    module = layer(name, D, H, backend, dtype=torch.float64, bidirectional=ragged)
    call = {"lengths": [3, 2], "resets": torch.tensor([[False, True, False], [True, False, False]])}
    run = functional(module, **(call if ragged else {}))
    x = torch.randn(T, B, D, dtype=torch.float64).requires_grad_()
    inputs = (x, *(p.detach().clone().requires_grad_() for p in module.parameters()))
    assert gradcheck(run, inputs, fast_mode=True)
    assert gradgradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("backend", ["auto", "torch", "cpu"])
@every_recurrence
def test_second_derivative_in_float32_is_that_of_the_definition(close, name, backend):
    fast, slow = layer(name, D, H, backend), layer(name, D, H, "naive")
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(T, B, D).requires_grad_()
    found = []
    for module in (fast, slow):
        y, _ = module(x, lengths=[3, 2])
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(g.square().sum(), [x, *module.parameters()], allow_unused=True))
    close(*found)


@pytest.mark.parametrize("backend", ["torch", "cpu"])
def test_second_derivative_where_inputs_depend_on_each_other(close, backend):
    fast, slow = GRU(D, D, dtype=torch.float64, backend=backend), GRU(D, D, dtype=torch.float64, backend="naive")
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(T, B, D, dtype=torch.float64).requires_grad_()
    found = []
    for module in (fast, slow):
        y, _ = module(x, x[:1] * 2)
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append((g, *torch.autograd.grad(g.square().sum(), [x])))
    close(*found)


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_backward_twice(close, backend):
    module = LSTM(D, H, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    y, _ = module(x)
    first = torch.autograd.grad(y.sum(), x, retain_graph=True)
    close(torch.autograd.grad(y.sum(), x, retain_graph=True), first)
    close(torch.autograd.grad(y.sum(), x), first)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y.sum(), x)


@pytest.mark.parametrize("which", ["input", "weight"])
@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_change_in_place_is_noticed(backend, which):
    module = LSTM(D, H, backend=backend)
    leaf = torch.randn(T, B, D).requires_grad_()
    x = leaf * 1
    y, _ = module(x)
    with torch.no_grad():
        (x if which == "input" else module.weight_hh_l0).mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_output_may_be_changed_in_place(close, backend):
    ours, theirs = GRU(D, H, backend=backend), nn.GRU(D, H)
    theirs.load_state_dict(ours.state_dict())
    for module in (ours, theirs):
        y, h = module(torch.ones(T, B, D))
        h += 1
        (y.sum() + h.square().sum()).backward()
    close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_frozen_parameters_and_unused_outputs(close, backend):
    module = LSTM(D, H, num_layers=2, bidirectional=True, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    _, (h, c) = module(x, lengths=[2, 3])
    wanted = torch.autograd.grad(c[0].sum(), [x, module.weight_ih_l0])
    module.weight_hh_l0.requires_grad_(False)
    _, (h, c) = module(x, lengths=[2, 3])
    c[0].sum().backward()
    close([x.grad, module.weight_ih_l0.grad], wanted)
    assert module.weight_hh_l0.grad is None
    assert module.weight_ih_l0_reverse.grad is None or not bool(module.weight_ih_l0_reverse.grad.any())
    assert h.requires_grad


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_graph_is_released(backend):
    module = LSTM(D, H, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    y, end = module(x, lengths=[2, 3])
    node = weakref.ref(y.grad_fn)
    gc.disable()
    try:
        y.sum().backward()
        del y, end
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("backend", ["naive", "torch"])
def test_inner_graph_goes_with_backward(backend):
    module = GRU(D, H, backend=backend)
    y, _ = module(torch.randn(T, B, D))
    assert y.grad_fn.rule.inner is not None
    y.sum().backward()
    assert y.grad_fn.rule.inner is None


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@every_recurrence
def test_less_memory_gives_the_same_numbers(close, name, backend):
    module = layer(name, D, H, backend, dtype=torch.float64, num_layers=2, bidirectional=True)
    x = torch.randn(T, B, D, dtype=torch.float64).requires_grad_()
    found = []
    for recompute in (False, True):
        module.recompute = recompute
        y, _ = module(x, lengths=[3, 2])
        once = torch.autograd.grad(y.square().sum(), [x, *module.parameters()], retain_graph=True)
        again = torch.autograd.grad(y.square().sum(), [x, *module.parameters()], retain_graph=True)
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append([y, *once, *again, g, *torch.autograd.grad(g.square().sum(), x)])
    close(*found)
    with torch.no_grad():
        close(module(x, lengths=[3, 2])[0], found[0][0])


@pytest.mark.parametrize("backend", ["naive", "torch"])
def test_no_inner_graph_where_memory_is_to_be_spared(backend):
    y, _ = GRU(D, H, backend=backend, recompute=True)(torch.randn(T, B, D))
    assert y.grad_fn.rule.inner is None
    y.sum().backward(retain_graph=True)
    assert y.grad_fn.rule.inner is None


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing(close, reentrant, backend):
    module = LSTM(D, H, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    module(x, lengths=[2, 3])[0].sum().backward()
    wanted = [x.grad, *(p.grad for p in module.parameters())]
    x.grad = None
    module.zero_grad()
    y = checkpoint(lambda v: module(v, lengths=[2, 3])[0], x, use_reentrant=reentrant)
    y.sum().backward()
    close([x.grad, *(p.grad for p in module.parameters())], wanted)


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_saved_tensors_may_be_moved_away(close, backend):
    module = LSTM(D, H, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    (wanted,) = torch.autograd.grad(module(x)[0].sum(), x)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(force=True), torch.from_numpy):
        y, _ = module(x)
    close(torch.autograd.grad(y.sum(), x), (wanted,))
