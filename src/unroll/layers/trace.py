"""Trace of a recurrent layer: its states and gates at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor


@dataclass(frozen=True)
class DirectionTrace:
    """States and gates of one layer in one direction, zero beyond a row's length."""

    layer: int
    """From 0."""
    direction: Literal["forward", "reverse"]
    states: dict[str, Tensor]
    """State after each step, by name (`h`; an LSTM's `c`); laid out like the layer's input."""
    gates: dict[str, Tensor]
    """Gates of each step, by name (LSTM `i`, `f`, `g`, `o`; GRU `r`, `z`, `n`; RNN none); same layout."""


@dataclass(frozen=True)
class Trace:
    """Outputs of a recurrent module, and the trace of every layer and direction."""

    output: Tensor
    """The output of the call."""
    state: Any
    """The final state of the call."""
    parts: tuple[DirectionTrace, ...]
    """Traces layer by layer, forward before reverse."""
