"""What happened inside a recurrent layer, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor


@dataclass(frozen=True)
class DirectionTrace:
    """One layer in one direction. Beyond a row's length everything is zero."""

    layer: int
    """From 0."""
    direction: Literal["forward", "reverse"]
    states: dict[str, Tensor]
    """By name (`h`; an LSTM's `c`): the state after each step; laid out like the layer's input."""
    gates: dict[str, Tensor]
    """By name (LSTM `i`, `f`, `g`, `o`; GRU `r`, `z`, `n`; none for the simple network), likewise."""


@dataclass(frozen=True)
class Trace:
    """A recurrent module's outputs and the inside of every layer and direction."""

    output: Tensor
    """What the call itself gives."""
    state: Any
    """The final state that the call itself gives."""
    parts: tuple[DirectionTrace, ...]
    """Layer by layer, forward before reverse."""
