"""Layers and directions of a recurrence in one module, on `torch.nn`'s terms."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from unroll.errors import OptionError
from unroll.layers import init as initialization
from unroll.layers.dropout import check_shares, dropped_weight, locked, locked_mask
from unroll.layers.init import Init
from unroll.layers.input_forms import Lengths, PaddedInput, Resets, read
from unroll.layers.step import Names, Stepper, Used
from unroll.layers.symbolic import leaf, symbolic
from unroll.layers.torch_checks import check_flags, check_input, check_state
from unroll.layers.trace import DirectionTrace, Trace
from unroll.layers.weights import LiveWeights
from unroll.ops import backends, naive
from unroll.ops.backends import require
from unroll.ops.call import Call, Recurrence, Result, State, Weights
from unroll.ops.torch_state import compiling, unrecorded

_OPTIONS: dict[str, Any] = {
    "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
    "bidirectional": False, "init": "torch", "forget_bias": None, "chrono_init": 0, "learn_initial_state": False,
    "input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.0, "recurrent_dropout": 0.0,
    "weight_dropout": 0.0, "residual": False, "layer_norm": False, "recompute": False, "backend": "auto",
}  # fmt: skip
"""What they are by default."""


class RecurrentLayer(LiveWeights):
    """The base of `RNN`, `LSTM` and `GRU`: they say which equations, this runs them.

    Parameters are made, named and shaped by `torch.nn`'s own base (`weight_ih_l0`, `weight_hh_l0_reverse`, ...) and
    looked up at each call, so that they may be shared, parametrized or swapped (`torch.func`). The layers are not
    also `torch.nn.LSTM` and so on: `torch.compile` refuses every instance of those.
    """

    def __init__(
        self,
        recurrence: Recurrence,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: torch.device | str | int | None,
        dtype: torch.dtype | None,
        *,
        init: Init,
        forget_bias: float | None,
        chrono_init: int,
        learn_initial_state: bool,
        input_dropout: float,
        hidden_dropout: float,
        output_dropout: float,
        recurrent_dropout: float,
        weight_dropout: float,
        residual: bool,
        layer_norm: bool,
        recompute: bool,
        backend: str,
    ) -> None:
        check_flags(num_layers, bidirectional)
        check_shares(
            input_dropout=input_dropout,
            hidden_dropout=hidden_dropout,
            output_dropout=output_dropout,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
        )
        if hidden_dropout and num_layers == 1:
            raise OptionError("hidden_dropout acts between layers and there is one; set output_dropout")
        initialization.check_start(init, bias, forget_bias, chrono_init)
        require(backend, recurrence, recurrent_dropout > 0)

        # Before the constructor of torch.nn, which starts the weights as these say.
        self.recurrence = recurrence
        self.init = init
        self.forget_bias = forget_bias
        self.chrono_init = chrono_init
        self.learn_initial_state = learn_initial_state
        self.input_dropout = float(input_dropout)
        self.hidden_dropout = float(hidden_dropout)
        self.output_dropout = float(output_dropout)
        self.recurrent_dropout = float(recurrent_dropout)
        self.weight_dropout = float(weight_dropout)
        self.residual = residual
        self.layer_norm = layer_norm
        self.recompute = recompute
        self.backend = backend
        self._used: tuple[Used, ...] = ()
        with warnings.catch_warnings(record=True) as told:
            super().__init__(
                mode,
                input_size,
                hidden_size,
                num_layers,
                bias,
                batch_first,
                dropout,
                bidirectional,
                proj_size,
                device,
                dtype,
            )
        for warning in told:  # at the line that makes the layer
            warnings.warn(warning.message, stacklevel=3)
        self._bind()
        if learn_initial_state:
            for name, size in zip(recurrence.states, self._state_sizes, strict=True):
                zeros = torch.zeros(len(self._names), size, device=device, dtype=dtype)
                self.register_parameter(f"initial_{name}", nn.Parameter(zeros))
        if layer_norm:
            for layer in range(num_layers):
                self.add_module(f"norm_l{layer}", nn.LayerNorm(self.features, device=device, dtype=dtype))

    @property
    def features(self) -> int:
        """The width of the outputs: H (`proj_size` if set), times 2 if bidirectional."""
        return self._output_size * (2 if self.bidirectional else 1)

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _state_sizes(self) -> tuple[int, ...]:
        return (self._output_size, self.hidden_size)[: len(self.recurrence.states)]

    def _bind(self) -> None:
        """Make what a call needs of the options."""
        tails = [names[0].removeprefix("weight_ih") for names in self._all_weights]
        self._names: list[Names] = [
            tuple(n + tail if n + tail in names else None for n in initialization.NAMES)
            for names, tail in zip(self._all_weights, tails, strict=True)
        ]
        sizes = (self.num_layers, self.input_size, self.hidden_size, self._output_size)
        self._steps = Stepper(self.recurrence, self._names, sizes)

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
            initialization.orthogonal(named_weights.items(), self.recurrence.gates)
        else:
            initialization.uniform(dict.fromkeys(named_weights.values()), self.hidden_size)
        for names in self._all_weights:
            if self.forget_bias is not None:
                initialization.forget(named_weights[names[2]], named_weights[names[3]], self.forget_bias)
            elif self.chrono_init:
                gates, steps = self.recurrence.gates, self.chrono_init
                initialization.chrono(named_weights[names[2]], named_weights[names[3]], gates, steps)
        for name, parameter in self.named_parameters(recurse=False):
            if name.startswith("initial_"):
                nn.init.zeros_(parameter)
        for module in self.children():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def extra_repr(self) -> str:
        """The arguments that are not as they are by default, as `torch.nn` writes them."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"{k}={getattr(self, k)!r}" for k, v in _OPTIONS.items() if getattr(self, k) != v]
        return ", ".join(parts)

    def _forward(
        self, x: Tensor | PackedSequence, hx: Any, lengths: Lengths | None, resets: Resets | None
    ) -> tuple[Any, Any]:
        """What `forward` does: see `LSTM.forward`."""
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
        weight = getattr(self, str(self._names[0][0]))
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
                    self._weights(k),
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

    def _weights(self, k: int) -> Weights:
        w_ih, w_hh, *rest = (None if n is None else getattr(self, n) for n in self._names[k])
        return Weights(w_ih, dropped_weight(w_hh, self.weight_dropout, self.training), *rest)  # type: ignore[arg-type]

    def _recurrent_mask(self, x: Tensor) -> Tensor | None:
        if self.recurrent_dropout == 0 or not self.training:
            return None
        return locked_mask(x, self._output_size, self.recurrent_dropout)

    def _learnt(self, k: int) -> State | None:
        if not self.learn_initial_state:
            return None
        return tuple(getattr(self, f"initial_{name}")[k] for name in self.recurrence.states)

    def _start(self, sequences: PaddedInput, hx: Any) -> State:
        """The state to start from, in the order of the rows, each (L * directions, B, H)."""
        if hx is not None:
            return tuple(sequences.state_in(h) for h in unrecorded(self._given, sequences, hx))
        x, sizes = sequences.x, self._state_sizes
        k, B = len(self._names), x.shape[1]
        if self.learn_initial_state:
            learnt = (getattr(self, f"initial_{name}") for name in self.recurrence.states)
            return tuple(h.unsqueeze(1).expand(k, B, size) for h, size in zip(learnt, sizes, strict=True))
        zeros = torch.zeros((k, B, sizes[0]), dtype=x.dtype, device=x.device)
        return tuple(zeros if size == sizes[0] else zeros.new_zeros((k, B, size)) for size in sizes)

    def _given(self, sequences: PaddedInput, hx: Any) -> tuple[Tensor, ...]:
        x = sequences.x
        shapes = [(len(self._names), x.shape[1], size) for size in self._state_sizes]
        return check_state(type(self).__name__, hx, self.recurrence.states, x, sequences.batched, shapes)

    def _out(self, sequences: PaddedInput, state: State) -> Any:
        state = tuple(sequences.state_out(s) for s in state)
        return state if len(self.recurrence.states) > 1 else state[0]
