"""Layers and directions of a recurrence in one module, on `torch.nn`'s terms."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from unroll.errors import OptionError, nearest
from unroll.layers import initialise
from unroll.layers.checks import check_input, check_options, check_state
from unroll.layers.dropout import locked, locked_mask
from unroll.layers.sequences import Lengths, Resets, Sequences, read
from unroll.layers.trace import DirectionTrace, Trace
from unroll.ops import naive
from unroll.ops.backends import choose, require, step
from unroll.ops.call import Call, Memory, Recurrence, Result, State, Weights
from unroll.ops.transforms import compiling

Init = Literal["torch", "orthogonal"]


class Used(NamedTuple):
    """What served a call."""

    backend: str
    passed_over: dict[str, str]
    """Faster backends that `auto` could not take, and why."""


_STEPPED = (Used("cpu", {}),)


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
        learn_initial_state: bool,
        input_dropout: float,
        output_dropout: float,
        recurrent_dropout: float,
        residual: bool,
        layer_norm: bool,
        memory: Memory,
        backend: str,
    ) -> None:
        super().__init__()
        check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        for name, p in (
            ("input_dropout", input_dropout),
            ("output_dropout", output_dropout),
            ("recurrent_dropout", recurrent_dropout),
        ):
            if not isinstance(p, numbers.Real) or isinstance(p, bool) or not 0 <= p < 1:
                raise OptionError(f"{name} must be a probability from 0 to below 1, got {p!r}")
        for name, value, known in (("init", init, get_args(Init)), ("memory", memory, get_args(Memory))):
            if value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(str(value), known)}")
        if forget_bias is not None and not bias:
            raise OptionError("forget_bias needs bias=True")
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
        self.learn_initial_state = learn_initial_state
        self.input_dropout = float(input_dropout)
        self.output_dropout = float(output_dropout)
        self.recurrent_dropout = float(recurrent_dropout)
        self.residual = residual
        self.layer_norm = layer_norm
        self.memory: Memory = memory
        self.backend = backend
        self._used: tuple[Used, ...] = ()
        self._names: list[tuple[str | None, ...]] = []

        rows = recurrence.gates * hidden_size
        width = self._output_size
        directions = 2 if bidirectional else 1

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape, device=device, dtype=dtype))

        for layer in range(num_layers):
            columns = input_size if layer == 0 else width * directions
            for suffix in ("", "_reverse")[:directions]:
                tail = f"_l{layer}{suffix}"
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, columns),
                    "weight_hh": (rows, width),
                }
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(name + tail, parameter(*shape))
                order = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
                self._names.append(tuple(n + tail if n in shapes else None for n in order))
        if learn_initial_state:
            for name, size in zip(recurrence.states, self._state_sizes, strict=True):
                self.register_parameter(f"initial_{name}", parameter(num_layers * directions, size))
        if layer_norm:
            for layer in range(num_layers):
                norm = nn.LayerNorm(width * directions, device=device, dtype=dtype)
                self.add_module(f"norm_l{layer}", norm)
        self._flat_names = tuple(name for names in self._names for name in names)
        self._present = frozenset(name for name in self._flat_names if name is not None)
        self._two_states = len(recurrence.states) == 2
        self._sizes = (num_layers, input_size, hidden_size, width)
        self.reset_parameters()

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
        if self.forget_bias is not None:
            for _, _, b_ih, b_hh, _ in self._names:
                initialise.forget(named_weights[str(b_ih)], named_weights[str(b_hh)], self.forget_bias)
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
            "bidirectional": False, "init": "torch", "forget_bias": None, "learn_initial_state": False,
            "input_dropout": 0.0, "output_dropout": 0.0, "recurrent_dropout": 0.0, "residual": False,
            "layer_norm": False, "memory": "save", "backend": "auto",
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
            choice = choose(call, self.backend)
            entry = Used(choice.backend.name, choice.passed_over)
            if entry not in used:
                used.append(entry)
            return choice.backend.run(call)

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
            OptionError: the module is bidirectional, or trains with a mask that is locked over all steps.
        """
        if self.bidirectional:
            raise OptionError("a bidirectional layer needs the whole sequence: it has no step()")
        if self.training and (self.input_dropout or self.output_dropout or self.recurrent_dropout):
            raise OptionError("step() would draw another locked dropout mask at each step: call eval() first")
        if x_t.dim() not in (1, 2):
            raise OptionError(f"step() takes (batch, features) or (features,), got {x_t.dim()} dimensions")
        quick = self._quick_step(x_t, state)
        if quick is not None:
            return quick
        time = 1 if self.batch_first and x_t.dim() == 2 else 0
        y, state = self.forward(x_t.unsqueeze(time), state)
        return y.squeeze(time), state

    def _quick_step(self, x_t: Tensor, state: Any) -> tuple[Tensor, Any] | None:
        """The step by a kernel made for it, or None: `forward` does all that is rare, and finds all that is wrong."""
        if state is None or self.residual or self.layer_norm or torch.is_grad_enabled() or x_t.dim() != 2:
            return None
        two = self._two_states
        if (two and (not isinstance(state, (tuple, list)) or len(state) != 2)) or (self.training and self.dropout):
            return None
        found = self._parameters  # a module's own lookup is slow, but finds what stands in a parameter's place
        if self._present <= found.keys():
            weights: list[Tensor | None] = list(map(found.get, self._flat_names))  # type: ignore[arg-type]  # None: None
        else:
            weights = [None if n is None else getattr(self, n) for n in self._flat_names]
        before: Any = state if two else (state,)  # looked at by the kernel
        done = step(self.recurrence, self._sizes, x_t, before, weights, self.backend)
        if done is None:
            return None
        y, after = done
        if self._used is not _STEPPED:
            object.__setattr__(self, "_used", _STEPPED)
        return y, after if two else after[0]

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
                    Weights(*(None if n is None else getattr(self, n) for n in self._names[k])),  # type: ignore[arg-type]
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
                y = functional.dropout(y, self.dropout, self.training)
            x = y
        return x, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))

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
