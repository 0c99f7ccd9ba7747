"""One step of a stack of layers by the compiled kernels, with as little around it as can be."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unroll.ops import half
from unroll.ops.call import Recurrence, State
from unroll.ops.cpu.extension import kernels
from unroll.ops.cpu.support import RECURRENCES
from unroll.ops.torch_state import transformed


def step(
    recurrence: Recurrence,
    sizes: tuple[int, int, int, int],
    x: Tensor,
    state: Sequence[Tensor],
    weights: list[Tensor | None],
) -> tuple[Tensor, State] | None:
    """The output (B, R) and the state after a step from x (B, D), or None if it must be done otherwise.

    There is no gradient: the caller has seen to that. The kernel looks at every tensor itself, anew at each step,
    since tensors may be swapped at any time; those of 16 bits are widened anew at each step.

    Args:
        recurrence: the equations.
        sizes: layers, D, H and R.
        x: (B, D)
        state: each (layers, B, R or H).
        weights: five for each layer, in the order of `gated.WEIGHTS`; None: there is none.
    """
    if kernels is None or recurrence.name not in RECURRENCES or transformed() is not None:
        return None
    dtypes = None
    if half.concerns(x):
        if not half.alike([x, *state, *(w for w in weights if w is not None)]):
            return None
        dtypes = half.dtypes(recurrence, weights[4] is not None, x, state)
        x, state = x.float(), [s.float() for s in state]
        weights = [None if w is None else w.float() for w in weights]
    c = state[1] if len(state) > 1 else None
    done = kernels.step(recurrence.name, torch.get_num_threads(), *sizes, x, state[0], c, weights)
    if done is None:
        return None
    y, h_after, c_after = done
    after = (h_after,) if c_after is None else (h_after, c_after)
    return (y, after) if dtypes is None else half.narrowed(y, after, dtypes)
