"""Check that tensors can be passed to a kernel as raw pointers: dtype, device, shape, contiguity."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from unroll.ops.call import Call, Shape, Sizes
from unroll.ops.torch_state import compiling, in_memory, plain

_SHAPES = "its tensors do not fit each other"


def mismatch(call: Call, kernels: str, *, cast: Collection[torch.dtype] = ()) -> str | None:
    """Why they cannot, or None.

    Args:
        call: the call.
        kernels: what they are called in the reason.
        cast: tensors of these dtypes will be brought to one; until then they may differ.
    """
    x, weights, recurrence = call.x, call.weights, call.recurrence
    T, B, D = x.shape
    H, R = call.state[-1].shape[-1], call.state[0].shape[-1]
    if T == 0 or D == 0 or H == 0 or R == 0:
        return "there is nothing to compute"
    biases = [name for name in weights if name.startswith("bias")]
    sizes = Sizes(D, H, R if "weight_hr" in weights else 0, bool(biases))
    parameters, states = recurrence.parameters(sizes), recurrence.state_shapes(sizes)
    if parameters.keys() != weights.keys():
        return f"{kernels} take both biases or none" if len(biases) == 1 else _SHAPES
    wanted: list[tuple[Tensor, Shape]] = [(x, (T, B, D)), *((weights[n], shape) for n, shape in parameters.items())]
    wanted += zip(call.state, ((B, *shape) for shape in states.values()), strict=True)
    wanted += zip(call.reset_state or (), states.values(), strict=False)
    tracing = compiling()
    for tensor, shape in wanted:
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
