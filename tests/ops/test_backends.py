from __future__ import annotations

import dataclasses

import pytest
import torch

from unroll.errors import OptionError
from unroll.ops import backends
from unroll.ops.backends import available, choose
from unroll.ops.call import Call, Weights
from unroll.ops.gru import RESET_BEFORE
from unroll.ops.lstm import LSTM


def call(recurrence=LSTM, T=3, B=2, **more):
    H, k = 4, recurrence.gates
    weights = Weights(torch.randn(k * H, 3), torch.randn(k * H, H))
    state = tuple(torch.zeros(B, H) for _ in recurrence.states)
    return Call(recurrence, torch.randn(T, B, 3), state, weights, **more)


def test_list():
    rows = available()
    assert [name for name, _, _ in rows] == ["torch", "naive"]
    assert all(missing is None and about for _, missing, about in rows)


def test_fastest_first():
    choice = choose(call())
    assert (choice.backend.name, choice.passed_over) == ("torch", {})


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (call(RESET_BEFORE), "no kernel"),
        (call(recurrent_mask=torch.ones(2, 4)), "recurrent dropout"),
        (call(B=0), "no rows"),
    ],
)
def test_passed_over_with_a_reason(asked, reason):
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
    lame = dataclasses.replace(backends.BACKENDS["torch"], name="cpu", missing=lambda: "it was not built")
    monkeypatch.setattr(backends, "BACKENDS", {"cpu": lame, **backends.BACKENDS})
    assert available()[0][:2] == ("cpu", "it was not built")
    assert choose(call()).passed_over == {"cpu": "it was not built"}
    with pytest.raises(OptionError, match="it was not built"):
        choose(call(), "cpu")


def test_tensor_of_an_unknown_kind():
    class Odd(torch.Tensor):
        pass

    asked = call()
    asked = dataclasses.replace(asked, x=asked.x.as_subclass(Odd))
    assert "Odd" in choose(asked).passed_over["torch"]


def test_tensors_go_in_and_out():
    asked = call(reset_state=(torch.ones(4), torch.ones(4)), recurrent_mask=torch.ones(2, 4))
    again = asked.with_tensors(asked.tensors)
    assert all(a is b for a, b in zip(asked.tensors, again.tensors, strict=True))
    assert again.reset_state is not None
    assert call().with_tensors(call().tensors).reset_state is None
