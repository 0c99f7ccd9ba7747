"""Character encoders: a vector for each token from its characters.

Shapes: chars (N, C) int64 character ids, 0 after a token's last one, to (N, F). A row of only padding gives zeros.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.layers.conv import ConvFrontEnd
from unroll.layers.lstm import LSTM
from unroll.layers.pooling import MaxPooling


class CharacterRecurrence(nn.Module):
    """Encode tokens by the final states of a bidirectional LSTM over their characters: F = 2 H.

        y = [h_n of the characters 1 ... n ; h_1 of the characters n ... 1]

    Lample et al. 2016, "Neural Architectures for Named Entity Recognition".

    Args:
        characters: number of character ids.
        embedding: character embedding size D.
        hidden: hidden size H of each direction.
        dropout: dropout of the character embeddings in training.
    """

    def __init__(self, characters: int, embedding: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = _table(characters, embedding)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.features = 2 * hidden

    def forward(self, chars: Int[Tensor, "N C"]) -> Float[Tensor, "N F"]:
        """Encode the tokens."""
        x = self.dropout(self.embedding(chars))
        _, (h, _) = self.recurrent(x, lengths=_lengths(chars))
        return h.transpose(0, 1).flatten(1)


class CharacterConvolution(nn.Module):
    """Encode tokens by a convolution over their characters and max pooling: F = the number of filters.

        c_t = tanh(W [x_{t-(k-1)//2} ... x_{t+k//2}] + b),    y = max_t c_t

    Ma & Hovy 2016, "End-to-end Sequence Labeling via Bi-directional LSTM-CNNs-CRF".

    Args:
        characters: number of character ids.
        embedding: character embedding size D.
        filters: number of filters F.
        kernel: kernel size k.
        dropout: dropout of the character embeddings in training.
    """

    def __init__(self, characters: int, embedding: int, filters: int, kernel: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = _table(characters, embedding)
        self.dropout = nn.Dropout(dropout)
        self.conv = ConvFrontEnd(embedding, filters, (kernel,), "tanh")
        self.pool = MaxPooling()
        self.features = filters

    def forward(self, chars: Int[Tensor, "N C"]) -> Float[Tensor, "N F"]:
        """Encode the tokens."""
        y, lengths = self.conv(self.dropout(self.embedding(chars)), _lengths(chars))
        return self.pool(y, lengths)


def _lengths(chars: Int[Tensor, "N C"]) -> Int[Tensor, " N"]:
    return (chars != 0).sum(1)


def _table(characters: int, features: int) -> nn.Embedding:
    """Make an embedding initialized from U(-sqrt(3 / D), sqrt(3 / D)), as in Ma & Hovy; row 0 is zero."""
    table = nn.Embedding(characters, features, padding_idx=0)
    bound = math.sqrt(3.0 / features)
    with torch.no_grad():
        table.weight.uniform_(-bound, bound)
        table.weight[0] = 0.0
    return table
