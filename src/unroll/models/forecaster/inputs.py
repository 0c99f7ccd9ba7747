"""Inputs of the forecasting model, and of its training loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unroll.errors import OptionError
from unroll.layers.revin import LocScale

_SEGMENT = 24


class ForecastInputs(NamedTuple):
    """Inputs of a forecast. All values are scaled; `units` undo the scaling of targets: y = scale * x + location."""

    x: Float[Tensor, "B L K"]
    past: Float[Tensor, "B L P"]
    known: Float[Tensor, "B L+F Q"]
    static: Float[Tensor, "B S"]
    units: LocScale


class Taught(NamedTuple):
    """Inputs of the training loss: parameters, their targets, and which targets were observed."""

    parameters: Float[Tensor, "B U K M"]
    target: Float[Tensor, "B U K"]
    observed: Bool[Tensor, "B U K"]


def segment_length(asked: int, lookback: int, horizon: int) -> int:
    """Return the segment length: as asked for, or the largest common divisor of look-back and horizon up to 24.

    Raises:
        OptionError: the length asked for does not divide both.
    """
    for name, steps in (("lookback", lookback), ("horizon", horizon)):
        if asked and steps % asked:
            raise OptionError(
                f"segment is {asked}, which does not divide {name} ({steps}); strategy 'segrnn' needs that"
            )
    return asked or max(d for d in range(1, _SEGMENT + 1) if lookback % d == 0 and horizon % d == 0)


def carry_forward(
    last: Float[Tensor, "B 1 K"], target: Float[Tensor, "B F K"], observed: Bool[Tensor, "B F K"]
) -> Float[Tensor, "B F K"]:
    """Forward-fill unobserved targets with the last observed value; other fillings may leak future values."""
    values = torch.cat([last, target], 1)
    steps = torch.arange(values.size(1), device=values.device).view(1, -1, 1)
    seen = torch.cat([torch.ones_like(last, dtype=torch.bool), observed], 1)
    return values.gather(1, torch.where(seen, steps, 0).cummax(1).values)[:, 1:]


def change_rows(window: ForecastInputs, change: Callable[[Tensor], Tensor]) -> ForecastInputs:
    """Apply a change of rows to every tensor of the window."""
    units = LocScale(change(window.units.location), change(window.units.scale))
    return ForecastInputs(change(window.x), change(window.past), change(window.known), change(window.static), units)
