"""Recurrent decoder with attention, and the bridge from an encoder's end to its start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.errors import OptionError, nearest
from unroll.layers.attention import AttentionLayer
from unroll.layers.pooling import MeanPooling
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.sequential import RecurrentSequential
from unroll.ops import rows

BridgeKind = Literal["last", "mean", "zeros"]


class Bridge(nn.Module):
    """Compute a decoder's initial state from an encoder's end.

        last    every state is W [the encoder's final states of all layers and directions] + b
        mean    every state is tanh(W [the mean of the encoder's outputs] + b)
        zeros   every state is zero

    `last` gives h from the encoder's h and an LSTM's c from its c; as in Cho et al. 2014, "Learning phrase
    representations using RNN encoder-decoder for statistical machine translation". `mean` as in Bahdanau, Cho & Bengio
    2015 and Xu et al. 2015, "Show, attend and tell".

    Args:
        kind: which of the three.
        states: widths of the decoder's states, such as (H,) or, for an LSTM, (H, H).
        layers: number of the decoder's layers.
        encoded: `last`: widths of the encoder's final states, all layers and directions together, one for each of
            `states`; `mean`: the width of its outputs, alone.

    Raises:
        OptionError: unknown kind, or the numbers of states differ.
    """

    def __init__(self, kind: BridgeKind, states: Sequence[int], layers: int, encoded: Sequence[int]) -> None:
        super().__init__()
        if kind not in get_args(BridgeKind):
            raise OptionError(f"bridge is {kind!r}{nearest(str(kind), get_args(BridgeKind))}")
        if kind == "last" and len(encoded) != len(states):
            raise OptionError(
                f"bridge is 'last', but the encoder has {len(encoded)} states and the decoder {len(states)}:"
                " take 'mean'"
            )
        self.kind: BridgeKind = kind
        self.states = tuple(states)
        self.layers = layers
        widths = {"last": [*encoded], "mean": [*encoded] * len(states), "zeros": []}[kind]
        self.maps = nn.ModuleList(nn.Linear(w, layers * n) for w, n in zip(widths, states, strict=False))
        self.pool = MeanPooling()

    def forward(
        self, memory: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"] | None, final: Any = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Compute the initial state, (layers, B, H) or a tuple of such.

        Args:
            memory: the encoder's outputs.
            lengths: of the rows; None: all are S.
            final: the encoder's final state, for `last`.
        """
        B = len(memory)
        if self.kind == "zeros":
            parts = [memory.new_zeros(self.layers, B, n) for n in self.states]
        elif self.kind == "mean":
            every = torch.full((B,), memory.size(1), device=memory.device) if lengths is None else lengths
            pool = self.pool if torch.is_grad_enabled() else rows.mean
            mean = pool(memory, every.to(memory.device))
            parts = [self._layers(torch.tanh(_apply(linear, mean))) for linear in self.maps]
        else:
            ends = final if isinstance(final, tuple) else (final,)
            flat = [end.transpose(0, 1).flatten(1) for end in ends]
            parts = [self._layers(_apply(linear, end)) for linear, end in zip(self.maps, flat, strict=True)]
        return tuple(parts) if len(parts) > 1 else parts[0]

    def _layers(self, flat: Float[Tensor, "B N"]) -> Float[Tensor, "L B H"]:
        return flat.unflatten(1, (self.layers, -1)).transpose(0, 1).contiguous()


def _apply(linear: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(linear, nn.Linear)  # noqa: S101 (a ModuleList has no type)
    return rows.linear(x, linear.weight, linear.bias)


class DecoderState(NamedTuple):
    """State of an attention decoder after some steps."""

    recurrent: Any
    """Of the recurrent layers."""
    fed: Float[Tensor, "B O"] | None
    """The last output, with input feeding; else None."""


class AttentionDecoder(nn.Module):
    """Decode with attention over a memory: the recurrence, then the attention, then a combination of both.

        s_u, state = recurrent(x_u, state)                  with input feeding: recurrent([x_u, o_{u-1}], state)
        c_u, a_u = attention(s_u, memory)
        o_u = tanh(W [s_u, c_u] + b)                        with `hidden` 0: o_u = [s_u, c_u]

    Without input feeding all U steps of the recurrence are one call, and the attention of all steps another. With it
    each step needs the one before: o_0 is zero, and the steps are computed one by one. Both give the same numbers for
    the whole sequence, in chunks with the state carried, and step by step.

    Papers: Luong, Pham & Manning 2015, "Effective approaches to attention-based neural machine translation" (attention
    after the recurrence; input feeding).

    Args:
        recurrent: the recurrent layers, batch first, in one direction; with input feeding they take `hidden` features
            more.
        attention: the attention, of queries as wide as the recurrent layers' outputs.
        hidden: width of o; 0: s and c side by side.
        input_feeding: feed o_{u-1} to the recurrence.

    Raises:
        OptionError: the layers are bidirectional, or input feeding without `hidden` or with a locked dropout.
    """

    def __init__(
        self,
        recurrent: RecurrentLayer | RecurrentSequential,
        attention: AttentionLayer,
        hidden: int = 0,
        *,
        input_feeding: bool = False,
    ) -> None:
        super().__init__()
        if recurrent.bidirectional:
            raise OptionError("a decoder goes forward only; its layers cannot be bidirectional")
        if input_feeding and not hidden:
            raise OptionError("input feeding feeds the combined output, so hidden must be above 0")
        self.recurrent = recurrent
        self.attention = attention
        self.combine = nn.Linear(recurrent.features + attention.features, hidden) if hidden else None
        self.features = hidden or recurrent.features + attention.features
        self.input_feeding = input_feeding

    def start(self, state: Any, rows: int) -> DecoderState:
        """Make the state before the first step from the recurrent layers' initial state, such as a bridge's."""
        if not self.input_feeding:
            return DecoderState(state, None)
        weight = next(self.parameters())
        return DecoderState(state, weight.new_zeros(rows, self.features))

    def forward(
        self,
        x: Float[Tensor, "B U D"],
        memory: Float[Tensor, "B S E"],
        state: DecoderState,
        memory_lengths: Int[Tensor, " B"] | None = None,
        lengths: Int[Tensor, " B"] | None = None,
        keys: Tensor | None = None,
    ) -> tuple[Float[Tensor, "B U O"], Float[Tensor, "B U S"], DecoderState]:
        """Decode U steps: compute o and the attention weights of each, and the state after the last.

        Args:
            x: the inputs, such as embedded tokens.
            memory: the encoder's outputs.
            state: the state before, from `start` or from the steps before.
            memory_lengths: lengths of the memory's rows; None: all are S.
            lengths: lengths of the rows of x; None: all are U. Beyond it o is undefined.
            keys: `attention.keys(memory, memory_lengths)`, if it is there already.
        """
        keys = self.attention.keys(memory, memory_lengths) if keys is None else keys
        if not self.input_feeding:
            s, recurrent = self.recurrent(x, state.recurrent, lengths=lengths)
            o, weights = self._attend(s, memory, memory_lengths, keys)
            return o, weights, DecoderState(recurrent, None)
        recurrent, fed = state
        if fed is None:
            raise OptionError("the state has no output to feed: make it with start()")
        outputs, looked = [], []
        for u in range(x.size(1)):
            inside = None if lengths is None else (lengths > u).to(lengths.dtype)
            joined = torch.cat([x[:, u], fed], 1).unsqueeze(1)
            s, recurrent = self.recurrent(joined, recurrent, lengths=inside)
            o, weights = self._attend(s, memory, memory_lengths, keys)
            after = o.squeeze(1)
            fed = after if inside is None else torch.where((inside > 0).to(x.device).unsqueeze(1), after, fed)
            outputs.append(o)
            looked.append(weights)
        return torch.cat(outputs, 1), torch.cat(looked, 1), DecoderState(recurrent, fed)

    def _attend(
        self, s: Tensor, memory: Tensor, lengths: Tensor | None, keys: Tensor
    ) -> tuple[Float[Tensor, "B U O"], Float[Tensor, "B U S"]]:
        c, weights = self.attention(s, memory, lengths, keys)
        joined = torch.cat([s, c], 2)
        return joined if self.combine is None else torch.tanh(self.combine(joined)), weights
