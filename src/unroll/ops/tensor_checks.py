"""Check that tensors can be passed to a kernel as raw pointers: dtype, device, shape, contiguity."""

from __future__ import annotations

from collections.abc import Collection

import torch

from unroll.ops.call import Call
from unroll.ops.torch_state import compiling, in_memory, plain

_SHAPES = "its tensors do not fit each other"


def mismatch(call: Call, kernels: str, *, cast: Collection[torch.dtype] = ()) -> str | None:
    """Why they cannot, or None.

    Args:
        call: the call.
        kernels: what they are called in the reason.
        cast: tensors of these dtypes will be brought to one; until then they may differ.
    """
    x, weights = call.x, call.weights
    T, B, D = x.shape
    rows, H, R = weights.w_hh.shape[0], call.state[-1].shape[-1], call.state[0].shape[-1]
    if T == 0 or D == 0 or H == 0 or R == 0:
        return "there is nothing to compute"
    if rows != call.recurrence.gates * H or (weights.w_hr is None and R != H):
        return _SHAPES
    if (weights.b_ih is None) != (weights.b_hh is None):
        return f"{kernels} take both biases or none"
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
            return f"{kernels} may not know tensors of type {type(tensor).__name__}"
        if tensor.shape != shape:
            return _SHAPES
        brought = tensor.dtype in cast and x.dtype in cast
        if (tensor.dtype != x.dtype and not brought) or tensor.device != x.device:
            return "its tensors are of different types or on different devices"
        if not tracing and not in_memory(tensor):  # what an operator is given has been put into memory
            return f"{kernels} read plain memory"
    for tensor, shape, dtype in ((call.lengths, (B,), torch.int64), (call.resets, (T, B), torch.bool)):
        if tensor is None:
            continue
        if not plain(tensor):
            return f"{kernels} may not know tensors of type {type(tensor).__name__}"
        if tensor.shape != shape or tensor.dtype != dtype or tensor.device != x.device:
            return _SHAPES
    return None
