"""Where the kernels have been measured to be the faster, which is where `auto` takes them.

Nothing has been measured yet: `benchmarks/gpu_layers.py` writes what this table is to be made from. Until then they
serve who asks for them by name, and what PyTorch's kernels cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unroll.ops import aten
from unroll.ops.call import Call
from unroll.ops.triton.extension import interpreted


@dataclass(frozen=True)
class Won:
    """Calls for which the kernels took less time than cuDNN."""

    recurrence: str
    dtype: torch.dtype
    ragged: bool
    """With lengths or resets."""
    hidden: range
    source: str
    """The file under benchmarks/results."""


WON: tuple[Won, ...] = ()


def slower(call: Call) -> str | None:
    """Why PyTorch's kernels, which can serve this call too, are to be taken under `auto`, or None."""
    if interpreted():
        return "Triton's kernels are interpreted"
    ragged, H = call.lengths is not None or call.resets is not None, call.state[0].shape[1]
    kind = call.x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else call.x.dtype
    for won in WON:
        if (won.recurrence, won.dtype, won.ragged) == (call.recurrence.name, dtype, ragged) and H in won.hidden:
            return None
    if aten.refuse(call) is not None:
        return None
    return "they have not been measured to be faster than PyTorch's kernels for such a call"
