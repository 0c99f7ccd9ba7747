"""Layers and directions of a recurrence in one module, on `torch.nn`'s terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from unroll.errors import OptionError
from unroll.layers import init as initialization
from unroll.layers.dropout import dropped_weight, locked, locked_mask
from unroll.layers.extras import DEFAULTS, LayerExtras, complete_extras
from unroll.layers.init import Init
from unroll.layers.input_forms import Lengths, PaddedInput, Resets, read
from unroll.layers.step import Stepper, Used
from unroll.layers.symbolic import leaf, symbolic
from unroll.layers.torch_checks import check_flags, check_input, check_sizes, check_state
from unroll.layers.trace import DirectionTrace, Trace
from unroll.layers.weights import LiveWeights
from unroll.ops import backends, naive
from unroll.ops.backends import require
from unroll.ops.call import Call, Recurrence, Result, Shape, Sizes, State, Weights
from unroll.ops.torch_state import compiling, unrecorded

_OPTIONS: dict[str, Any] = {
    "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
    "forget_bias": None, "chrono_init": 0, **DEFAULTS,
}  # fmt: skip
"""What they are by default."""


class RecurrentLayer(LiveWeights):
    """Layers and directions of any recurrence, on the terms of `torch.nn`.

    The base of `RNN`, `LSTM` and `GRU`, and all that another recurrence needs: see `ops.call.Recurrence`. Parameters
    are named as in `torch.nn` (`weight_ih_l0`, `weight_hh_l0_reverse`, ...) and looked up at each call, so that they
    may be shared, parametrized or swapped (`torch.func`). The layers are not also `torch.nn.LSTM` and so on:
    `torch.compile` refuses every instance of those.

    Args:
        recurrence: the equations, with what they carry.
        input_size: D, the features of x.
        hidden_size: H.
        num_layers: layers, each running over the one before.
        bias, batch_first, dropout, bidirectional, device, dtype: see `LSTM`.
        proj_size: the output's width, if not 0, of a recurrence that has a projection.
        forget_bias: what the biases of the gate that keeps the state add up to at the start.
        chrono_init: the number of steps to remember for at the start, or 0: see `LSTM`.
        **extras: see `layers.extras.LayerExtras`.

    Raises:
        ValueError, TypeError: as the layers of `torch.nn`.
        OptionError: one of the further arguments cannot be used.
    """

    init: Init
    learn_initial_state: bool
    input_dropout: float
    hidden_dropout: float
    output_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    residual: bool
    layer_norm: bool
    recompute: bool
    backend: str

    def __init__(
        self,
        recurrence: Recurrence,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        forget_bias: float | None = None,
        chrono_init: int = 0,
        **extras: Unpack[LayerExtras],
    ) -> None:
        check_flags(num_layers, bidirectional)
        given = complete_extras(type(self).__name__, recurrence, num_layers, extras)
        initialization.check_start(recurrence, given["init"], bias, forget_bias, chrono_init)
        require(given["backend"], recurrence, given["recurrent_dropout"] > 0)
        check_sizes(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if proj_size and not recurrence.projects:
            raise OptionError(f"the recurrence '{recurrence.name}' has no projection: leave proj_size at 0")

        nn.Module.__init__(self)  # not torch.nn's base, which makes the parameters of its own layers only
        self.mode = recurrence.name.upper()
        self.recurrence = recurrence
        self.input_size, self.hidden_size, self.proj_size = input_size, hidden_size, proj_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        self.forget_bias, self.chrono_init = forget_bias, chrono_init
        for name, value in given.items():
            setattr(self, name, float(value) if name.endswith("_dropout") else value)
        self._used: tuple[Used, ...] = ()
        self._make_parameters(device, dtype)

    def _make_parameters(self, device: torch.device | str | int | None, dtype: torch.dtype | None) -> None:
        """Make the parameters of every layer and direction, then those beside them."""
        widths = [self.features if layer else self.input_size for layer in range(self.num_layers)]
        shapes = [self.recurrence.parameters(self._sizes._replace(input_size=width)) for width in widths]
        self._register_weights(shapes, device, dtype)
        self._bind()
        self.reset_parameters()
        if self.learn_initial_state:
            for name, shape in self._state_shapes.items():
                start = torch.full((len(self._names), *shape), self.recurrence.states[name], device=device, dtype=dtype)
                self.register_parameter(f"initial_{name}", nn.Parameter(start))
        for layer in range(self.num_layers if self.layer_norm else 0):
            self.add_module(f"norm_l{layer}", nn.LayerNorm(self.features, device=device, dtype=dtype))

    @property
    def features(self) -> int:
        """The width of the outputs: H (`proj_size` if set), times 2 if bidirectional."""
        return self._sizes.output_size * (2 if self.bidirectional else 1)

    @property
    def _sizes(self) -> Sizes:
        return Sizes(self.input_size, self.hidden_size, self.proj_size, self.bias)

    @property
    def _state_shapes(self) -> dict[str, Shape]:
        """Of one row, one layer, one direction."""
        return self.recurrence.state_shapes(self._sizes)

    def _bind(self) -> None:
        """Make what a call needs of the options."""
        self._names = [{full.rsplit("_l", 1)[0]: full for full in names} for names in self._all_weights]
        self._steps = Stepper(self.recurrence, self._names, self.num_layers, self._sizes)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_names", "_steps")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what an earlier version may have written: what it did not know is as it is by default."""
        if "_all_weights" not in state:
            flat = [[n for n in names if n is not None] for names in state["_names"]]
            state = {**state, "_all_weights": flat, "_flat_weights_names": [n for names in flat for n in names]}
        super().__setstate__({"_used": (), **_OPTIONS, **state})
        self._bind()

    @property
    def used(self) -> tuple[Used, ...]:
        """The backend that served the last call, with what was passed over and why.

        More than one if the layers differed; empty before the first call and after a compiled one.
        """
        return self._used

    def reset_parameters(self) -> None:
        """Start anew: as `torch.nn` does (the same seed gives the same weights), or as `init` says."""
        named_weights = {n: getattr(self, n) for names in self._all_weights for n in names}
        if self.init == "orthogonal":
            initialization.orthogonal(named_weights.items(), self.recurrence)
        else:
            initialization.uniform(dict.fromkeys(named_weights.values()), self.hidden_size)
        for names in self._all_weights:
            biases = [named_weights[name] for name in names if name.startswith("bias")]
            if self.forget_bias is not None:
                initialization.forget(biases, self.recurrence, self.forget_bias)
            elif self.chrono_init:
                initialization.chrono(biases, self.recurrence, self.chrono_init)
        for name, value in self.recurrence.states.items():
            if self._parameters.get(f"initial_{name}") is not None:
                nn.init.constant_(getattr(self, f"initial_{name}"), value)
        for module in self.children():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def extra_repr(self) -> str:
        """The arguments that are not as they are by default, as `torch.nn` writes them."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"{k}={getattr(self, k)!r}" for k, v in _OPTIONS.items() if getattr(self, k) != v]
        return ", ".join(parts)

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002  # torch.nn's name for it
        hx: Any = None,
        *,
        lengths: Lengths | None = None,
        resets: Resets | None = None,
    ) -> tuple[Any, Any]:
        """Run over whole sequences: see `LSTM.forward`. The state is a tuple, or a tensor if there is but one."""
        return self._forward(input, hx, lengths, resets)

    def _forward(self, x: Any, hx: Any, lengths: Lengths | None, resets: Resets | None) -> tuple[Any, Any]:
        tracer = symbolic(x, hx, lengths, resets)
        if tracer is not None:
            return leaf(tracer, self, (x, hx), {"lengths": lengths, "resets": resets})
        sequences = self._read(x, lengths, resets)
        state = self._start(sequences, hx)
        used: list[Used] = []

        def run(call: Call, _: int) -> Result:
            choice, result = backends.run(call, self.backend)
            entry = Used(choice.backend.name, choice.passed_over)
            if entry not in used:
                used.append(entry)
            return result

        y, state = self._run(sequences, state, run)
        if not compiling():
            object.__setattr__(self, "_used", tuple(used))  # nn.Module would look for parameters in it
        return sequences.back(y), self._out(sequences, state)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step of a stream: the same numbers as `forward` over the whole sequence.

        Args:
            x_t: (B, D), or (D,) for one row.
            state: what the step before gave, or None at the start.

        Returns:
            The output (B, H) or (H,), and the state for the next step.

        Raises:
            OptionError: the module is bidirectional, or trains with a mask that is the same for all steps.
        """
        return self._steps.step(self, x_t, state)

    def trace(
        self, x: Tensor, state: Any = None, *, lengths: Lengths | None = None, resets: Resets | None = None
    ) -> Trace:
        """What `forward` does with the same arguments, and the inside of every step.

        Computed by the definition (the backend `naive`), whatever `backend` says; differentiable.

        Raises:
            OptionError: the input is packed; and all that `forward` raises.
        """
        if isinstance(x, PackedSequence):
            raise OptionError("trace() takes padded sequences and lengths, not a PackedSequence")
        frozen = naive.frozen()
        if frozen is not None:
            raise OptionError(f"trace() cannot be called here: {frozen}")
        sequences = self._read(x, lengths, resets)
        start = self._start(sequences, state)
        parts: list[DirectionTrace] = []

        def run(call: Call, layer: int) -> Result:
            result, recorded = naive.record(call)
            states, gates = ({k: sequences.back(v) for k, v in r.items()} for r in recorded)
            direction = "reverse" if call.reverse else "forward"
            parts.append(DirectionTrace(layer, direction, states, gates))
            return result

        y, end = self._run(sequences, start, run)
        return Trace(sequences.back(y), self._out(sequences, end), tuple(parts))

    def _read(self, x: Tensor | PackedSequence, lengths: Lengths | None, resets: Resets | None) -> PaddedInput:
        weight = getattr(self, self._flat_weights_names[0])
        unrecorded(check_input, type(self).__name__, x, self.batch_first, self.input_size, weight)
        return read(x, self.batch_first, lengths, resets)

    def _run(
        self, sequences: PaddedInput, state: Sequence[Tensor], run: Callable[[Call, int], Result]
    ) -> tuple[Tensor, State]:
        lengths = sequences.lengths
        x = locked(sequences.x, self.input_dropout, self.training)
        directions = 2 if self.bidirectional else 1
        ends: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                k = layer * directions + direction
                call = Call(
                    self.recurrence,
                    x,
                    tuple(s[k] for s in state),
                    self.weights_of(k),
                    lengths,
                    sequences.resets,
                    self._learnt(k),
                    direction == 1,
                    self._recurrent_mask(x),
                    self.recompute,
                )
                y, end = run(call, layer)
                outputs.append(y)
                ends.append(end)
            y = outputs[0] if directions == 1 else torch.cat(outputs, -1)
            if self.layer_norm:
                y = getattr(self, f"norm_l{layer}")(y)
                if lengths is not None:
                    steps = torch.arange(y.shape[0], device=y.device).unsqueeze(1)
                    y = y.masked_fill((steps >= lengths).unsqueeze(-1), 0.0)
            if self.residual and layer > 0:
                y = y + x
            y = locked(y, self.output_dropout, self.training)
            if layer < self.num_layers - 1:
                y = locked(y, self.hidden_dropout, self.training)
                y = functional.dropout(y, self.dropout, self.training)
            x = y
        return x, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))

    def weights_of(self, k: int) -> Weights:
        """Return the parameters of layer and direction k by name, such as weight_ih, as a call uses them."""
        weights = {name: getattr(self, full) for name, full in self._names[k].items()}
        for name in self.recurrence.recurrent:
            weights[name] = dropped_weight(weights[name], self.weight_dropout, self.training)
        return weights

    def _recurrent_mask(self, x: Tensor) -> Tensor | None:
        if self.recurrent_dropout == 0 or not self.training:
            return None
        return locked_mask(x, self._sizes.output_size, self.recurrent_dropout)

    def _learnt(self, k: int) -> State | None:
        if not self.learn_initial_state:
            return None
        return tuple(getattr(self, f"initial_{name}")[k] for name in self.recurrence.states)

    def _start(self, sequences: PaddedInput, hx: Any) -> State:
        """The state to start from, in the order of the rows, each (L * directions, B, H)."""
        if hx is not None:
            return tuple(sequences.state_in(h) for h in unrecorded(self._given, sequences, hx))
        x, k, B = sequences.x, len(self._names), sequences.x.shape[1]
        if self.learn_initial_state:
            learnt = (getattr(self, f"initial_{name}") for name in self.recurrence.states)
            return tuple(h.unsqueeze(1).expand(k, B, *h.shape[1:]) for h in learnt)
        kinds = list(zip(self.recurrence.states.values(), self._state_shapes.values(), strict=True))
        made: dict[tuple[float, Shape], Tensor] = {}  # states that are alike share one
        for value, shape in kinds:
            if (value, shape) not in made:
                zeros = torch.zeros((k, B, *shape), dtype=x.dtype, device=x.device)
                made[value, shape] = zeros + value if value else zeros
        return tuple(made[kind] for kind in kinds)

    def _given(self, sequences: PaddedInput, hx: Any) -> tuple[Tensor, ...]:
        k, B = len(self._names), sequences.x.shape[1]
        shapes = {name: (k, B, *shape) for name, shape in self._state_shapes.items()}
        return check_state(type(self).__name__, hx, shapes, sequences.x, sequences.batched)

    def _out(self, sequences: PaddedInput, state: State) -> Any:
        state = tuple(sequences.state_out(s) for s in state)
        return state if len(self.recurrence.states) > 1 else state[0]
