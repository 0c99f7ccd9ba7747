"""What 16-bit calls and calls under autocast give back, beside `torch.nn`."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from helpers.recurrences import every_twin, layer, twin
from unroll.errors import OptionError
from unroll.ops import half, onednn
from unroll.ops.elman import TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM as LSTM_RECURRENCE

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
BF16, F16, F32, F64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
D, H = 3, 4


@pytest.mark.parametrize(
    ("recurrence", "projected", "state", "expected"),
    [
        (TANH, False, (F32,), (BF16, BF16)),
        (TANH, False, (BF16,), (BF16, BF16)),
        (RESET_AFTER, False, (F32,), (F32, F32)),
        (RESET_AFTER, False, (F16,), (F32, F32)),
        (RESET_AFTER, False, (BF16,), (BF16, BF16)),
        (RESET_BEFORE, False, (F32,), (F32, F32)),
        (LSTM_RECURRENCE, False, (F32, F32), (BF16, BF16, BF16)),
        (LSTM_RECURRENCE, True, (F32, F32), (BF16, BF16, F32)),
        (LSTM_RECURRENCE, True, (F32, BF16), (BF16, BF16, BF16)),
    ],
)
def test_dtypes_under_autocast(recurrence, projected, state, expected):
    given = [torch.zeros(1, dtype=d) for d in state]
    with torch.autocast("cpu", dtype=BF16):
        y, ends = half.dtypes(recurrence, projected, torch.zeros(1), given)
        assert (y, *ends) == expected
        exact = [torch.zeros(1, dtype=F64) for _ in state]
        assert half.dtypes(recurrence, projected, exact[0], exact) == (F64, (F64,) * len(state))
    assert half.dtypes(recurrence, projected, torch.zeros(1, dtype=F16), given) == (F16, (F16,) * len(state))


def caught_or_dtypes(module, x, hx, low):
    try:
        with torch.autocast("cpu", dtype=low):
            y, end = module(x, hx)
    except (RuntimeError, OptionError) as error:
        return str(error)
    return [t.dtype for t in (y, *(end if isinstance(end, tuple) else (end,)))]


def onednn_has_an_lstm(low):
    """It may have none where it says that it computes in this dtype."""
    result = caught_or_dtypes(nn.LSTM(D, H), torch.zeros(5, 2, D), None, low)
    return onednn.computes(low) and not isinstance(result, str)


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("low", [BF16, F16], ids=str)
@every_twin
def test_dtypes_under_autocast_are_those_of_torch(name, low, backend):
    if name == "lstm" and not onednn_has_an_lstm(low):
        pytest.skip(f"PyTorch has no LSTM in {low} on this processor")
    ours, theirs = layer(name, D, H, backend), twin(name, D, H)
    found = 0
    for x_dtype, state_dtype in itertools.product((F32, low, F64), (None, F32, low, F64)):
        x, hx = torch.zeros(5, 2, D, dtype=x_dtype), None
        if state_dtype is not None:
            h = torch.zeros(1, 2, theirs.proj_size or H, dtype=state_dtype)
            hx = (h, torch.zeros(1, 2, H, dtype=state_dtype)) if len(ours.recurrence.states) > 1 else h
        wanted = caught_or_dtypes(theirs, x, hx, low)
        got = caught_or_dtypes(ours, x, hx, low)
        if F64 in (x_dtype, state_dtype):  # autocast leaves it alone, and nothing fits: refused by each in its words
            assert isinstance(wanted, str)
            assert isinstance(got, str)
        else:
            assert got == wanted, (x_dtype, state_dtype)
            found += 1
    assert found == 6


def test_alike():
    one, other, exact = torch.zeros(1), torch.zeros(1, dtype=BF16), torch.zeros(1, dtype=F64)
    assert half.alike([one, one])
    assert not half.alike([one, other])
    assert not half.alike([one, None])
    with torch.autocast("cpu"):
        assert half.alike([one, other])
        assert not half.alike([one, exact])
        assert not half.alike([one, None])
