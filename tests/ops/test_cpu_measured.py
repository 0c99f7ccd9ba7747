"""Where `auto` passes over the compiled kernels, which could serve, for a faster backend."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from helpers.recurrences import weights
from unroll.ops import backends, onednn, torch_backend
from unroll.ops.backends import choose
from unroll.ops.call import Call, Sizes
from unroll.ops.cpu import extension
from unroll.ops.gru import RESET_AFTER
from unroll.ops.lstm import LSTM

pytestmark = pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing()))
BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """One that multiplies in bfloat16."""
    monkeypatch.setattr(onednn, "computes", lambda dtype: True)
    monkeypatch.setattr(onednn, "multiplies_bfloat16", lambda: True)


def call(B, H, dtype=BF16, recurrence=LSTM, training=False, **more):
    made = weights(recurrence, Sizes(3, H, bias=False), leaves=training, dtype=dtype)
    state = tuple(torch.zeros(B, H, dtype=dtype) for _ in recurrence.states)
    return Call(recurrence, torch.zeros(2, B, 3, dtype=dtype), state, made, **more)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(
    ("B", "H", "training", "served"),
    [
        (1, 128, False, "cpu"),
        (4, 128, False, "torch"),
        (1, 512, False, "torch"),
        (64, 32, False, "cpu"),
        (16, 128, True, "torch"),
        (4, 512, True, "cpu"),
        (16, 64, True, "cpu"),
        (64, 64, True, "torch"),
        (16, 384, True, "torch"),
        (16, 512, True, "cpu"),
        (64, 512, True, "torch"),
        (64, 1024, True, "cpu"),
    ],
)
def test_lstms_in_bfloat16(B, H, training, served, autocast):
    asked = call(B, H, F32 if autocast else BF16, training=training)
    with torch.autocast("cpu", dtype=BF16, enabled=autocast):
        choice = choose(asked)
        assert choice.backend.name == served
        assert choice.passed_over.get("cpu") == (
            "oneDNN's LSTM is faster for so many rows and units in bfloat16, which this processor multiplies"
            if served == "torch"
            else None
        )
        assert choose(asked, "cpu").backend.name == "cpu"


def test_all_else_stays(monkeypatch):
    asked = call(64, 256)
    assert choose(asked).backend.name == "torch"
    lengths, resets = torch.tensor([2] * 64), torch.zeros(2, 64, dtype=torch.bool)
    others = [
        call(64, 256, F32),
        call(64, 256, F16),
        call(64, 256, recurrence=RESET_AFTER),
        dataclasses.replace(asked, lengths=lengths),
        dataclasses.replace(asked, resets=resets),
        call(64, 256, training=True, recompute=True),
    ]
    for other in others:
        assert choose(other).backend.name == "cpu"
    assert choose(call(64, 256, recompute=True)).backend.name == "torch"
    with torch.autocast("cpu", dtype=F16):
        assert choose(call(64, 256, F32)).backend.name == "cpu"
    monkeypatch.setattr(onednn, "multiplies_bfloat16", lambda: False)
    assert choose(asked).backend.name == "cpu"


def test_the_kernels_serve_where_onednn_refuses_at_work(monkeypatch):
    def lstm(*_):
        raise RuntimeError("could not create a primitive")

    monkeypatch.setitem(torch_backend._KERNELS, "lstm", lstm)
    monkeypatch.setattr(torch_backend, "_FAILED", {})
    choice, result = backends.run(call(64, 256))
    assert (choice.backend.name, choice.passed_over) == ("cpu", {})
    assert not bool(result.y.any())
