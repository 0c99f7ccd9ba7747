"""Encoders of an encoder-decoder."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.sequential import RecurrentSequential
from unroll.models.embedding import TokenEmbedding


class Encoded(NamedTuple):
    """What an encoder gives a decoder."""

    memory: Float[Tensor, "B S E"]
    lengths: Int[Tensor, " B"] | None
    """On the memory's device; None: every row is S long."""
    final: Any
    """The recurrent layers' final state, for a bridge of kind `last`; else None."""


class Encoder(Protocol):
    """Protocol of an encoder, an `nn.Module`."""

    features: int
    """Width E of the memory."""

    def __call__(self, x: Tensor, lengths: Tensor, inputs: TokenEmbedding) -> Encoded:
        """Encode a batch; `inputs` is the target's embedding, for encoders that share it."""
        ...


class TextEncoder(nn.Module):
    """Encode token ids: embedding -> recurrent stack. The memory is the stack's outputs.

    Args:
        inputs: the embedding of the source; None: the target's is used for both.
        recurrent: the recurrent layers, batch first, in one or both directions.
    """

    def __init__(self, inputs: TokenEmbedding | None, recurrent: RecurrentLayer | RecurrentSequential) -> None:
        super().__init__()
        self.inputs = inputs
        self.recurrent = recurrent
        self.features = recurrent.features

    def forward(self, x: Int[Tensor, "B S"], lengths: Int[Tensor, " B"], inputs: TokenEmbedding) -> Encoded:
        """Encode the rows."""
        lengths = lengths.to(x.device)
        embedded = (inputs if self.inputs is None else self.inputs)(x)
        memory, final = self.recurrent(embedded, lengths=lengths)
        return Encoded(memory, lengths, final)
