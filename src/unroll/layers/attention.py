"""Attention of a decoder over the steps of an encoder, with lengths."""

from __future__ import annotations

import math
from typing import Literal, Protocol, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.errors import OptionError, nearest
from unroll.layers.pooling import step_mask
from unroll.ops import rows

Score = Literal["additive", "dot", "general"]
AttentionKind = Literal["additive", "dot", "general", "multihead"]


class AttentionLayer(Protocol):
    """Protocol of an attention: `Attention` and `MultiHeadAttention`.

    Attributes:
        features: width of the context.
    """

    features: int

    def keys(self, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Project the memory (B, S, E), once for all queries."""
        ...

    def __call__(
        self, query: Tensor, memory: Tensor, lengths: Tensor | None = None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the context and the weights of queries (B, Q) or (B, U, Q)."""
        ...


class Attention(nn.Module):
    """Attend to an encoder's outputs m_1 ... m_S with a query q: additive, dot or general score.

        additive   e_s = v . tanh(W q + U m_s)
        dot        e_s = q . m_s                    (q and m_s of the same width)
        general    e_s = q . (W m_s)

        a = softmax_s(e)  over s < length,    c = sum_s a_s m_s

    Shapes: query (B, Q), or (B, U, Q) for the queries of U steps at once; memory (B, S, E); lengths (B,), any device,
    zeros allowed; None: every row is S long. The context is (B, E) or (B, U, E), the weights (B, S) or (B, U, S).

    Beyond a row's length the weights are zero, and the memory there (NaN included) has no effect. A row of length
    zero has weights and a context of zeros. For queries one by one, compute the memory's projection only once: pass
    `keys(memory, lengths)` to each call.

    Papers: additive, Bahdanau, Cho & Bengio 2015, "Neural machine translation by jointly learning to align and
    translate"; dot and general, Luong, Pham & Manning 2015, "Effective approaches to attention-based neural machine
    translation".

    Args:
        query: query size Q.
        memory: memory size E.
        score: the score function.
        hidden: rows of W and U of the additive score (0: Q).

    Raises:
        OptionError: unknown score; `dot` with different widths; `hidden` with another score than additive.
    """

    def __init__(self, query: int, memory: int, score: Score = "additive", hidden: int = 0) -> None:
        super().__init__()
        if score not in get_args(Score):
            raise OptionError(f"score is {score!r}{nearest(str(score), get_args(Score))}")
        if score == "dot" and query != memory:
            raise OptionError(f"score 'dot' needs queries and memory of one width, and they have {query} and {memory}")
        if hidden and score != "additive":
            raise OptionError(f"hidden goes with score 'additive', not '{score}'")
        self.score: Score = score
        self.features = memory
        self.queries: nn.Module = nn.Identity()
        self.memories: nn.Module = nn.Identity()
        self.values: nn.Module = nn.Identity()
        if score == "additive":
            self.queries = nn.Linear(query, hidden or query)
            self.memories = nn.Linear(memory, hidden or query, bias=False)
            self.values = nn.Linear(hidden or query, 1, bias=False)
        elif score == "general":
            self.memories = nn.Linear(memory, query, bias=False)

    def keys(self, memory: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"] | None = None) -> Float[Tensor, "B S A"]:
        """Project the memory to the keys of the score."""
        memory = _own(memory, lengths)
        return rows.linear(memory, self.memories.weight) if isinstance(self.memories, nn.Linear) else memory

    def forward(
        self,
        query: Float[Tensor, "B *U Q"],
        memory: Float[Tensor, "B S E"],
        lengths: Int[Tensor, " B"] | None = None,
        keys: Float[Tensor, "B S A"] | None = None,
    ) -> tuple[Float[Tensor, "B *U E"], Float[Tensor, "B *U S"]]:
        """Compute the context and the attention weights."""
        alone = query.dim() == 2
        memory = _own(memory, lengths)
        q = self.queries(query.unsqueeze(1) if alone else query)
        k = self.keys(memory) if keys is None else keys
        if self.score == "additive":
            scores = self.values(torch.tanh(q.unsqueeze(2) + k.unsqueeze(1))).squeeze(3)  # (B, U, S)
        else:
            scores = q @ k.transpose(1, 2)
        weights = _weights(scores, lengths)
        context = weights @ memory
        return (context.squeeze(1), weights.squeeze(1)) if alone else (context, weights)


class MultiHeadAttention(nn.Module):
    """Attend with several heads: each has its own projections of queries, keys and values.

        e_hs = (W_h q) . (U_h m_s) / sqrt(A / heads)        a_h = softmax_s(e_h)  over s < length
        c = O [sum_s a_1s V_1 m_s, ..., sum_s a_Hs V_H m_s]

    Shapes, lengths and `keys` as in `Attention`; the keys hold the projected values too, (B, S, 2 A). The weights
    returned are the mean over the heads. Paper: Vaswani et al. 2017, "Attention is all you need".

    Args:
        query: query size Q.
        memory: memory size E.
        heads: number of heads.
        hidden: width A of all heads' projections together, a multiple of `heads` (0: Q).

    Raises:
        OptionError: the width cannot be split into the heads.
    """

    def __init__(self, query: int, memory: int, heads: int = 4, hidden: int = 0) -> None:
        super().__init__()
        width = hidden or query
        if heads < 1 or width % heads:
            raise OptionError(f"attention of {heads} heads needs a width that they divide, and it is {width}")
        self.heads = heads
        self.features = memory
        self.queries = nn.Linear(query, width)
        self.memories = nn.Linear(memory, 2 * width, bias=False)
        self.output = nn.Linear(width, memory)

    def keys(self, memory: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"] | None = None) -> Float[Tensor, "B S A"]:
        """Project the memory to keys and values, side by side."""
        return rows.linear(_own(memory, lengths), self.memories.weight)

    def forward(
        self,
        query: Float[Tensor, "B *U Q"],
        memory: Float[Tensor, "B S E"],
        lengths: Int[Tensor, " B"] | None = None,
        keys: Float[Tensor, "B S A"] | None = None,
    ) -> tuple[Float[Tensor, "B *U E"], Float[Tensor, "B *U S"]]:
        """Compute the context and the attention weights, their mean over the heads."""
        alone = query.dim() == 2
        q = self.queries(query.unsqueeze(1) if alone else query)
        projected = self.keys(memory, lengths) if keys is None else keys
        q, k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (q, *projected.chunk(2, 2)))
        weights = _weights(q @ k.transpose(2, 3) / math.sqrt(q.size(3)), lengths)  # (B, heads, U, S)
        context = self.output((weights @ v).transpose(1, 2).flatten(2))
        weights = weights.mean(1)
        return (context.squeeze(1), weights.squeeze(1)) if alone else (context, weights)


def make_attention(kind: AttentionKind, query: int, memory: int, heads: int = 4) -> Attention | MultiHeadAttention:
    """Make an attention of queries and a memory of these widths; `heads` is for `multihead`.

    Raises:
        OptionError: the widths do not go with the kind.
    """
    if kind == "multihead":
        return MultiHeadAttention(query, memory, heads)
    return Attention(query, memory, kind)


def _weights(scores: Float[Tensor, "B *U S"], lengths: Int[Tensor, " B"] | None) -> Float[Tensor, "B *U S"]:
    """Softmax over the steps of each row; zero beyond its length."""
    if lengths is None:
        return scores.softmax(-1)
    outside = ~step_mask(lengths.to(scores.device), scores.size(-1))
    outside = outside.view(len(lengths), *[1] * (scores.dim() - 2), -1)
    return scores.masked_fill(outside, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(outside, 0.0)


def _own(memory: Float[Tensor, "B S E"], lengths: Int[Tensor, " B"] | None) -> Float[Tensor, "B S E"]:
    """Zero the memory beyond each row's length, so that NaN there does not reach the gradients."""
    if lengths is None:
        return memory
    return memory.masked_fill(~step_mask(lengths.to(memory.device), memory.size(1)).unsqueeze(2), 0.0)
