"""Steps of a trained decoder for many rows, whose numbers do not depend on the other rows (see `ops.rows`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unroll.layers.attention import Attention, AttentionLayer, MultiHeadAttention
from unroll.layers.decoder import AttentionDecoder, DecoderState
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.sequential import RecurrentSequential
from unroll.ops.cpu import packed
from unroll.ops.cpu.support import lacks
from unroll.ops.rows import RowLinear


class RowRecurrent:
    """Step recurrent layers in evaluation mode, with their weights laid out once where a compiled kernel serves them.

    Args:
        recurrent: the layers, batch first; a later change of their weights may have no effect.
    """

    def __init__(self, recurrent: RecurrentLayer | RecurrentSequential) -> None:
        parts: list[RecurrentLayer] = list(recurrent) if isinstance(recurrent, RecurrentSequential) else [recurrent]
        self._chained = isinstance(recurrent, RecurrentSequential)
        self._parts = [_packed_layers(part) or part for part in parts]

    def __call__(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Compute the outputs (N, H) and the state after a step from x (N, D) and the state before."""
        if not self._chained:
            return _step(self._parts[0], x, state)
        ends = []
        for part, start in zip(self._parts, state, strict=True):
            x, end = _step(part, x, start)
            ends.append(end)
        return x, tuple(ends)


def _packed_layers(layer: RecurrentLayer) -> list[packed.PackedStep] | None:
    """Lay the layer's weights out, one entry for each of its stacked layers; None if no kernel serves it."""
    plain = not (layer.layer_norm or layer.residual) and layer.backend in ("auto", "cpu")
    weights = [layer.weights_of(k) for k in range(layer.num_layers)]
    if not plain or lacks(layer.recurrence, recurrent_dropout=False) or not packed.servable(*weights[0].values()):
        return None
    return [packed.PackedStep(layer.recurrence, one) for one in weights]


def _step(part: RecurrentLayer | list[packed.PackedStep], x: Tensor, state: Any) -> tuple[Tensor, Any]:
    if isinstance(part, RecurrentLayer):
        y, state = part(x.unsqueeze(1), state)  # not `step`, whose sums for few rows are in another order
        return y.squeeze(1), state
    before: tuple[Tensor, ...] = state if isinstance(state, tuple) else (state,)
    ends: list[tuple[Tensor, ...]] = []
    for k, layer in enumerate(part):
        after = layer(x, tuple(s[k] for s in before))
        ends.append(after)
        x = after[0]
    stacked = [torch.stack(each) for each in zip(*ends, strict=True)]
    return x, tuple(stacked) if isinstance(state, tuple) else stacked[0]


class RowAttention:
    """Attend from rows over a memory that several of them can share.

    Args:
        attention: the attention; a later change of its weights may have no effect.
    """

    def __init__(self, attention: AttentionLayer) -> None:
        self._attention = attention
        maps: list[nn.Module] = []
        if isinstance(attention, (Attention, MultiHeadAttention)):
            maps = [attention.queries, *([attention.output] if isinstance(attention, MultiHeadAttention) else [])]
        self._maps = [RowLinear(m.weight, m.bias) if isinstance(m, nn.Linear) else None for m in maps]

    def __call__(
        self, query: Tensor, memory: Tensor, keys: Tensor, lengths: Tensor | None, row: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute contexts (N, E) and weights (N, S) of queries (N, Q), each over row `row` (N,) of the memory.

        Args:
            query: (N, Q).
            memory: (B, S, E), zero beyond the lengths.
            keys: `attention.keys(memory, lengths)`.
            lengths: (B,), or None.
            row: (N,) int64.
        """
        attention = self._attention
        known = isinstance(attention, (Attention, MultiHeadAttention))
        if not known or not packed.servable(query, memory, keys) or 1 not in (keys.stride(2), keys.shape[2]):
            inside = None if lengths is None else lengths[row]
            return attention(query, memory[row], inside, keys[row])
        asked = self._maps[0](query) if self._maps[0] is not None else query
        lengths = None if lengths is None else lengths.contiguous()
        if isinstance(attention, Attention):
            v = attention.values.weight.view(-1) if isinstance(attention.values, nn.Linear) else None
            return packed.attend(asked, keys, memory.contiguous(), row, lengths, v=v)
        k, values = keys.chunk(2, 2)
        scale = 1 / math.sqrt(k.shape[2] // attention.heads)
        context, weights = packed.attend(asked, k, values, row, lengths, heads=attention.heads, scale=scale)
        assert self._maps[1] is not None  # noqa: S101 (the output's map)
        return self._maps[1](context), weights


class RowDecoder:
    """Step an `AttentionDecoder` in evaluation mode.

    Args:
        decoder: the decoder; a later change of its weights may have no effect.
    """

    def __init__(self, decoder: AttentionDecoder) -> None:
        self._recurrent = RowRecurrent(decoder.recurrent)
        self._attention = RowAttention(decoder.attention)
        combine = decoder.combine
        self._combine = None if combine is None else RowLinear(combine.weight, combine.bias, tanh=True)

    def __call__(
        self, x: Tensor, state: DecoderState, memory: Tensor, keys: Tensor, lengths: Tensor | None, row: Tensor
    ) -> tuple[Tensor, Tensor, DecoderState]:
        """Compute o (N, O), the attention weights (N, S) and the state after a step from x (N, D).

        Args:
            x: the inputs.
            state: the state before.
            memory: the encoder's outputs (B, S, E), zero beyond the lengths.
            keys: `attention.keys(memory, lengths)`.
            lengths: of the memory's rows, or None.
            row: the memory's row of each of the N.
        """
        joined: Sequence[Tensor] = (x,) if state.fed is None else (x, state.fed)
        s, recurrent = self._recurrent(torch.cat(list(joined), 1), state.recurrent)
        c, weights = self._attention(s, memory, keys, lengths, row)
        o = torch.cat([s, c], 1)
        o = o if self._combine is None else self._combine(o)
        return o, weights, DecoderState(recurrent, None if state.fed is None else o)
