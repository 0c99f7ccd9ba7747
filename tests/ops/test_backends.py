from __future__ import annotations

import dataclasses

import pytest
import torch

import unroll
from helpers.recurrences import weights
from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.ops import backends, onednn
from unroll.ops import torch_backend as aten
from unroll.ops.backends import available, choose
from unroll.ops.call import Call, NotServedError, Sizes
from unroll.ops.cpu import extension
from unroll.ops.elman import TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM

needs_kernels = pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing()))


def call(recurrence=LSTM, T=3, B=2, **more):
    made = weights(recurrence, Sizes(3, 4, bias=False))
    state = tuple(torch.zeros(B, 4) for _ in recurrence.states)
    return Call(recurrence, torch.randn(T, B, 3), state, made, **more)


def lstm_layer(backend):
    torch.manual_seed(1)
    return unroll.LSTM(3, 4, backend=backend)


def test_list():
    rows = available()
    assert [name for name, _, _ in rows] == ["cpu", "triton", "torch", "scan", "naive"]
    assert all(missing is None and about for name, missing, about in rows if name not in ("cpu", "triton"))


@pytest.fixture
def without_cpu(monkeypatch):
    monkeypatch.setattr(backends, "BACKENDS", {n: b for n, b in backends.BACKENDS.items() if n != "cpu"})


@needs_kernels
def test_fastest_first():
    choice = choose(call())
    assert (choice.backend.name, choice.passed_over) == ("cpu", {})


@needs_kernels
def test_a_slower_one_is_passed_over_unless_it_is_named(monkeypatch):
    slow = dataclasses.replace(backends.BACKENDS["cpu"], slower=lambda call: f"{len(call.x)} steps are few")
    monkeypatch.setattr(backends, "BACKENDS", {**backends.BACKENDS, "cpu": slow})
    choice = choose(call())
    assert choice.backend.name == "torch"
    assert choice.passed_over["cpu"] == "3 steps are few"
    assert choose(call(), "cpu").backend.name == "cpu"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (call(RESET_BEFORE), "no kernel"),
        (call(recurrent_mask=torch.ones(2, 4)), "recurrent dropout"),
        (call(B=0), "no rows"),
    ],
)
def test_passed_over_with_a_reason(without_cpu, asked, reason):
    choice = choose(asked)
    assert choice.backend.name == "naive"
    assert reason in choice.passed_over["torch"]
    with pytest.raises(OptionError, match=reason):
        choose(asked, "torch")


def test_unknown_name():
    with pytest.raises(OptionError, match="no backend 'cudnn'"):
        choose(call(), "cudnn")
    with pytest.raises(OptionError, match="did you mean 'torch'"):
        choose(call(), "Torch")


def test_missing_backend(monkeypatch):
    lame = dataclasses.replace(backends.BACKENDS["cpu"], missing=lambda: "it was not built")
    monkeypatch.setattr(backends, "BACKENDS", {**backends.BACKENDS, "cpu": lame})
    assert available()[0][:2] == ("cpu", "it was not built")
    choice = choose(call())
    assert choice.backend.name == "torch"
    assert choice.passed_over["cpu"] == "it was not built"
    with pytest.raises(OptionError, match="it was not built"):
        choose(call(), "cpu")
    with pytest.raises(OptionError, match="it was not built; take 'auto'"):
        backends.require("cpu", LSTM, False)


ONEDNN_SAID = "could not create a primitive descriptor for the LSTM forward propagation primitive"


@pytest.fixture
def refusing(monkeypatch):
    """oneDNN has no LSTM, and says so only when it is called; how often it was."""
    called = []

    def lstm(*_):
        called.append(torch.is_grad_enabled())
        raise RuntimeError(f"{ONEDNN_SAID}. Run workload with more to be told")

    monkeypatch.setitem(aten._KERNELS, "lstm", lstm)
    monkeypatch.setattr(aten, "_FAILED", {})
    return called


def test_what_onednn_refuses_at_work_goes_on_to_the_next_and_is_remembered(without_cpu, refusing, close):
    module, x = lstm_layer("auto"), torch.randn(5, 2, 3).requires_grad_()
    wanted, _ = lstm_layer("naive")(x)
    for _ in range(2):
        y, _ = module(x)
        close(torch.autograd.grad(y.sum(), x), torch.autograd.grad(wanted.sum(), x, retain_graph=True))
        ((name, passed_over),) = module.used
        assert name == "naive"
        assert passed_over["torch"] == f"oneDNN has no kernel for it on this processor ({ONEDNN_SAID})"
    assert refusing == [True]
    # what decides it: training or not, the dtypes, the recurrence
    with torch.no_grad():
        module(x)
    module.double()(x.double())
    assert len(refusing) == 3
    gru = GRU(3, 4)
    gru(x)
    assert gru.used[0].backend == "torch"


