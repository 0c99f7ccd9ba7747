"""The compiled kernels against the definition: every output and gradient, and what they promise bit for bit."""

from __future__ import annotations

import dataclasses
import importlib
import os
import random
import runpy
import subprocess
import sys
import threading

import pytest
import torch
from cpu_calls import CPU, F32, F64, SETS, make, results, run_cpu, same
from torch import nn

from helpers.recurrences import KINDS, every_recurrence, weights
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.ops import naive
from unroll.ops.backends import choose
from unroll.ops.call import Call, Sizes
from unroll.ops.cpu import extension
from unroll.ops.elman import TANH
from unroll.ops.lstm import LSTM as LSTM_RECURRENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing())),
]


@pytest.fixture(autouse=True)
def restored():
    threads, chosen = torch.get_num_threads(), extension.kernels.instruction_set()
    yield
    torch.set_num_threads(threads)
    extension.kernels.use(chosen)


SIZES = [(1, 1, 1, 1), (7, 3, 1, 17), (7, 63, 7, 1), (1, 7, 63, 33), (13, 2, 5, 100), (100, 7, 17, 33)]


@pytest.mark.parametrize("dtype", [F64, F32], ids=["float64", "float32"])
@every_recurrence
def test_is_the_definition(close, name, dtype):
    for T, B, D, H in SIZES:
        for plain in (True, False):
            more = {} if plain else {"ragged": True, "cut": True, "back": H != 33, "reverse": True}
            call = make(name, T, B, D, H, dtype, bias=plain or H == 1, **more)
            wanted = results(call, naive.run)
            for isa in SETS:
                extension.kernels.use(isa)
                for recompute in (False, True):
                    found = results(dataclasses.replace(call, recompute=recompute), run_cpu)
                    close(found, wanted, f"{(T, B, D, H)} {isa} {recompute} {'plain' if plain else 'cut'}")


def odd_layout(x, how):
    """The same numbers, laid out otherwise."""
    T, B, D = x.shape
    if how == "rows first":
        return x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_(x.requires_grad)
    if how == "features apart":
        return x.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_(x.requires_grad)
    if how == "with gaps":
        wide = torch.full((T, B + 2, D + 3), float("nan"), dtype=x.dtype)
        wide[:, 1:-1, 2:-1] = x.detach()
        return wide[:, 1:-1, 2:-1].requires_grad_(x.requires_grad)
    return x


@pytest.mark.parametrize("seed", range(60))
def test_any_call_is_the_definition(close, seed):
    torch.manual_seed(seed)
    draw = random.Random(seed)  # noqa: S311  # no secret
    T, B, D, H = (draw.choice(s) for s in ([1, 2, 7, 20], [1, 2, 5, 17], [1, 3, 16, 31], [1, 4, 17, 48]))
    call = make(
        draw.choice(list(KINDS)),
        T,
        B,
        D,
        H,
        draw.choice([F32, F64]),
        ragged=draw.random() < 0.5,
        cut=draw.random() < 0.5,
        back=draw.random() < 0.5,
        bias=draw.random() < 0.7,
        reverse=draw.random() < 0.5,
        recompute=draw.choice([False, True]),
    )
    call = dataclasses.replace(
        call, x=odd_layout(call.x, draw.choice(["", "rows first", "features apart", "with gaps"]))
    )
    if draw.random() < 0.3:
        call = dataclasses.replace(call, state=tuple(s[:1].detach().expand(B, -1) for s in call.state))
    if call.resets is not None and draw.random() < 0.5:
        call = dataclasses.replace(call, resets=call.resets.t().contiguous().t())
    if draw.random() < 0.3:
        w = call.weights
        call = dataclasses.replace(call, weights={**w, "weight_hh": w["weight_hh"].detach().t().contiguous().t()})
    for t in call.tensors:
        if t is not None and t.is_leaf and t.is_floating_point():
            t.requires_grad_(draw.random() < 0.7)
    grads = draw.sample(range(1 + len(call.state)), draw.randint(1, 1 + len(call.state)))
    torch.set_num_threads(draw.choice([1, 2, 3]))
    extension.kernels.use(draw.choice(SETS))
    close(results(call, run_cpu, grads), results(call, naive.run, grads))


@pytest.mark.parametrize("B", [2, 37])
@every_recurrence
def test_threads_change_no_bit(name, B):
    call = make(name, 9, B, 40, 96, F32, ragged=True, cut=True, back=True)
    for isa in SETS:
        extension.kernels.use(isa)
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(results(call, run_cpu))
        same(found[1], found[0])
        same(found[2], found[0])


