"""The backend `naive`: a recurrence's own equations, run over time in plain PyTorch.

It is the definition that every other backend agrees with. It can be differentiated any number of times,
forwards and backwards, vmapped, compiled and exported.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unroll.ops.call import Call, Result
from unroll.ops.ragged import like
from unroll.ops.torch_state import tracing


class Recorded(NamedTuple):
    """The inside of every step."""

    states: dict[str, Tensor]
    """By name, each (T, B, ...): the state after the step; zero beyond a row's length."""
    gates: dict[str, Tensor]
    """By name, each (T, B, ...): the gates' values; zero beyond a row's length."""


def refuse(call: Call) -> str | None:
    """Why the definition cannot serve this call."""
    del call
    return frozen()


def frozen() -> str | None:
    """Why no call of the definition can be right here, or None."""
    if tracing():
        return "torch.jit.trace would keep the definition for the number of steps of its example: take torch.export"
    return None


def run(call: Call) -> Result:
    """The outputs and the final state."""
    return _unroll(call, None)


def record(call: Call) -> tuple[Result, Recorded]:
    """The outputs and the final state, and the inside of every step."""
    steps: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    result = _unroll(call, steps)
    if call.reverse:
        steps.reverse()
    states, gates = ({name: torch.stack([s[i][name] for s in steps]) for name in steps[0][i]} for i in (0, 1))
    return result, Recorded(states, gates)


def _unroll(call: Call, steps: list[tuple[dict[str, Tensor], dict[str, Tensor]]] | None) -> Result:
    T = call.x.shape[0]
    x, state = call.x, call.state
    inside: tuple[Tensor, ...] | None = None
    if call.lengths is not None:
        valid = torch.arange(T, device=x.device).unsqueeze(1) < call.lengths  # (T, B)
        # Not a product: NaN in the padding must not pass, neither here nor in the gradient.
        x = torch.where(valid.unsqueeze(-1), x, 0.0)
        inside = valid.unbind(0)
    borders = None if call.resets is None else call.resets.unbind(0)
    names = call.recurrence.states

    outputs: list[Tensor] = []
    for t in reversed(range(T)) if call.reverse else range(T):
        border = t + 1 if call.reverse else t
        if borders is not None and border < T:
            crossed = borders[border] if inside is None else borders[border] & inside[border]
            back = call.reset_state or names.values()
            state = tuple(torch.where(like(crossed, s), b, s) for b, s in zip(back, state, strict=True))
        step = call.recurrence.step(x[t], state, call.weights, call.recurrent_mask)
        y, new = step.output, step.state
        if inside is None:
            state = new
        else:
            y = torch.where(like(inside[t], y), y, 0.0)
            state = tuple(torch.where(like(inside[t], n), n, s) for n, s in zip(new, state, strict=True))
        outputs.append(y)
        if steps is not None:
            ended = torch.zeros(x.shape[1], dtype=torch.bool, device=x.device) if inside is None else ~inside[t]
            here = dict(zip(names, new, strict=True)), step.gates
            steps.append(tuple({k: torch.where(like(ended, v), 0.0, v) for k, v in values.items()} for values in here))  # type: ignore[arg-type]
    if call.reverse:
        outputs.reverse()
    return Result(torch.stack(outputs), state)
