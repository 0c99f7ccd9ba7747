"""Steps that no gradient reaches: the compiled kernels leave them out, and nothing else changes."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch
from cpu_calls import F32, F64, SETS, every_recurrence, make, run_cpu, same

from unroll.layers.lstm import LSTM
from unroll.ops import naive
from unroll.ops.cpu import extension

pytestmark = pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing()))


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


@pytest.mark.parametrize("memory", ["save", "recompute"])
@pytest.mark.parametrize("B", [1, 9])
@every_recurrence
def test_gradients_of_few_outputs(close, name, B, memory):
    T = 40
    call = make(name, T, B, 5, 80, F64, ragged=B > 1, cut=True, back=True)
    call = dataclasses.replace(call, memory=memory)
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


def test_a_vanished_gradient_is_as_flushed_and_saves_time(close):
    torch.manual_seed(0)
    layer = LSTM(16, 64, backend="cpu")
    x = torch.randn(1500, 8, 16)
    weights = list(layer.parameters())

    def run(outputs):
        y, (h, _) = layer(x)
        loss = (y if outputs else h).square().sum()
        start = time.perf_counter()
        found = torch.autograd.grad(loss, weights)
        return found, time.perf_counter() - start

    last, _ = run(False)
    assert min(run(False)[1] for _ in range(5)) < 0.6 * min(run(True)[1] for _ in range(5))
    double = LSTM(16, 64, backend="naive", dtype=F64)
    double.load_state_dict(layer.state_dict())
    _, (h, _) = double(x[-400:].double())  # what is earlier has no part in it
    exact = torch.autograd.grad(h.square().sum(), list(double.parameters()))
    close(last, [g.float() for g in exact])
