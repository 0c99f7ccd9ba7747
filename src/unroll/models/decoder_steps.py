"""Decoding token by token with a trained encoder-decoder, for a search over many texts at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unroll.layers.decoder import AttentionDecoder, DecoderState
from unroll.layers.row_steps import RowDecoder
from unroll.models.embedding import TokenEmbedding
from unroll.models.encoder import Encoded
from unroll.ops.rows import RowLinear


class SearchState(NamedTuple):
    """State of N texts that are being decoded."""

    steps: DecoderSteps
    decoder: DecoderState
    encoded: Encoded
    """Of the B rows of the source, which several texts can share."""
    keys: Tensor
    source: Int[Tensor, "B S"] | None
    """The source's tokens, if they can be copied."""
    row: Int[Tensor, " N"]
    """The source row of each text."""
    attention: Float[Tensor, "N S"]
    """Weights of the last step; zero before the first."""

    def select(self, rows: Int[Tensor, " M"]) -> SearchState:
        """Select texts, in that order; an index may repeat."""
        rows = rows.to(self.row.device)
        recurrent, fed = self.decoder
        decoder = DecoderState(_selected(recurrent, rows), None if fed is None else fed[rows])
        return self._replace(decoder=decoder, row=self.row[rows], attention=self.attention[rows])

    def lengths(self) -> Int[Tensor, " B"]:
        """Return the lengths of the source's rows."""
        memory, lengths, _ = self.encoded
        return torch.full((len(memory),), memory.size(1), device=memory.device) if lengths is None else lengths


class DecoderSteps:
    """Step embedding, decoder and softmax, with the weights laid out once; a later change of them may have no effect.

    Args:
        inputs: the target's embedding.
        decoder: the decoder.
        matrix: W (V, O) of the softmax.
        bias: of the softmax, if there is one.
        gate: of the copies, if there are any.
    """

    def __init__(
        self,
        inputs: TokenEmbedding,
        decoder: AttentionDecoder,
        matrix: Tensor,
        bias: Tensor | None,
        gate: nn.Linear | None,
    ) -> None:
        self._inputs = inputs
        self._decoder = RowDecoder(decoder)
        self._head = RowLinear(matrix, bias)
        self._gate = None if gate is None else RowLinear(gate.weight, gate.bias)

    def __call__(self, ids: Int[Tensor, " N"], state: SearchState) -> tuple[Float[Tensor, "N V"], SearchState]:
        """Read one more token of each text; return log p of every next token, and the state."""
        memory, lengths, _ = state.encoded
        x = self._inputs(ids.to(memory.device).unsqueeze(1)).squeeze(1)
        o, weights, decoder = self._decoder(x, state.decoder, memory, state.keys, lengths, state.row)
        log_p = functional.log_softmax(self._head(o), 1)
        if self._gate is not None and state.source is not None:
            log_p = with_copies(log_p, self._gate(o), weights, state.source[state.row])
        return log_p, state._replace(decoder=decoder, attention=weights)


def with_copies(
    log_p: Float[Tensor, "N V"], gate: Float[Tensor, "N 1"], weights: Float[Tensor, "N S"], source: Int[Tensor, "N S"]
) -> Float[Tensor, "N V"]:
    """Mix the softmax with the attention on each token of the source: log of g p + (1 - g) p_copied, g = sigmoid(gate).

    Computed in float64: PyTorch's exponentials can differ in the last place with an element's position.
    """
    wide = log_p.double()
    gate = gate.double()
    copied = torch.zeros_like(wide).scatter_add(1, source, weights.double())
    pointed = functional.logsigmoid(-gate) + copied.clamp(min=torch.finfo(torch.float32).tiny).log()
    return torch.logaddexp(functional.logsigmoid(gate) + wide, pointed).to(log_p.dtype)


def _selected(state: Any, rows: Tensor) -> Any:
    """Select rows of recurrent states, each (layers, N, H)."""
    if state is None or isinstance(state, Tensor):
        return None if state is None else state.index_select(1, rows)
    return tuple(_selected(part, rows) for part in state)
