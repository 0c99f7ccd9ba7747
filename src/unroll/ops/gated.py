"""The parameters of `torch.nn`'s recurrent layers: the gates' blocks side by side, two biases, a projection."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from unroll.ops.call import Cell, Recurrence, Shape, Sizes

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""Their names, in the order of `torch.nn`."""


def gated_parameters(sizes: Sizes, gates: int) -> dict[str, Shape]:
    """Names and shapes of the parameters of G gates.

    `weight_ih` (G*H, D), `weight_hh` (G*H, R), with biases `bias_ih` and `bias_hh` (G*H,), with a projection
    `weight_hr` (R, H).
    """
    rows, R = gates * sizes.hidden_size, sizes.output_size
    shapes: dict[str, Shape] = {"weight_ih": (rows, sizes.input_size), "weight_hh": (rows, R)}
    if sizes.bias:
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
    if sizes.proj_size:
        shapes["weight_hr"] = (R, sizes.hidden_size)
    return shapes


def gated(
    name: str,
    gates: int,
    states: Mapping[str, float],
    step: Cell,
    *,
    projects: bool = False,
    forget_gate: int | None = None,
    input_gate: int | None = None,
) -> Recurrence:
    """Describe a recurrence with the parameters of `torch.nn`."""
    return Recurrence(
        name,
        partial(gated_parameters, gates=gates),
        states,
        step,
        recurrent=("weight_hh",),
        projects=projects,
        gates=gates,
        forget_gate=forget_gate,
        input_gate=input_gate,
    )
