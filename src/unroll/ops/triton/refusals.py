"""What the GPU kernels cannot serve, and why."""

from __future__ import annotations

import torch

from unroll.ops.call import Call, Recurrence
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER
from unroll.ops.lstm import LSTM
from unroll.ops.transforms import in_memory, plain, transformed
from unroll.ops.triton.extension import interpreted

RECURRENCES = {r.name: r for r in (TANH, RELU, LSTM, RESET_AFTER)}
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def lacks(recurrence: Recurrence, recurrent_dropout: bool) -> str | None:
    """Why the kernels can serve no training of such a layer, whatever the call."""
    if recurrence.name not in RECURRENCES:
        return f"there is no GPU kernel for the recurrence '{recurrence.name}'"
    if recurrent_dropout:
        return "the GPU kernels have no recurrent dropout"
    return None


def refuse(call: Call) -> str | None:
    """Why the kernels cannot serve this call."""
    inside = transformed()
    if inside is not None:
        return f"the GPU kernels cannot be used inside {inside}"
    never = lacks(call.recurrence, call.recurrent_mask is not None)
    if never is not None:
        return never
    x, weights = call.x, call.weights
    if not x.is_cuda and not (interpreted() and x.is_cpu):
        return f"the GPU kernels compute on CUDA devices, not on the device '{x.device.type}'"
    if weights.w_hr is not None:
        return "the GPU kernels have no projection"
    if 0 in x.shape or 0 in weights.w_hh.shape:
        return "there is nothing to compute"
    if (weights.b_ih is None) != (weights.b_hh is None):
        return "the GPU kernels take both biases or none"
    cast = torch.is_autocast_enabled(x.device.type)
    for tensor in call.tensors:
        if tensor is None:
            continue
        if not plain(tensor):
            return f"the GPU kernels may not know tensors of type {type(tensor).__name__}"
        if tensor.device != x.device:
            return "its tensors are on different devices"
        if not in_memory(tensor):
            return "the GPU kernels read plain memory"
        if tensor.is_floating_point() and not cast and tensor.dtype != x.dtype:
            return "its tensors are of different types"
    if not cast and x.dtype not in _DTYPES:
        return f"the GPU kernels do not take {x.dtype}"
    return None
