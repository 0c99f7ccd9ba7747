"""Layers and directions of a recurrence in one module, on `torch.nn`'s terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from unroll.errors import OptionError, nearest
from unroll.layers import initialise
from unroll.layers.checks import check_input, check_options, check_state
from unroll.layers.dropout import check_shares, dropped_weight, locked, locked_mask
from unroll.layers.initialise import Init
from unroll.layers.sequences import Lengths, Resets, Sequences, read
from unroll.layers.step import Names, Stepper, Used
from unroll.layers.trace import DirectionTrace, Trace
from unroll.ops import backends, naive
from unroll.ops.backends import require
from unroll.ops.call import Call, Memory, Recurrence, Result, State, Weights
from unroll.ops.transforms import compiling


class Recurrent(nn.Module):
    """The base of `RNN`, `LSTM` and `GRU`: they say which equations, this runs them.

    Parameters are named and shaped as in `torch.nn` (`weight_ih_l0`, `weight_hh_l0_reverse`, ...) and
    looked up at each call, so that they may be shared, parametrized or swapped (`torch.func`).
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
        remember: int,
        learn_initial_state: bool,
        input_dropout: float,
        hidden_dropout: float,
        output_dropout: float,
        recurrent_dropout: float,
        weight_dropout: float,
        residual: bool,
        layer_norm: bool,
        memory: Memory,
        backend: str,
    ) -> None:
        super().__init__()
        check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        check_shares(
            input_dropout=input_dropout,
            hidden_dropout=hidden_dropout,
            output_dropout=output_dropout,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
        )
        if hidden_dropout and num_layers == 1:
            raise OptionError("hidden_dropout acts between layers and there is one; set output_dropout")
        initialise.check_start(init, bias, forget_bias, remember)
        if memory not in get_args(Memory):
            raise OptionError(f"memory is {memory!r}{nearest(str(memory), get_args(Memory))}")
        require(backend, recurrence, recurrent_dropout > 0)

        self.recurrence = recurrence
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self.init = init
        self.forget_bias = forget_bias
        self.remember = remember
        self.learn_initial_state = learn_initial_state
        self.input_dropout = float(input_dropout)
        self.hidden_dropout = float(hidden_dropout)
        self.output_dropout = float(output_dropout)
        self.recurrent_dropout = float(recurrent_dropout)
        self.weight_dropout = float(weight_dropout)
        self.residual = residual
        self.layer_norm = layer_norm
        self.memory: Memory = memory
        self.backend = backend
        self._used: tuple[Used, ...] = ()
        self._names: list[Names] = []

        directions = 2 if bidirectional else 1

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape, device=device, dtype=dtype))

        for layer in range(num_layers):
            columns = input_size if layer == 0 else self.features
            for suffix in ("", "_reverse")[:directions]:
                tail = f"_l{layer}{suffix}"
                shapes = initialise.shapes(recurrence.gates, columns, hidden_size, proj_size, bias)
                for name, shape in shapes.items():
                    self.register_parameter(name + tail, parameter(*shape))
                self._names.append(tuple(n + tail if n in shapes else None for n in initialise.NAMES))
        if learn_initial_state:
            for name, size in zip(recurrence.states, self._state_sizes, strict=True):
                self.register_parameter(f"initial_{name}", parameter(num_layers * directions, size))
        if layer_norm:
            for layer in range(num_layers):
                self.add_module(f"norm_l{layer}", nn.LayerNorm(self.features, device=device, dtype=dtype))
        self._steps = Stepper(recurrence, self._names, (num_layers, input_size, hidden_size, self._output_size))
        self.reset_parameters()

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

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The recurrent parameters of each layer and direction, as `torch.nn` lists them."""
        return [[getattr(self, n) for n in names if n is not None] for names in self._names]

    @property
    def used(self) -> tuple[Used, ...]:
        """The backend that served the last call, with what was passed over and why.

        More than one if the layers differed; empty before the first call and after a compiled one.
        """
        return self._used

    def reset_parameters(self) -> None:
        """Start anew: as `torch.nn` does (the same seed gives the same weights), or as `init` says."""
        named_weights = {n: getattr(self, n) for names in self._names for n in names if n is not None}
        if self.init == "orthogonal":
            initialise.orthogonal(named_weights.items(), self.recurrence.gates)
        else:
            initialise.uniform(dict.fromkeys(named_weights.values()), self.hidden_size)
        for _, _, b_ih, b_hh, _ in self._names:
            if self.forget_bias is not None:
                initialise.forget(named_weights[str(b_ih)], named_weights[str(b_hh)], self.forget_bias)
            elif self.remember:
                gates, steps = self.recurrence.gates, self.remember
                initialise.chrono(named_weights[str(b_ih)], named_weights[str(b_hh)], gates, steps)
        if self.learn_initial_state:
            for name in self.recurrence.states:
                nn.init.zeros_(getattr(self, f"initial_{name}"))
        if self.layer_norm:
            for layer in range(self.num_layers):
                getattr(self, f"norm_l{layer}").reset_parameters()

    def flatten_parameters(self) -> None:
        """Nothing: `torch.nn` moves its weights into one block here. Kept for callers that ask."""

    def extra_repr(self) -> str:
        """The arguments that are not as they are by default, as `torch.nn` writes them."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        plain = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False, "init": "torch", "forget_bias": None, "remember": 0, "learn_initial_state": False,
            "input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.0, "recurrent_dropout": 0.0,
            "weight_dropout": 0.0, "residual": False, "layer_norm": False, "memory": "save", "backend": "auto",
        }  # fmt: skip
        parts += [f"{k}={getattr(self, k)!r}" for k, v in plain.items() if getattr(self, k) != v]
        return ", ".join(parts)

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002  # torch.nn's name for it
        hx: Any = None,
        *,
        lengths: Lengths | None = None,
        resets: Resets | None = None,
    ) -> tuple[Any, Any]:
        """Run over whole sequences.

        Args:
            input: (T, B, D), (B, T, D) if `batch_first`, (T, D) for one row, or a `PackedSequence`.
            hx: the state to start from, (L * directions, B, H), a tuple (h, c) for an LSTM; for one row
                without B. None: zeros, or the learnt initial state.
            lengths: (B,) the rows' lengths, in any order, on any device, zeros allowed. What stands beyond
                them is never read; the output there is zero, the final state is that at the row's own
                last step, and the reverse direction starts there.
            resets: (B, T) bool, whatever `batch_first`: the state is set back to zero, or to the learnt
                initial state, before step t; it does not cross that border in either direction.

        Returns:
            The outputs of the last layer, in the form of `input` with D replaced by H * directions, and the
            final state, in the form of `hx`.

        Raises:
            RuntimeError, ValueError: as `torch.nn` for shapes, types and devices that do not fit.
            OptionError: lengths or resets do not fit, or the backend named cannot serve the call.
        """
        sequences = self._read(input, lengths, resets)
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

    def _read(self, x: Tensor | PackedSequence, lengths: Lengths | None, resets: Resets | None) -> Sequences:
        weight = getattr(self, str(self._names[0][0]))
        check_input(type(self).__name__, x, self.batch_first, self.input_size, weight)
        return read(x, self.batch_first, lengths, resets)

    def _run(
        self, sequences: Sequences, state: Sequence[Tensor], run: Callable[[Call, int], Result]
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
                    self.memory,
                )
                y, end = run(call, layer)
                outputs.append(y)
                ends.append(end)
            y = outputs[0] if directions == 1 else torch.cat(outputs, -1)
            if self.layer_norm:
                y = getattr(self, f"norm_l{layer}")(y)
                if lengths is not None:
                    steps = torch.arange(len(y), device=y.device).unsqueeze(1)
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

    def _start(self, sequences: Sequences, hx: Any) -> State:
        """The state to start from, in the order of the rows, each (L * directions, B, H)."""
        x, names = sequences.x, self.recurrence.states
        k = self.num_layers * (2 if self.bidirectional else 1)
        shapes = [(k, x.shape[1], size) for size in self._state_sizes]
        if hx is None and self.learn_initial_state:
            learnt = (getattr(self, f"initial_{name}") for name in names)
            return tuple(h.unsqueeze(1).expand(s) for h, s in zip(learnt, shapes, strict=True))
        if hx is None:
            zeros = torch.zeros(shapes[0], dtype=x.dtype, device=x.device)
            return tuple(zeros if s == shapes[0] else zeros.new_zeros(s) for s in shapes)
        given = check_state(type(self).__name__, hx, names, x, sequences.batched, shapes)
        return tuple(sequences.state_in(h) for h in given)

    def _out(self, sequences: Sequences, state: State) -> Any:
        state = tuple(sequences.state_out(s) for s in state)
        return state if len(self.recurrence.states) > 1 else state[0]
