"""Steps that no gradient reaches: the compiled kernels leave them out, and nothing else changes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from cpu_calls import F32, F64, SETS, make, run_cpu, same

from helpers.recurrences import every_recurrence
from unroll.layers.lstm import LSTM
from unroll.ops import naive
from unroll.ops.cpu import extension

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing())),
]


@pytest.fixture(autouse=True)
def restored():
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)  # uninitialized memory holds NaN
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def gradients(call, run, dy, dstate=None):
    leaves = [t for t in call.tensors if t is not None and t.requires_grad]
    y, state = run(call)
    outputs, grads = ([y], [dy]) if dstate is None else ([y, *state], [dy, *dstate])
    return torch.autograd.grad(outputs, leaves, grads, allow_unused=True)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("B", [1, 9])
@every_recurrence
def test_gradients_of_few_outputs(close, name, B, recompute):
    T = 40
    call = make(name, T, B, 5, 80, F64, ragged=B > 1, cut=True, back=True)
    call = dataclasses.replace(call, recompute=recompute)
    dy = torch.zeros(T, B, call.state[0].shape[1], dtype=F64)
    dy[20, ::2] = 1.0
    dy[33, 0] = -1.0
    wanted = gradients(call, naive.run, dy)
    for isa in SETS:
        extension.kernels.use(isa)
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(gradients(call, run_cpu, dy))
        close(found[0], wanted, isa)
        same(found[1], found[0])
        same(found[2], found[0])


@every_recurrence
def test_no_gradient_at_all_is_zeros(name):
    call = make(name, 7, 3, 4, 17, F32, ragged=True)
    dy = torch.zeros(7, 3, call.state[0].shape[1])
    for gradient in gradients(call, run_cpu, dy):
        assert gradient is None or not bool(gradient.any())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@every_recurrence
def test_zero_times_infinity_stays_visible(name, value):
    call = make(name, 9, 2, 3, 5, F64)
    x = call.x.detach().clone()
    x[6, 1, 2] = value
    call = dataclasses.replace(call, x=x.requires_grad_())
    dy = torch.zeros(9, 2, call.state[0].shape[1], dtype=F64)
    dy[2] = 1.0
    wanted = gradients(call, naive.run, dy)[1]  # of the input's weights
    found = gradients(call, run_cpu, dy)[1]
    assert bool(wanted.isnan().any())
    assert bool(found.isnan()[wanted.isnan()].all())


def test_threads_that_share_a_row_may_have_a_gradient_in_some_units_only(close):
    call = make("lstm", 12, 2, 256, 256, F64)
    dy = torch.zeros(12, 2, 256, dtype=F64)
    dy[7, :, :4] = 1.0  # of the first thread's units
    dy[9, 1, 250] = 1.0
    wanted = gradients(call, naive.run, dy)
    for isa in SETS:
        extension.kernels.use(isa)
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(gradients(call, run_cpu, dy))
            close(found[-1], wanted, f"{isa}, {threads} threads")
        same(found[1], found[0])
        same(found[2], found[0])


def test_an_infinite_state_stays_visible():
    call = make("lstm", 5, 2, 3, 5, F64)
    c = call.state[1].detach().clone()
    c[0, 2] = float("inf")
    call = dataclasses.replace(call, state=(call.state[0], c.requires_grad_()))
    dy = torch.zeros(5, 2, 5, dtype=F64)
    dy[3, 1] = 1.0
    wanted, found = (gradients(call, run, dy)[1] for run in (naive.run, run_cpu))
    assert bool(wanted.isnan().any())
    assert bool(found.isnan()[wanted.isnan()].all())


def test_a_vanished_gradient_is_that_of_the_last_steps(close):
    layer = LSTM(16, 64, backend="cpu")
    x = torch.randn(1500, 8, 16)
    _, (h, _) = layer(x)
    found = torch.autograd.grad(h.square().sum(), list(layer.parameters()))
    double = LSTM(16, 64, backend="naive", dtype=F64)
    double.load_state_dict(layer.state_dict())
    _, (h, _) = double(x[-400:].double())
    exact = torch.autograd.grad(h.square().sum(), list(double.parameters()))
    close(found, [g.float() for g in exact])
