"""Sequence classification and regression: a sequence in, one vector of outputs out (many-to-one)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.layers.conv import ConvFrontEnd
from unroll.layers.pooling import MeanPooling, Pooling
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.sequential import RecurrentSequential
from unroll.models.embedding import SeriesInput, TokenEmbedding
from unroll.models.options import ModelOptions, RecurrentOptions, TokenOptions
from unroll.models.recurrent import recurrent_stack, recurrent_width


class SequenceClassifier(nn.Module):
    """Classify sequences: input stage -> [convolution front end] -> recurrent stack -> pooling -> head.

    `forward(x, lengths)` takes token ids (B, T) or features (B, T, D) and returns logits or values (B, K). With
    `input_pool` the input stage's output is pooled too and concatenated to the recurrent stack's before the head.
    """

    def __init__(
        self,
        inputs: TokenEmbedding | SeriesInput,
        conv: ConvFrontEnd | None,
        recurrent: RecurrentLayer | RecurrentSequential,
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
        """Compute the head's output for each row."""
        lengths = lengths.to(x.device)
        y = self.inputs(x)
        beside = None if self.input_pool is None else self.input_pool(y, lengths)
        if self.conv is not None:
            y, lengths = self.conv(y, lengths)
        y, _ = self.recurrent(y, lengths=lengths)
        pooled = self.pool(y, lengths)
        return self.head(pooled if beside is None else torch.cat([pooled, beside], dim=1))


def build(
    options: ModelOptions,
    recurrent: RecurrentOptions,
    tokens: TokenOptions,
    *,
    outputs: int,
    vocabulary: int | None = None,
    features: int | None = None,
) -> SequenceClassifier:
    """Build the classifier from its options, for token ids (`vocabulary`) or for numeric steps (`features`).

    Exactly one of `vocabulary` and `features` is given; `outputs` is K.
    """
    if (vocabulary is None) == (features is None):
        raise TypeError("give exactly one of vocabulary and features")
    if vocabulary is not None:
        inputs = TokenEmbedding(
            vocabulary,
            tokens.embedding_dim,
            tokens.embedding_dropout,
            tokens.word_dropout,
            options.ngrams,
            options.ngram_vocab_size,
            vector_dropout=tokens.embedding_row_dropout,
        )
    else:
        inputs = SeriesInput(features or 0, options.input_projection)
    width, conv = inputs.features, None
    if options.conv_filters:
        conv = ConvFrontEnd(
            width, options.conv_filters, options.conv_kernel_sizes, options.conv_activation, options.conv_pool
        )
        width = conv.features
    stack = recurrent_stack(recurrent, width)
    pool = Pooling(options.pooling, recurrent_width(recurrent), 2 if recurrent.bidirectional else 1)
    input_pool = MeanPooling() if options.pool_inputs else None
    pooled = pool.features + (inputs.features if options.pool_inputs else 0)
    head = nn.Sequential(nn.Dropout(options.head_dropout), nn.Linear(pooled, outputs))
    return SequenceClassifier(inputs, conv, stack, pool, input_pool, head)