@pytest.mark.parametrize("dtype", [F64, F32], ids=["float64", "float32"])
@every_recurrence
def test_a_row_alone_is_the_row_in_a_batch_bit_for_bit(name, dtype):
    T, B = 11, 9
    call = make(name, T, B, 5, 33, dtype, ragged=True, cut=True, back=True, leaves=False)
    dy = torch.randn(T, B, call.state[0].shape[1], dtype=dtype)

    def rows(call, dy):
        x = call.x.clone().requires_grad_()
        y, state = run_cpu(dataclasses.replace(call, x=x))
        (dx,) = torch.autograd.grad([y, *state], x, [dy, *(torch.ones_like(s) for s in state)])
        return [y, dx, *state]

    for isa in SETS:
        extension.kernels.use(isa)
        y, dx, *state = rows(call, dy)
        for b in range(B):
            one = slice(b, b + 1)
            alone = dataclasses.replace(
                call,
                x=call.x[:, one],
                state=tuple(s[one] for s in call.state),
                lengths=call.lengths[one],
                resets=call.resets[:, one],
            )
            same(rows(alone, dy[:, one]), [y[:, one], dx[:, one], *(s[one] for s in state)])


@every_recurrence
def test_memory_changes_no_output(close, name):
    call = make(name, 20, 6, 7, 33, F32, ragged=True, cut=True)
    less = dataclasses.replace(call, recompute=True)
    same(results(less, run_cpu)[: 1 + len(call.state)], results(call, run_cpu)[: 1 + len(call.state)])
    close(results(less, run_cpu), results(call, run_cpu))
    with torch.no_grad():
        same(run_cpu(call).state, run_cpu(less).state)


