"""What a recurrence is, and what is asked of a backend: one recurrence, one layer, one direction, over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

Tensors = tuple[Tensor | None, ...]
"""What is kept for the gradient: every gate, or only what they can be computed from again."""
State = tuple[Tensor, ...]
"""The tensors a recurrence carries from step to step, each (B, ...), in the order of `Recurrence.states`."""
Weights = Mapping[str, Tensor]
"""The parameters of one layer and direction, by the names of `Recurrence.parameters`; those there are."""
Shape = tuple[int, ...]


class Sizes(NamedTuple):
    """What the shapes of a layer's parameters and states depend on."""

    input_size: int
    """D"""
    hidden_size: int
    """H"""
    proj_size: int = 0
    bias: bool = True

    @property
    def output_size(self) -> int:
        """R: the width of the output at each step."""
        return self.proj_size or self.hidden_size


class Step(NamedTuple):
    """What one step of a recurrence gives."""

    output: Tensor
    """(B, R)"""
    state: State
    """The new state."""
    gates: Mapping[str, Tensor]
    """The gates' values by name, each (B, ...): what a trace shows."""


class Cell(Protocol):
    """The equations of one step."""

    def __call__(self, x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
        """One step for x (B, D); `mask` (B, R) multiplies h on its way into the recurrent product only."""
        ...


class Scan(Protocol):
    """The same equations for all steps at once, where they allow it."""

    def __call__(self, x: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
        """For x (T, B, D): the outputs (T, B, R) and the states after every step, each (T, B, ...)."""
        ...


def vectors(states: tuple[str, ...], sizes: Sizes) -> dict[str, Shape]:
    """The first state is as wide as the output, the others as the layer."""
    return {name: (sizes.hidden_size if k else sizes.output_size,) for k, name in enumerate(states)}


@dataclass(frozen=True, eq=False)
class Recurrence:
    """A recurrence: its parameters, what it carries from step to step, and its equations.

    Lengths, resets, directions, layers, chunks, steps and traces follow from this: see `layers.recurrent`.

    Example:
        A leaky sum, h' = a * h + W x, with a between 0 and 1:

        >>> from unroll.layers.recurrent import RecurrentLayer
        >>> from unroll.ops.call import Recurrence, Step
        >>> def parameters(sizes):
        ...     return {"weight_ih": (sizes.hidden_size, sizes.input_size), "leak": (sizes.hidden_size,)}
        >>> def step(x, state, weights, mask=None):
        ...     h = weights["leak"].sigmoid() * state[0] + x @ weights["weight_ih"].T
        ...     return Step(h, (h,), {})
        >>> layer = RecurrentLayer(Recurrence("leaky_sum", parameters, {"h": 0.0}, step), 3, 5)
        >>> y, h = layer(torch.randn(7, 2, 3), lengths=[7, 4])
        >>> y.shape, h.shape
        (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))
    """

    name: str
    """`"lstm"`, `"gru"`, ...: what a backend knows it by."""
    parameters: Callable[[Sizes], dict[str, Shape]]
    """Names and shapes of the parameters of one layer and direction, in the order in which they are made."""
    states: Mapping[str, float]
    """The state's tensors by name (`h`; an LSTM's `h` and `c`), with what they are at the start and after a reset."""
    step: Cell
    """One step's equations."""
    scan: Scan | None = None
    """The equations of all steps at once, or None; the backend `scan` serves by it."""
    shapes: Callable[[tuple[str, ...], Sizes], dict[str, Shape]] = vectors
    """From the states' names: the shape that each has for one row."""
    recurrent: tuple[str, ...] = ()
    """The parameters that multiply the state: `weight_dropout` acts on them. None: it and `recurrent_dropout` are
    refused."""
    projects: bool = False
    """Whether there is a `proj_size`."""
    gates: int = 1
    """How many blocks of H rows a weight has, one for each gate."""
    forget_gate: int | None = None
    """The block of the gate that keeps the state, which `chrono_init` and `forget_bias` start."""
    input_gate: int | None = None
    """The block of the gate that lets the input in, where that is not what the other leaves."""

    def state_shapes(self, sizes: Sizes) -> dict[str, Shape]:
        """The shape that each of the state's tensors has for one row."""
        return self.shapes(tuple(self.states), sizes)


class Result(NamedTuple):
    """What a call gives."""

    y: Tensor
    """(T, B, R): the output of every step, zero beyond a row's length."""
    state: State
    """Each (B, ...): the state at each row's own last step."""


class CallSpec(NamedTuple):
    """What is asked but the tensors."""

    recurrence: Recurrence
    weights: tuple[str, ...]
    """The parameters' names."""
    resettable: bool
    """Whether there is a `reset_state`."""
    reverse: bool
    recompute: bool

    def call(self, tensors: Tensors) -> Call:
        """The call of these tensors (or of what stands for them), which are in the order of `Call.tensors`."""
        x, lengths, resets, mask, *rest = tensors
        w, k = len(self.weights), len(self.recurrence.states)
        return Call(
            self.recurrence,
            x,  # type: ignore[arg-type]  # None stands where None stood, here and below
            tuple(rest[w : w + k]),  # type: ignore[arg-type]
            dict(zip(self.weights, rest[:w], strict=True)),  # type: ignore[arg-type]
            lengths,
            resets,
            tuple(rest[w + k :]) if self.resettable else None,  # type: ignore[arg-type]
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
    """Each (B, ...): the state to start from."""
    weights: Weights
    lengths: Tensor | None = None
    """(B,) int64 on x's device, between 0 and T; None: all are T."""
    resets: Tensor | None = None
    """(T, B) bool on x's device."""
    reset_state: State | None = None
    """Each as the state of one row; None: the recurrence's reset values."""
    reverse: bool = False
    """Run from a row's last step to its first."""
    recurrent_mask: Tensor | None = None
    """(B, R): multiplies h on its way into the recurrent product."""
    recompute: bool = False
    """What is kept for the gradient."""

    @property
    def work(self) -> int:
        """About how many multiplications there are."""
        T, B, _ = self.x.shape
        return T * B * sum(w.numel() for w in self.weights.values())

    @property
    def form(self) -> CallSpec:
        """The call without its tensors, which it would keep alive."""
        return CallSpec(
            self.recurrence, tuple(self.weights), self.reset_state is not None, self.reverse, self.recompute
        )

    @property
    def tensors(self) -> Tensors:
        """All of them, in the order that `CallSpec.call` takes."""
        back = self.reset_state or ()
        weights = self.weights.values()
        return (self.x, self.lengths, self.resets, self.recurrent_mask, *weights, *self.state, *back)
