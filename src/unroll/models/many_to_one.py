"""The many-to-one model: a sequence in, one vector of outputs out."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.layers.conv import ConvFrontEnd
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.pooling import MeanPooling, Pooling
from unroll.layers.rnn import RNN
from unroll.layers.stack import Recurrent
from unroll.models.options import ModelOptions

_UNKNOWN = 1
_MULTIPLIER, _MODULUS = 1_000_003, 2_147_483_647


class TokenInput(nn.Module):
    """Token ids (B, T) to vectors (B, T, D). Id 0 is padding, 1 unknown.

        x_t = E[w_t] + sum over n = 2 ... N of G[hash(w_{t-n+1} ... w_t)]

    then dropout. E holds a vector for each token; G, with `ngrams` N above 1, holds `buckets` vectors that runs of
    tokens share by hashing (Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification"). In training,
    word dropout first makes tokens unknown.
    """

    def __init__(
        self,
        vocabulary: int,
        features: int,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        ngrams: int = 1,
        buckets: int = 0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, features, padding_idx=0)
        self.grams = nn.Embedding(buckets, features, padding_idx=0) if ngrams > 1 else None
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
                embedded = embedded + self.grams(self.buckets_of(x, n))
        return self.dropout(embedded)

    def buckets_of(self, x: Int[Tensor, "B T"], n: int) -> Int[Tensor, "B T"]:
        """The bucket of the run of n tokens that ends at each step; 0 where none does, and in padding."""
        if self.grams is None:
            raise TypeError("this input stage has no vectors for runs of tokens")
        buckets = self.grams.num_embeddings
        code = torch.full_like(x, n)
        for back in range(n - 1, -1, -1):
            code = (code * _MULTIPLIER + nn.functional.pad(x, (back, 0))[:, : x.size(1)]) % _MODULUS
        whole = (x != 0) & (torch.arange(x.size(1), device=x.device) >= n - 1)
        return torch.where(whole, code % (buckets - 1) + 1, 0)


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
            options.ngram_buckets,
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
        "backend": options.backend,
    }
    if options.recurrence == "lstm":
        return LSTM(width, options.hidden, proj_size=options.projection, forget_bias=options.forget_bias, **shared)
    if options.recurrence == "gru":
        return GRU(width, options.hidden, reset_after=options.reset_after, **shared)
    return RNN(width, options.hidden, nonlinearity=options.nonlinearity, **shared)