def kept_bytes(call):
    """What autograd keeps besides the call's own tensors."""
    sizes = {}

    def pack(tensor):
        sizes[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run_cpu(call)
    given = {t.data_ptr() for t in call.tensors if t is not None}
    return sum(n for at, n in sizes.items() if at not in given)


@every_recurrence
def test_memory_is_less_where_it_is_to_be(name):
    call = make(name, 50, 8, 4, 64, F32)
    less = kept_bytes(dataclasses.replace(call, recompute=True))
    assert less <= (0.55 * kept_bytes(call) if call.recurrence.gates > 1 else kept_bytes(call))


@pytest.mark.parametrize("recompute", [False, True])
def test_backward_again(recompute):
    call = make("lstm", 5, 3, 4, 6, F32, recompute=recompute)
    y, _ = run_cpu(call)
    leaves = [t for t in call.tensors if t is not None]
    first = torch.autograd.grad(y.sum(), leaves, retain_graph=True)
    same(torch.autograd.grad(y.sum(), leaves, retain_graph=True), first)
    same(torch.autograd.grad(y.sum(), leaves), first)


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("dtype", [F32, F64], ids=["float32", "float64"])
def test_activations(isa, dtype):
    extension.kernels.use(isa)
    far = torch.logspace(-30, 2, 4000, dtype=F64)
    v = torch.cat([torch.linspace(-20, 20, 400_001, dtype=F64), far, -far, torch.tensor([0.0, 1e30, -1e30])]).to(dtype)
    zero, one = torch.zeros(len(v), 1, dtype=dtype), torch.ones(1, 1, dtype=dtype)
    ones = {"weight_ih": one, "weight_hh": one}
    digits, most = (24, 2.0 if isa == "avx512" else 2.5) if dtype == F32 else (53, 4.0)  # what the docs promise

    def ulps(found, wanted, least):
        wanted = torch.where(wanted.abs() < least, found.double().clamp(max=2 * least), wanted)  # there, only small
        unit = torch.exp2((wanted.frexp().exponent - digits).double())
        return float(((found - wanted).abs() / unit).max())

    y, _ = run_cpu(Call(TANH, v.view(1, -1, 1), (zero,), ones))
    assert ulps(y.flatten(), v.double().tanh(), 1e-37) <= most
    forget = {
        "weight_ih": torch.tensor([[0.0], [1.0], [0.0], [0.0]], dtype=dtype),
        "weight_hh": torch.zeros(4, 1, dtype=dtype),
    }
    _, (_, c) = run_cpu(Call(LSTM_RECURRENCE, v.view(1, -1, 1), (zero, zero + 1), forget))
    assert ulps(c.flatten(), v.double().sigmoid(), 1e-30) <= most
    for value in (float("nan"), float("inf"), -float("inf")):
        y, _ = run_cpu(
            Call(TANH, torch.full((1, 1, 1), value, dtype=dtype), (zero[:1],), {"weight_ih": one, "weight_hh": one})
        )
        torch.testing.assert_close(y.item(), torch.tensor(value).tanh().item(), equal_nan=True)


def test_several_threads_of_a_program_at_once():
    torch.set_num_threads(2)
    calls = [make(name, 20, 9, 16, 48, F32, ragged=True) for name in KINDS]
    wanted = [results(c, run_cpu) for c in calls]
    found: list[list] = [[] for _ in calls]

    def work(i):
        torch.set_num_threads(2)
        for _ in range(5):
            found[i] = results(calls[i], run_cpu)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive()
    for f, w in zip(found, wanted, strict=True):
        same(f, w)


FORK = """
import os, signal, torch
from unroll.layers.lstm import LSTM
torch.set_num_threads(2)
module, x = LSTM(64, 96, backend="cpu"), torch.randn(12, 40, 64)
def gradients():
    y, _ = module(x)
    return [y, *torch.autograd.grad(y.square().sum(), list(module.parameters()))]
wanted = gradients()
child = os.fork()
if child == 0:
    signal.alarm(30)
    with torch.no_grad():
        y, _ = module(x)
    torch.set_num_threads(1)  # PyTorch's own operations wait for threads that the child does not have
    os._exit(0 if torch.equal(y, wanted[0]) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert all(torch.equal(a, b) for a, b in zip(gradients(), wanted))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_computes():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.returncode) == ("0", 0), done.stderr


def kept(values):
    return int((values * 1.0).count_nonzero())


@pytest.mark.parametrize("flushing", [False, True])
def test_subnormals_are_flushed_inside_and_the_mode_is_given_back(flushing):
    torch.set_num_threads(2)
    tiny = torch.full((1_000_000,), 1e-39)
    call = make("gru", 6, 30, 16, 64, F32)
    torch.set_flush_denormal(flushing)
    try:
        before = kept(tiny)
        y, _ = run_cpu(call)
        leaves = [t for t in call.tensors if t is not None]
        grads = torch.autograd.grad(y, leaves, torch.full_like(y, 3e-38))
        assert kept(tiny) == before
    finally:
        torch.set_flush_denormal(False)
    smallest = torch.finfo(F32).smallest_normal
    assert all(not bool(((g.abs() > 0) & (g.abs() < smallest)).any()) for g in grads)


def test_no_rows_and_no_steps():
    call = make("lstm", 4, 0, 3, 5)
    assert [t.shape for t in results(call, run_cpu)[:4]] == [(4, 0, 5), (0, 5), (0, 5), (4, 0, 3)]
    assert all(not bool(g.any()) for g in results(call, run_cpu)[3:])
    call = dataclasses.replace(make("lstm", 4, 2, 3, 5), lengths=torch.zeros(2, dtype=torch.int64))
    y, h, c, *grads = results(call, run_cpu)
    assert not bool(y.any())
    same([h, c], call.state)
    assert not bool(grads[0].any())


def test_a_part_of_the_outputs_gradient_may_be_missing(close):
    call = make("lstm", 5, 3, 4, 6, ragged=True)
    for grads in ([0], [1], [2], [0, 2], [1, 2]):
        close(results(call, run_cpu, grads), results(call, naive.run, grads))


@pytest.mark.parametrize("recompute", [False, True])
@every_recurrence
def test_each_gradient_alone(close, name, recompute):
    call = make(name, 6, 3, 4, 5, ragged=True, cut=True, back=True, recompute=recompute)
    y, state = run_cpu(call)
    leaves = [i for i, t in enumerate(call.tensors) if t is not None and t.requires_grad]
    loss = y.square().sum() + sum(s.sum() for s in state)
    wanted = torch.autograd.grad(loss, [call.tensors[i] for i in leaves], allow_unused=True)
    for i, w in zip(leaves, wanted, strict=True):
        alone = [None if t is None else t.detach().requires_grad_(j == i) for j, t in enumerate(call.tensors)]
        y, state = run_cpu(call.form.call(tuple(alone)))
        close(torch.autograd.grad(y.square().sum() + sum(s.sum() for s in state), alone[i]), (w,), str(i))


def test_gradients_in_every_layout(close):
    call = make("gru", 5, 3, 4, 6)
    found = []
    for run in (naive.run, run_cpu):
        y, _ = run(call)
        imaginary = torch.complex(torch.zeros_like(y), y)  # its gradient is a view that stands for other numbers
        outer = (imaginary.conj() * torch.arange(6)).imag.sum() + y.sum() + y.transpose(0, 2).reshape(-1)[::2].sum()
        found.append(torch.autograd.grad(outer, call.x)[0])
    close(*found)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recurrent_mask": torch.ones(3, 6)}, "recurrent dropout"),
        ({"x": torch.randn(5, 3, 4, dtype=torch.complex64)}, "do not take torch.complex64"),
        ({"x": torch.randn(5, 3, 4).bfloat16()}, "different types"),
        ({"x": torch.randn(5, 3, 4, device="meta")}, "the device 'meta'"),
        ({"x": torch.randn(5, 3, 4)}, "different types"),
        ({"x": torch.randn(5, 3, 7, dtype=F64)}, "do not fit"),
        (
            {"weights": weights(LSTM_RECURRENCE, Sizes(4, 6, bias=False)) | {"bias_ih": torch.ones(24)}},
            "both biases",
        ),
        ({"lengths": torch.ones(3)}, "do not fit"),
        ({"lengths": torch.ones(2, dtype=torch.int64)}, "do not fit"),
        ({"resets": torch.zeros(3, 5, dtype=torch.bool)}, "do not fit"),
        ({"state": (torch.randn(3, 6, dtype=F64), torch.randn(4, 6, dtype=F64))}, "do not fit"),
        ({"x": torch.randn(5, 3, 4, dtype=torch.complex128).conj().imag}, "plain memory"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_refusals(change, reason):
    call = dataclasses.replace(make("lstm", 5, 3, 4, 6), **change)
    assert reason in CPU.refuse(call)


def test_refuses_dispatch_modes():
    call = make("lstm", 5, 3, 4, 6, F32)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        assert "dispatch mode" in choose(call).passed_over["cpu"]


def test_weights_of_another_shape_are_an_error_not_a_read_beyond():
    module = GRU(4, 6)
    other = {"weight_hh_l0": nn.Parameter(torch.randn(18, 5))}
    with pytest.raises(RuntimeError):
        torch.func.functional_call(module, other, (torch.randn(5, 3, 4),))


def test_batched_gradients(close):
    module = LSTM(4, 6, dtype=F64, backend="cpu")
    x = torch.randn(5, 3, 4, dtype=F64).requires_grad_()
    y, _ = module(x)
    grads = torch.randn(2, *y.shape, dtype=F64)
    (both,) = torch.autograd.grad(y, x, grads, is_grads_batched=True, retain_graph=True)
    for g, found in zip(grads, both, strict=True):
        close(torch.autograd.grad(y, x, g, retain_graph=True), (found,))


def test_lengths_changed_in_place_are_noticed():
    call = make("gru", 5, 3, 4, 6, ragged=True)
    y, _ = run_cpu(call)
    call.lengths.sub_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.nan_to_num().sum().backward()


def test_missing_kernels(monkeypatch):
    monkeypatch.setitem(sys.modules, "unroll._kernels", None)
    found = runpy.run_path(extension.__file__)
    assert found["missing"]().startswith("the compiled kernels were not built with this installation")
    assert found["about"]() == "compiled kernels"


def test_an_instruction_set_by_name(monkeypatch):
    assert CPU.about() == f"compiled kernels ({extension.kernels.instruction_set()})"
    with pytest.raises(ValueError, match="sse1"):
        extension.kernels.use("sse1")
    code = "import unroll._kernels as k; print(k.instruction_set())"
    for isa in (*SETS, "sse1"):
        monkeypatch.setenv("UNROLL_ISA", isa)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (isa in done.stdout) == (isa != "sse1")
    assert "ImportError: " in done.stderr
    assert "'sse1'" in done.stderr


def test_what_cannot_be_loaded_says_why(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "unroll._kernels":
                raise ImportError("UNROLL_ISA names no instruction set")

    monkeypatch.delitem(sys.modules, "unroll._kernels")
    monkeypatch.delattr(importlib.import_module("unroll"), "_kernels", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert runpy.run_path(extension.__file__)["missing"]() == "UNROLL_ISA names no instruction set"
