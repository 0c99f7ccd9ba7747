"""Numbers of 16 bits on the CPU, autocast's among them: what a call gives back, and float32 kernels for them.

What comes in is widened and what goes out is narrowed by operations that autograd knows, so that the rules of the
kernels see float32 alone. Inside a call nothing is rounded to 16 bits, the state from step to step included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from unroll.ops.call import Call, Recurrence, Result, State
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM

LOW = (torch.bfloat16, torch.float16)
CAST = (torch.float32, *LOW)
"""What autocast brings to its own dtype; float64 it leaves alone."""
Dtypes = tuple[torch.dtype, tuple[torch.dtype, ...]]
"""Of the outputs and of the final state."""
_KEEPING = (RESET_AFTER.name, RESET_BEFORE.name)
_CASTING = (TANH.name, RELU.name, LSTM.name)


def autocast_dtype() -> torch.dtype | None:
    """The dtype that autocast asks for on the CPU, or None where it is off."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


def concerns(x: Tensor) -> bool:
    """Whether a call with the input x is one of 16 bits on the CPU."""
    return x.is_cpu and (x.dtype in LOW or (x.dtype is torch.float32 and torch.is_autocast_enabled("cpu")))


def alike(tensors: Iterable[object]) -> bool:
    """Whether they are tensors of one dtype, or of those that autocast brings to one."""
    found = {t.dtype if isinstance(t, Tensor) else None for t in tensors}
    return len(found) == 1 if autocast_dtype() is None else found <= set(CAST)


def widened(call: Call) -> Call:
    """The same call in float32."""
    return call.form.call(tuple(t if t is None or not t.is_floating_point() else t.float() for t in call.tensors))


def narrowed(y: Tensor, state: State, wanted: Dtypes) -> Result:
    """What was computed in whatever dtype, in those it is to have."""
    return Result(y.to(wanted[0]), tuple(s.to(dtype) for s, dtype in zip(state, wanted[1], strict=True)))


def dtypes(recurrence: Recurrence, projected: bool, x: Tensor, state: Sequence[Tensor]) -> Dtypes:
    """Those that `torch.nn` gives the outputs and the final state of such a call.

    Without autocast, and for float64, that of the input. Under autocast its own, but where PyTorch computes the new
    state from the old by operations that autocast leaves alone: a GRU's h and a projected LSTM's c keep what they had.
    """
    low = autocast_dtype()
    if low is None or x.dtype not in CAST:
        return x.dtype, (x.dtype,) * len(state)
    kept = tuple(low if s.dtype is low else torch.float32 for s in state)
    if recurrence.name in _KEEPING:
        return kept[0], kept
    if recurrence.name in _CASTING and not projected:
        return low, (low,) * len(state)
    return low, (low, *kept[1:])
