from __future__ import annotations

import dataclasses

import pytest
import torch

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.ops import backends
from unroll.ops.backends import available, choose
from unroll.ops.call import Call, Weights
from unroll.ops.cpu import extension
from unroll.ops.gru import RESET_BEFORE
from unroll.ops.lstm import LSTM

needs_kernels = pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing()))


def call(recurrence=LSTM, T=3, B=2, **more):
    H, k = 4, recurrence.gates
    weights = Weights(torch.randn(k * H, 3), torch.randn(k * H, H))
    state = tuple(torch.zeros(B, H) for _ in recurrence.states)
    return Call(recurrence, torch.randn(T, B, 3), state, weights, **more)


def test_list():
    rows = available()
    assert [name for name, _, _ in rows] == ["cpu", "triton", "torch", "naive"]
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
    assert all("Odd" in reason or "not built" in reason for n, reason in passed_over.items() if n != "triton")
    assert list(passed_over) == ["cpu", "triton", "torch"]


def test_tensors_go_in_and_out():
    full = {
        "lengths": torch.ones(2, dtype=torch.int64),
        "resets": torch.ones(3, 2, dtype=torch.bool),
        "reset_state": (torch.ones(4), torch.ones(4)),
        "recurrent_mask": torch.ones(2, 4),
        "reverse": True,
        "memory": "recompute",
    }
    for recurrence, more in ((LSTM, full), (LSTM, {}), (RESET_BEFORE, {}), (RESET_BEFORE, {"reverse": True})):
        asked = call(recurrence, **more)
        again = asked.form.call(asked.tensors)
        for field in dataclasses.fields(Call):
            one, other = getattr(asked, field.name), getattr(again, field.name)
            pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
            assert all(a is b for a, b in pairs), field.name
