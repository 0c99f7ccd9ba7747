"""What the compiled kernels cannot serve, and why."""

from __future__ import annotations

import torch

from unroll.ops import half
from unroll.ops.call import Call, Recurrence
from unroll.ops.cpu import measured
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM
from unroll.ops.tensor_checks import mismatch
from unroll.ops.torch_state import compiling, differentiated, transformed

RECURRENCES = {r.name: r for r in (TANH, RELU, LSTM, RESET_AFTER, RESET_BEFORE)}
"""Those there are kernels for, which know them by the same names."""


def lacks(recurrence: Recurrence, recurrent_dropout: bool) -> str | None:
    """Why the kernels can serve no training of such a layer, whatever the call."""
    if recurrence.name not in RECURRENCES:
        return f"there is no compiled kernel for the recurrence '{recurrence.name}'"
    if recurrent_dropout:
        return "the compiled kernels have no recurrent dropout"
    return None


def slower(call: Call) -> str | None:
    """Why another backend, which can serve this call too, is faster for it.

    In float32 none is: over the cases of `benchmarks/cpu_layers.py` PyTorch takes 0.98 times as long or more, with AVX2
    and with AVX-512.
    """
    return measured.slower_in_16_bits(call)


def refuse(call: Call) -> str | None:
    """Why the kernels cannot serve this call."""
    inside = differentiated() if compiling() else transformed()
    if inside is not None:
        return f"the compiled kernels cannot be used inside {inside}"
    if compiling() and torch.onnx.is_in_onnx_export():
        return "ONNX has no such operator"
    never = lacks(call.recurrence, call.recurrent_mask is not None)
    return never or _unfit(call, (torch.float64, *half.CAST), cast=half.autocast_dtype() is not None)


def unfit(call: Call) -> str | None:
    """Why these tensors cannot be given to the kernels as they are: they look at nothing but their addresses."""
    return _unfit(call, (torch.float32, torch.float64), cast=False)


def _unfit(call: Call, dtypes: tuple[torch.dtype, ...], *, cast: bool) -> str | None:
    if not call.x.is_cpu:
        return f"the compiled kernels compute on the CPU, not on the device '{call.x.device.type}'"
    if call.x.dtype not in dtypes:
        return f"the compiled kernels do not take {call.x.dtype}"
    return mismatch(call, "the compiled kernels", cast=half.CAST if cast else ())
