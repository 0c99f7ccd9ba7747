"""What the GPU kernels cannot serve, and why."""

from __future__ import annotations

import torch

from unroll.ops.call import Call, Recurrence
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER
from unroll.ops.lstm import LSTM
from unroll.ops.tensor_checks import mismatch
from unroll.ops.torch_state import transformed
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
    x = call.x
    if not x.is_cuda and not (interpreted() and x.is_cpu):
        return f"the GPU kernels compute on CUDA devices, not on the device '{x.device.type}'"
    if x.is_cuda and torch.cuda.get_device_capability(x.device) < (8, 0):
        return "the GPU kernels need a GPU of compute capability 8.0 or above"
    if "weight_hr" in call.weights:
        return "the GPU kernels have no projection"
    if x.shape[1] == 0:
        return "there is nothing to compute"
    cast = _DTYPES if torch.is_autocast_enabled(x.device.type) else ()
    if x.dtype not in _DTYPES:
        return f"the GPU kernels do not take {x.dtype}"
    return mismatch(call, "the GPU kernels", cast=cast)
