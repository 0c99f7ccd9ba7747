"""Input stages: token embeddings and numeric features, before the first recurrent layer."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unroll.data.ragged import RaggedDataset
from unroll.errors import OptionError

_UNKNOWN = 1
_NO_RUN = 2**62


class TokenEmbedding(nn.Module):
    """Embed token ids (B, T) as vectors (B, T, D), optionally with n-grams. Id 0 is padding, 1 unknown.

        x_t = E[w_t] + sum over n = 2 ... N of G[g(w_{t-n+1} ... w_t)]

    then dropout. E has a vector for each token. With `ngrams` N above 1, G has one for each of the `known` most
    common n-grams of the training data (found by `learn_ngrams`), g is an n-gram's index among them, and other
    n-grams add nothing. In training, word dropout first replaces tokens by the unknown token, and vector dropout
    sets whole rows of E to zero for the whole batch and scales the others by 1 / (1 - p).

    N-grams as features: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification". Vector dropout: Gal &
    Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks".
    """

    codes: Tensor

    def __init__(
        self,
        vocabulary: int,
        features: int,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        ngrams: int = 1,
        known: int = 0,
        *,
        vector_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if vocabulary**ngrams >= _NO_RUN:
            raise OptionError(
                f"ngrams is {ngrams}; with a vocabulary of {vocabulary} runs that long cannot be numbered"
            )
        self.embedding = _table(vocabulary, features, 0.1)
        self.grams: nn.Embedding | None = None
        if ngrams > 1:
            self.grams = _table(known + 1, features, 0.01)
            self.register_buffer("codes", torch.full((known,), _NO_RUN))
        self.ngrams = ngrams
        self.dropout = nn.Dropout(dropout)
        self.word_dropout = word_dropout
        self.vector_dropout = vector_dropout
        self.features = features

    def forward(self, x: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Embed the tokens."""
        if self.training and self.word_dropout:
            dropped = torch.rand(x.shape, device=x.device) < self.word_dropout
            x = torch.where(dropped & (x != 0), _UNKNOWN, x)
        table = self.embedding.weight
        if self.training and self.vector_dropout:
            table = table * functional.dropout(table.new_ones(len(table), 1), self.vector_dropout)
        embedded = functional.embedding(x, table, padding_idx=0)
        if self.grams is not None:
            for n in range(2, self.ngrams + 1):
                embedded = embedded + self.grams(self._places(self._runs(x, n)))
        return self.dropout(embedded)

    def learn_ngrams(self, examples: RaggedDataset) -> None:
        """Learn the n-grams that occur in the most rows of `examples`, and in at least two.

        N-grams with an unknown token do not count. Ties are broken by the n-grams' codes.
        """
        if self.grams is None:
            return
        row_codes = []
        for row in range(len(examples)):
            x = torch.from_numpy(examples.take(np.array([row]))[0].astype(np.int64)).unsqueeze(0)
            runs = torch.cat([self._runs(x, n) for n in range(2, self.ngrams + 1)], 1)
            row_codes.append(runs[runs != _NO_RUN].unique().numpy())
        codes, counts = np.unique(np.concatenate(row_codes), return_counts=True)
        codes, counts = codes[counts > 1], counts[counts > 1]
        best = np.sort(codes[np.argsort(-counts, kind="stable")[: len(self.codes)]])
        self.codes.fill_(_NO_RUN)
        self.codes[: len(best)] = torch.from_numpy(best)

    def _runs(self, x: Int[Tensor, "B T"], n: int) -> Int[Tensor, "B T"]:
        """Encode the n-gram that ends at each step as a number; `_NO_RUN` if there is none."""
        code = torch.zeros_like(x)
        whole = torch.ones_like(x, dtype=torch.bool)
        for back in range(n - 1, -1, -1):
            token = functional.pad(x, (back, 0))[:, : x.size(1)]
            code = code * self.embedding.num_embeddings + token
            whole &= token > _UNKNOWN
        return torch.where(whole, code, _NO_RUN)

    def _places(self, runs: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """Look up the n-grams' rows of G, from 1; 0 for unknown n-grams."""
        place = torch.searchsorted(self.codes, runs).clamp(max=len(self.codes) - 1)
        return torch.where((self.codes[place] == runs) & (runs != _NO_RUN), place + 1, 0)


def _table(rows: int, features: int, most: float) -> nn.Embedding:
    """Make an embedding initialized from U(-most, most), with a zero row 0 for padding."""
    table = nn.Embedding(rows, features, padding_idx=0)
    with torch.no_grad():
        table.weight.uniform_(-most, most)
        table.weight[0] = 0.0
    return table


class SeriesInput(nn.Module):
    """Pass numeric features (B, T, D) on, or project them linearly to `projection` values."""

    def __init__(self, features: int, projection: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, projection) if projection else nn.Identity()
        self.features = projection or features

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T P"]:
        """Project the features."""
        return self.project(x)
