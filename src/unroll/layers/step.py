"""One step of a stream: by a kernel made for it where that can serve, else as a sequence of one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from unroll.errors import OptionError
from unroll.ops.backends import step
from unroll.ops.call import Recurrence, Sizes
from unroll.ops.gated import WEIGHTS


class Used(NamedTuple):
    """What served a call."""

    backend: str
    passed_over: dict[str, str]
    """Faster backends that `auto` could not take, and why."""


_STEPPED = (Used("cpu", {}),)


class Steppable(Protocol):
    """What a layer must have to be stepped: its options, its parameters, and the pass over a whole sequence."""

    training: bool
    batch_first: bool
    bidirectional: bool
    dropout: float
    input_dropout: float
    hidden_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    backend: str
    _parameters: dict[str, Any]
    _used: tuple[Used, ...]

    def _forward(self, x: Tensor, hx: Any, lengths: None, resets: None) -> tuple[Any, Any]: ...


class Stepper:
    """The steps of one module: what they need of it and does not change, looked up once."""

    __slots__ = ("_names", "_present", "_recurrence", "_sizes", "_states")

    def __init__(self, recurrence: Recurrence, names: Sequence[Mapping[str, str]], layers: int, sizes: Sizes) -> None:
        """`names`: of every layer and direction, what the module calls each parameter of the recurrence."""
        self._recurrence = recurrence
        self._names = tuple(layer.get(name) for layer in names for name in WEIGHTS)
        self._present = frozenset(name for name in self._names if name is not None)
        self._states = len(recurrence.states)
        self._sizes = (layers, sizes.input_size, sizes.hidden_size, sizes.output_size)

    def step(self, module: Steppable, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """See `RecurrentLayer.step`."""
        if module.bidirectional:
            raise OptionError("a bidirectional layer needs the whole sequence: it has no step()")
        training = module.training
        if training and (
            module.input_dropout
            or module.hidden_dropout
            or module.output_dropout
            or module.recurrent_dropout
            or module.weight_dropout
        ):
            raise OptionError("step() would draw another locked dropout mask at each step: call eval() first")
        if x_t.dim() not in (1, 2):
            raise OptionError(f"step() takes (batch, features) or (features,), got {x_t.dim()} dimensions")
        if not (module.residual or module.layer_norm or (training and module.dropout)):
            quick = self._quick(module, x_t, state)
            if quick is not None:
                return quick
        time = 1 if module.batch_first and x_t.dim() == 2 else 0
        y, state = module._forward(x_t.unsqueeze(time), state, None, None)
        return y.squeeze(time), state

    def _quick(self, module: Steppable, x_t: Tensor, state: Any) -> tuple[Tensor, Any] | None:
        """The step by the kernel, or None: `forward` does all that is rare, and finds all that is wrong."""
        if state is None or torch.is_grad_enabled() or x_t.dim() != 2:
            return None
        many = self._states > 1
        if many and (not isinstance(state, (tuple, list)) or len(state) != self._states):
            return None
        found = module._parameters  # a module's own lookup is slow, but finds what stands in a parameter's place
        if self._present <= found.keys():
            weights: list[Tensor | None] = list(map(found.get, self._names))  # type: ignore[arg-type]  # None: None
        else:
            weights = [None if n is None else getattr(module, n) for n in self._names]
        before: Any = state if many else (state,)  # looked at by the kernel
        done = step(self._recurrence, self._sizes, x_t, before, weights, module.backend)
        if done is None:
            return None
        y, after = done
        if module._used is not _STEPPED:
            object.__setattr__(module, "_used", _STEPPED)
        return y, after if many else after[0]