def test_what_onednn_refuses_at_work_is_an_error_by_name(refusing):
    module, x = lstm_layer("torch"), torch.randn(5, 2, 3)
    for _ in range(2):
        with pytest.raises(
            OptionError, match=r"'torch' cannot serve this call: oneDNN has no kernel .*\(could not create"
        ):
            module(x)
    assert len(refusing) == 1


def test_other_errors_of_pytorchs_kernels_go_up_as_they_are(without_cpu, monkeypatch):
    def lstm(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setitem(aten._KERNELS, "lstm", lstm)
    monkeypatch.setattr(aten, "_FAILED", {})
    for backend in ("auto", "torch"):
        with pytest.raises(RuntimeError, match=r"^out of memory$"):
            lstm_layer(backend)(torch.randn(5, 2, 3))
    assert aten._FAILED == {}


def test_who_cannot_serve_but_does_not_say_so_is_an_error_not_a_loop(monkeypatch):
    def lame(_):
        raise NotServedError("not today")

    broken = dataclasses.replace(backends.BACKENDS["naive"], run=lame)
    monkeypatch.setattr(backends, "BACKENDS", {"naive": broken})
    with pytest.raises(NotServedError, match="not today"):
        backends.run(call())


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16], ids=str)
def test_torch_knows_before_it_calls_what_onednn_lacks(without_cpu, monkeypatch, low):
    """Only a float32 LSTM without a projection goes to oneDNN unasked; PyTorch itself computes all else."""
    monkeypatch.setattr(onednn, "computes", lambda dtype: dtype is not low)
    told = f"oneDNN has no {str(low)[6:]} LSTM for this processor, and autocast asks for one"
    asked = call()
    torch_backend = backends.BACKENDS["torch"]
    assert torch_backend.refuse(asked) is None
    with torch.autocast("cpu", dtype=low):
        assert torch_backend.refuse(asked) == told
        choice, result = backends.run(asked)
        assert choice.backend.name == "naive"
        assert choice.passed_over["torch"] == told
        assert result.y.dtype == low
        with pytest.raises(OptionError, match=f"'torch' cannot serve this call: {told}"):
            backends.run(asked, "torch")
        monkeypatch.setattr(onednn, "used", lambda: False)
        assert torch_backend.refuse(asked) is None
        monkeypatch.undo()
        monkeypatch.setattr(onednn, "computes", lambda dtype: False)
        assert torch_backend.refuse(call(RESET_AFTER)) is None
        assert torch_backend.refuse(call(TANH)) is None
        w = weights(LSTM, Sizes(3, 4, 2, bias=False))
        state = torch.zeros(2, 2), torch.zeros(2, 4)
        assert torch_backend.refuse(dataclasses.replace(asked, weights=w, state=state)) is None
        halves = asked.form.call(tuple(None if t is None else t.to(low) for t in asked.tensors))
        assert torch_backend.refuse(halves) is None
    with torch.autocast("cpu", dtype=torch.bfloat16 if low is torch.float16 else torch.float16):
        monkeypatch.setattr(onednn, "computes", lambda dtype: dtype is not low)
        assert torch_backend.refuse(asked) is None


def test_layers_do_without_the_kernels(monkeypatch):
    monkeypatch.setattr(extension, "_missing", "they were not built")
    module, x = GRU(3, 4), torch.randn(5, 2, 3)
    y, _ = module(x)
    ((name, passed_over),) = module.used
    assert name == "torch"
    assert passed_over["cpu"] == "they were not built"
    targets = []

    def look(graph, _):
        targets.extend(str(n.target) for n in graph.graph.nodes)
        return graph.forward

    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend=look)(x)[0], y)
    assert targets
    assert not any("unroll" in t for t in targets)
    with pytest.raises(OptionError, match="'cpu' cannot serve this layer: they were not built"):
        GRU(3, 4, backend="cpu")


def test_tensor_of_an_unknown_kind():
    class Odd(torch.Tensor):
        pass

    asked = call()
    asked = dataclasses.replace(asked, x=asked.x.as_subclass(Odd))
    passed_over = choose(asked).passed_over
    assert all("Odd" in reason or "not built" in reason for n, reason in passed_over.items() if n in ("cpu", "torch"))
    assert list(passed_over) == ["cpu", "triton", "torch", "scan"]


def test_tensors_go_in_and_out():
    full = {
        "lengths": torch.ones(2, dtype=torch.int64),
        "resets": torch.ones(3, 2, dtype=torch.bool),
        "reset_state": (torch.ones(4), torch.ones(4)),
        "recurrent_mask": torch.ones(2, 4),
        "reverse": True,
        "recompute": True,
    }
    for recurrence, more in ((LSTM, full), (LSTM, {}), (RESET_BEFORE, {}), (RESET_BEFORE, {"reverse": True})):
        asked = call(recurrence, **more)
        again = asked.form.call(asked.tensors)
        for field in dataclasses.fields(Call):
            one, other = getattr(asked, field.name), getattr(again, field.name)
            if isinstance(one, dict):
                assert list(one) == list(other)
                one, other = tuple(one.values()), tuple(other.values())
            pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
            assert all(a is b for a, b in pairs), field.name
