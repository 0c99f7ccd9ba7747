"""The many-to-one model: a sequence in, one vector of outputs out."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.data.examples import Examples
from unroll.errors import OptionError
from unroll.layers.conv import ConvFrontEnd
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.pooling import MeanPooling, Pooling
from unroll.layers.rnn import RNN
from unroll.layers.stack import Recurrent
from unroll.models.options import ModelOptions

_UNKNOWN = 1
_NO_RUN = 2**62


class TokenInput(nn.Module):
    """Token ids (B, T) to vectors (B, T, D). Id 0 is padding, 1 unknown.

        x_t = E[w_t] + sum over n = 2 ... N of G[g(w_{t-n+1} ... w_t)]

    then dropout. E holds a vector for each token; G, with `ngrams` N above 1, holds one for each of the `known` runs
    of tokens that are most common in the training part (`learn_ngrams` finds them), g is a run's place among them,
    and a run that is not among them adds nothing. In training, word dropout first makes tokens unknown.

    Runs as features: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification".
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
        self.features = features

    def forward(self, x: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """The embedded tokens."""
        if self.training and self.word_dropout:
            dropped = torch.rand(x.shape, device=x.device) < self.word_dropout
            x = torch.where(dropped & (x != 0), _UNKNOWN, x)
        embedded = self.embedding(x)
        if self.grams is not None:
            for n in range(2, self.ngrams + 1):
                embedded = embedded + self.grams(self._places(self._runs(x, n)))
        return self.dropout(embedded)

    def learn_ngrams(self, examples: Examples) -> None:
        """Keep the runs of tokens that stand in the most rows of `examples`, and in two at least.

        Runs with a token that is unknown do not count. Ties are broken by the tokens' ids.
        """
        if self.grams is None:
            return
        found = []
        for row in range(len(examples)):
            x = torch.from_numpy(examples.take(np.array([row]))[0].astype(np.int64)).unsqueeze(0)
            runs = torch.cat([self._runs(x, n) for n in range(2, self.ngrams + 1)], 1)
            found.append(runs[runs != _NO_RUN].unique().numpy())
        codes, counts = np.unique(np.concatenate(found), return_counts=True)
        codes, counts = codes[counts > 1], counts[counts > 1]
        best = np.sort(codes[np.argsort(-counts, kind="stable")[: len(self.codes)]])
        self.codes.fill_(_NO_RUN)
        self.codes[: len(best)] = torch.from_numpy(best)

    def _runs(self, x: Int[Tensor, "B T"], n: int) -> Int[Tensor, "B T"]:
        """The number of the run of n tokens that ends at each step; `_NO_RUN` where there is none."""
        code = torch.zeros_like(x)
        whole = torch.ones_like(x, dtype=torch.bool)
        for back in range(n - 1, -1, -1):
            token = nn.functional.pad(x, (back, 0))[:, : x.size(1)]
            code = code * self.embedding.num_embeddings + token
            whole &= token > _UNKNOWN
        return torch.where(whole, code, _NO_RUN)

    def _places(self, runs: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """Rows of G, from 1; 0 for runs that are not known."""
        place = torch.searchsorted(self.codes, runs).clamp(max=len(self.codes) - 1)
        return torch.where((self.codes[place] == runs) & (runs != _NO_RUN), place + 1, 0)


def _table(rows: int, features: int, most: float) -> nn.Embedding:
    """Vectors that start within +-most, small enough for training to move them; row 0 is zero."""
    table = nn.Embedding(rows, features, padding_idx=0)
    with torch.no_grad():
        table.weight.uniform_(-most, most)
        table.weight[0] = 0.0
    return table


class SeriesInput(nn.Module):
    """Numeric features (B, T, D) as they are, or projected linearly to `projection` values."""

    def __init__(self, features: int, projection: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, projection) if projection else nn.Identity()
        self.features = projection or features

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T P"]:
        """The projected features."""
        return self.project(x)


class ManyToOne(nn.Module):
    """input stage -> [convolution front end] -> recurrent stack -> pooling -> head.

    `forward(x, lengths)` takes token ids (B, T) or features (B, T, D) and returns logits or values (B, K). With
    `input_pool` the input stage's output is pooled too and stands beside the recurrent stack's before the head.
    """

    def __init__(
        self,
        inputs: TokenInput | SeriesInput,
        conv: ConvFrontEnd | None,
        recurrent: Recurrent,
        pool: Pooling,
        input_pool: MeanPooling | None,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.conv = conv
        self.recurrent = recurrent
        self.pool = pool
        self.input_pool = input_pool
        self.head = head

    def forward(self, x: Tensor, lengths: Int[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """The head's output for each row."""
        lengths = lengths.to(x.device)
        y = self.inputs(x)
        beside = None if self.input_pool is None else self.input_pool(y, lengths)
        if self.conv is not None:
            y, lengths = self.conv(y, lengths)
        y, _ = self.recurrent(y, lengths=lengths)
        pooled = self.pool(y, lengths)
        return self.head(pooled if beside is None else torch.cat([pooled, beside], dim=1))


def build(
    options: ModelOptions, *, outputs: int, vocabulary: int | None = None, features: int | None = None
) -> ManyToOne:
    """The model that `options` describe, for token ids (`vocabulary`) or for numeric steps (`features`).

    Exactly one of `vocabulary` and `features` is given; `outputs` is K.
    """
    if (vocabulary is None) == (features is None):
        raise TypeError("give exactly one of vocabulary and features")
    if vocabulary is not None:
        inputs = TokenInput(
            vocabulary,
            options.embedding,
            options.embedding_dropout,
            options.word_dropout,
            options.ngrams,
            options.ngram_vocabulary,
        )
    else:
        inputs = SeriesInput(features or 0, options.input_projection)
    width, conv = inputs.features, None
    if options.conv_filters:
        conv = ConvFrontEnd(
            width, options.conv_filters, options.conv_kernels, options.conv_activation, options.conv_pool
        )
        width = conv.features
    recurrent = _recurrent(options, width)
    directions = 2 if options.bidirectional else 1
    pool = Pooling(options.pooling, (options.projection or options.hidden) * directions, directions)
    input_pool = MeanPooling() if options.pool_inputs else None
    pooled = pool.features + (inputs.features if options.pool_inputs else 0)
    head = nn.Sequential(nn.Dropout(options.head_dropout), nn.Linear(pooled, outputs))
    return ManyToOne(inputs, conv, recurrent, pool, input_pool, head)


def _recurrent(options: ModelOptions, width: int) -> Recurrent:
    shared = {
        "num_layers": options.layers,
        "batch_first": True,
        "dropout": options.dropout if options.layers > 1 else 0.0,
        "bidirectional": options.bidirectional,
        "init": options.init,
        "learn_initial_state": options.learn_initial_state,
        "input_dropout": options.input_dropout,
        "output_dropout": options.output_dropout,
        "recurrent_dropout": options.recurrent_dropout,
        "residual": options.residual,
        "layer_norm": options.layer_norm,
        "memory": options.memory,
        "backend": options.backend,
    }
    if options.recurrence == "lstm":
        return LSTM(width, options.hidden, proj_size=options.projection, forget_bias=options.forget_bias, **shared)
    if options.recurrence == "gru":
        return GRU(width, options.hidden, reset_after=options.reset_after, **shared)
    return RNN(width, options.hidden, nonlinearity=options.nonlinearity, **shared)
