"""What the compiled kernels cannot serve, and why."""

from __future__ import annotations

import torch

from unroll.ops.call import Call, Recurrence
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM
from unroll.ops.transforms import compiling, differentiated, in_memory, plain, transformed

RECURRENCES = {r.name: r for r in (TANH, RELU, LSTM, RESET_AFTER, RESET_BEFORE)}
"""Those there are kernels for, which know them by the same names."""

_SHAPES = "its tensors do not fit each other"


def lacks(recurrence: Recurrence, recurrent_dropout: bool) -> str | None:
    """Why the kernels can serve no training of such a layer, whatever the call."""
    if recurrence.name not in RECURRENCES:
        return f"there is no compiled kernel for the recurrence '{recurrence.name}'"
    if recurrent_dropout:
        return "the compiled kernels have no recurrent dropout"
    return None


def slower(call: Call) -> str | None:
    """Why another backend, which can serve this call too, is faster for it."""
    del call  # no such call has been measured
    return None


def refuse(call: Call) -> str | None:
    """Why the kernels cannot serve this call."""
    inside = differentiated() if compiling() else transformed()
    if inside is not None:
        return f"the compiled kernels cannot be used inside {inside}"
    if compiling() and torch.onnx.is_in_onnx_export():
        return "ONNX has no such operator"
    if torch.is_autocast_enabled("cpu"):
        return "the compiled kernels do not follow autocast"
    return lacks(call.recurrence, call.recurrent_mask is not None) or unfit(call)


def unfit(call: Call) -> str | None:
    """Why these tensors cannot be given to the kernels, which look at nothing but their addresses."""
    x, weights = call.x, call.weights
    if not x.is_cpu:
        return f"the compiled kernels compute on the CPU, not on the device '{x.device.type}'"
    if x.dtype not in (torch.float32, torch.float64):
        return f"the compiled kernels do not take {x.dtype}"
    T, B, D = x.shape
    rows, H, R = weights.w_hh.shape[0], call.state[-1].shape[-1], call.state[0].shape[-1]
    if T == 0 or D == 0 or H == 0 or R == 0:
        return "there is nothing to compute"
    if rows != call.recurrence.gates * H or (weights.w_hr is None and R != H):
        return _SHAPES
    if (weights.b_ih is None) != (weights.b_hh is None):
        return "the compiled kernels take both biases or none"
    wanted = (
        (T, B, D),
        (rows, D),
        (rows, R),
        (rows,),
        (rows,),
        (R, H),
        *((B, R), (B, H))[: len(call.state)],
        *((R,), (H,)),
    )
    tracing = compiling()
    for tensor, shape in zip((x, *weights, *call.state, *(call.reset_state or ())), wanted, strict=False):
        if tensor is None:
            continue
        if not plain(tensor):
            return f"the compiled kernels may not know tensors of type {type(tensor).__name__}"
        if tensor.shape != shape:
            return _SHAPES
        if tensor.dtype != x.dtype or not tensor.is_cpu:
            return "its tensors are of different types or on different devices"
        if not tracing and not in_memory(tensor):  # what an operator is given has been put into memory
            return "the compiled kernels read plain memory"
    for tensor, shape, dtype in ((call.lengths, (B,), torch.int64), (call.resets, (T, B), torch.bool)):
        if tensor is None:
            continue
        if not plain(tensor):
            return f"the compiled kernels may not know tensors of type {type(tensor).__name__}"
        if tensor.shape != shape or tensor.dtype != dtype or not tensor.is_cpu:
            return _SHAPES
    return None
