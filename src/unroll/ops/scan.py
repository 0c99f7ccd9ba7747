"""The backend `scan`: a recurrence's own equations for all steps at once, in plain PyTorch.

For recurrences that can be computed so (`Recurrence.scan`), such as those that are linear in their state. Lengths,
resets and the reverse direction are made here: each segment becomes a row of its own.
"""

from __future__ import annotations

from torch import Tensor

from unroll.ops.call import Call, Recurrence, Result, State
from unroll.ops.ragged import Group, at_end, by_groups
from unroll.ops.torch_state import tracing, transformed


def lacks(recurrence: Recurrence, recurrent_dropout: bool) -> str | None:
    """Why there is no scan for a layer of this recurrence, whatever the call."""
    if recurrence.scan is None:
        return f"the recurrence '{recurrence.name}' has no form for all steps at once"
    if recurrent_dropout:
        return "recurrent dropout needs one step after the other"
    return None


def refuse(call: Call) -> str | None:
    """Why a scan cannot serve this call."""
    never = lacks(call.recurrence, call.recurrent_mask is not None)
    if never is not None:
        return never
    if call.x.shape[1] == 0:
        return "there is nothing to compute"
    if tracing():
        return "torch.jit.trace would keep the number of steps of its example: take torch.export"
    if call.lengths is None and call.resets is None:
        return None
    inside = transformed()
    return None if inside is None else f"lengths and resets cannot be laid out inside {inside}"


def run(call: Call) -> Result:
    """The outputs and the final state."""
    scan = call.recurrence.scan
    assert scan is not None  # noqa: S101  # `refuse` has seen to it
    if call.lengths is None and call.resets is None:
        y, states = scan(call.x.flip(0) if call.reverse else call.x, call.state, call.weights)
        return Result(y.flip(0) if call.reverse else y, tuple(s[-1] for s in states))

    def group(group: Group, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, states = scan(x, state, call.weights)
        return y, tuple(at_end(group, s) for s in states)

    return by_groups(call, group)
