"""What is asked of a backend: one recurrence, one layer, one direction, over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

Tensors = tuple[Tensor | None, ...]
"""What is kept for the gradient: every gate, or only what they can be computed from again."""
State = tuple[Tensor, ...]
"""The tensors a recurrence carries from step to step, each (B, H); the first is its output `h`."""


class Weights(NamedTuple):
    """The parameters of one layer and direction, named and shaped as `torch.nn` has them (G gates)."""

    w_ih: Tensor
    """(G*H, D)"""
    w_hh: Tensor
    """(G*H, R), where R is the width of the output: H, or the projection's size"""
    b_ih: Tensor | None = None
    """(G*H,)"""
    b_hh: Tensor | None = None
    """(G*H,)"""
    w_hr: Tensor | None = None
    """(R, H): the projection of an LSTM's output"""


class Step(NamedTuple):
    """What one step of a recurrence gives."""

    state: State
    """The new state; its first tensor is the step's output."""
    gates: Mapping[str, Tensor]
    """The gates' values by name, each (B, H)."""


class Cell(Protocol):
    """The equations of one step."""

    def __call__(self, x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
        """One step for x (B, D); `mask` (B, R) multiplies h on its way into the recurrent product only."""
        ...


@dataclass(frozen=True)
class Recurrence:
    """A recurrence: its name, its equations and what they carry."""

    name: str
    """`"lstm"`, `"gru"`, ...: what a backend knows it by."""
    gates: int
    """How many blocks of H rows the weights have."""
    states: tuple[str, ...]
    """The names of the state's tensors: `("h",)` or `("h", "c")`."""
    step: Cell
    """One step's equations."""


class Result(NamedTuple):
    """What a call gives."""

    y: Tensor
    """(T, B, R): the output of every step, zero beyond a row's length."""
    state: State
    """Each (B, R or H): the state at each row's own last step."""


class CallSpec(NamedTuple):
    """What is asked but the tensors."""

    recurrence: Recurrence
    reverse: bool
    recompute: bool

    def call(self, tensors: Tensors) -> Call:
        """The call of these tensors, which are in the order of `Call.tensors`."""
        x, lengths, resets, mask, w_ih, w_hh, b_ih, b_hh, w_hr, *rest = tensors
        k = len(self.recurrence.states)
        return Call(
            self.recurrence,
            x,  # type: ignore[arg-type]  # None stands where None stood, here and below
            tuple(rest[:k]),  # type: ignore[arg-type]
            Weights(w_ih, w_hh, b_ih, b_hh, w_hr),  # type: ignore[arg-type]
            lengths,
            resets,
            tuple(rest[k:]) or None,  # type: ignore[arg-type]
            self.reverse,
            mask,
            self.recompute,
        )


class NotServedError(RuntimeError):
    """A backend found out at work that it cannot serve a call; its `refuse` says so from then on."""


@dataclass(frozen=True)
class Call:
    """A recurrence to be run over time.

    A row ends at its length: beyond it nothing is read, the output is zero and the state is held; the
    reverse direction starts there. A reset at step t is a border between the steps before t and those
    from t on, in both directions: the state does not cross it, `reset_state` stands in its place.
    """

    recurrence: Recurrence
    x: Tensor
    """(T, B, D)"""
    state: State
    """Each (B, R or H): the state to start from."""
    weights: Weights
    lengths: Tensor | None = None
    """(B,) int64 on x's device, between 0 and T; None: all are T."""
    resets: Tensor | None = None
    """(T, B) bool on x's device."""
    reset_state: State | None = None
    """Each (R or H,); None: zeros."""
    reverse: bool = False
    """Run from a row's last step to its first."""
    recurrent_mask: Tensor | None = None
    """(B, R): multiplies h on its way into the recurrent product."""
    recompute: bool = False
    """What is kept for the gradient."""

    @property
    def work(self) -> int:
        """About how many multiplications there are."""
        T, B, D = self.x.shape
        rows, R = self.weights.w_hh.shape
        return T * B * (D + R) * rows

    @property
    def form(self) -> CallSpec:
        """The call without its tensors, which it would keep alive."""
        return CallSpec(self.recurrence, self.reverse, self.recompute)

    @property
    def tensors(self) -> Tensors:
        """All of them, in the order that `CallSpec.call` takes."""
        back = self.reset_state or ()
        return (self.x, self.lengths, self.resets, self.recurrent_mask, *self.weights, *self.state, *back)
