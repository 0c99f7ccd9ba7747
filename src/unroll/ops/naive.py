"""The backend `naive`: a recurrence's own equations, run over time in plain PyTorch.

It is the definition that every other backend agrees with. It can be differentiated any number of times,
forwards and backwards, vmapped, compiled and exported.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from unroll.ops.call import Call, Result
from unroll.ops.torch_state import tracing


class Recorded(NamedTuple):
    """The inside of every step."""

    states: dict[str, Tensor]
    """By name, each (T, B, R or H): the state after the step; zero beyond a row's length."""
    gates: dict[str, Tensor]
    """By name, each (T, B, H): the gates' values; zero beyond a row's length."""


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
        valid = (torch.arange(T, device=x.device).unsqueeze(1) < call.lengths).unsqueeze(-1)  # (T, B, 1)
        # Not a product: NaN in the padding must not pass, neither here nor in the gradient.
        x = torch.where(valid, x, 0.0)
        inside = valid.unbind(0)
    borders = None if call.resets is None else call.resets.unsqueeze(-1).unbind(0)

    outputs: list[Tensor] = []
    for t in reversed(range(T)) if call.reverse else range(T):
        border = t + 1 if call.reverse else t
        if borders is not None and border < T:
            crossed = borders[border] if inside is None else borders[border] & inside[border]
            back = call.reset_state or (0.0,) * len(state)
            state = tuple(torch.where(crossed, b, s) for b, s in zip(back, state, strict=True))
        step = call.recurrence.step(x[t], state, call.weights, call.recurrent_mask)
        new, gates = step.state, step.gates
        y = new[0]
        if inside is None:
            state = new
        else:
            y = torch.where(inside[t], y, 0.0)
            state = tuple(torch.where(inside[t], n, s) for n, s in zip(new, state, strict=True))
        outputs.append(y)
        if steps is not None:
            ended = torch.zeros((), dtype=torch.bool) if inside is None else ~inside[t]
            names = call.recurrence.states
            steps.append(
                (
                    {k: torch.where(ended, 0.0, v) for k, v in zip(names, new, strict=True)},
                    {k: torch.where(ended, 0.0, v) for k, v in gates.items()},
                )
            )
    if call.reverse:
        outputs.reverse()
    return Result(torch.stack(outputs), state)
