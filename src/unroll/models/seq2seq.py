"""Encoder-decoder with attention: a source in, a target token by token out."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unroll.errors import OptionError
from unroll.layers.attention import make_attention
from unroll.layers.decoder import AttentionDecoder, Bridge, DecoderState
from unroll.layers.pooling import step_mask
from unroll.layers.softmax import FullSoftmax
from unroll.models.decoder_steps import DecoderSteps, SearchState, with_copies
from unroll.models.embedding import TokenEmbedding
from unroll.models.encoder import Encoded, TextEncoder
from unroll.models.options import DecoderOptions, RecurrentOptions, TokenOptions
from unroll.models.recurrent import LOCKED, recurrent_stack, recurrent_width, state_widths


class Decoded(NamedTuple):
    """A decoder's outputs at every step of known targets."""

    features: Float[Tensor, "B U O"]
    """The softmax's input."""
    attention: Float[Tensor, "B U S"]
    inside: Bool[Tensor, "B U"]
    """Where there is a target."""
    source: Int[Tensor, "B S"] | None
    """The source's tokens, if they can be copied."""


class Seq2Seq(nn.Module):
    """Model a target given a source: encoder -> bridge -> decoder with attention -> softmax.

        m, lengths = encoder(source)
        o_u, a_u = decoder(E[y_{u-1}], m)           y_0 is padding, whose vector is zero
        p(y_u | y_1 ... y_{u-1}, source) = softmax(W d(o_u) + b)

    With `tied`, W is E. With `copy`, p = g softmax(...) + (1 - g) sum over s with source_s = y_u of a_us, where
    g = sigmoid(v . o_u + b): See, Liu & Manning 2017, "Get to the point: summarization with pointer-generator networks"
    (without its extended vocabulary). With `teacher_forcing` below 1, training reads its own likeliest tokens at a
    random share of the steps, found by a first pass over the true ones: Bengio et al. 2015, "Scheduled sampling for
    sequence prediction with recurrent neural networks"; Duckworth et al. 2019, "Parallel scheduled sampling".

    Args:
        encoder: `TextEncoder`, or another of the protocol `Encoder`.
        bridge: from the encoder's end to the decoder's state.
        inputs: embedding of the V target tokens; the last id ends a text.
        decoder: recurrence and attention.
        head: the softmax; with `tied`, one without its own matrix.
        tied: use the embedding's matrix as the softmax's.
        head_dropout: dropout on o.
        copy: learn to copy source tokens, whose ids must be those of the target.
        teacher_forcing: share of the steps that are given the true token before them in training.
    """

    def __init__(
        self,
        encoder: nn.Module,
        bridge: Bridge,
        inputs: TokenEmbedding,
        decoder: AttentionDecoder,
        head: FullSoftmax,
        *,
        tied: bool,
        head_dropout: float = 0.0,
        copy: bool = False,
        teacher_forcing: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.bridge = bridge
        self.inputs = inputs
        self.decoder = decoder
        self.dropout = nn.Dropout(head_dropout)
        self.head = head
        self.tied = tied
        self.gate = nn.Linear(decoder.features, 1) if copy else None
        self.teacher_forcing = teacher_forcing

    @property
    def vocabulary(self) -> int:
        """Number of target tokens V, the end's included."""
        return self.head.classes

    @property
    def end(self) -> int:
        """Id of the token that ends a text."""
        return self.vocabulary - 1

    def forward(
        self,
        x: Tensor,
        lengths: Int[Tensor, " B"],
        target: Int[Tensor, "B U"],
        target_lengths: Int[Tensor, " B"],
    ) -> Decoded:
        """Decode known targets: step u is given the tokens before u.

        Args:
            x: what the encoder reads: tokens (B, S), or features (B, S, D).
            lengths: lengths of the rows of x.
            target: the targets, each ending with `end`; anything beyond a row's length.
            target_lengths: lengths of the targets, with their ends.
        """
        encoded, start = self._encode(x, lengths)
        given = functional.pad(target[:, :-1], (1, 0))
        target_lengths = target_lengths.to(target.device)
        keys = self.decoder.attention.keys(encoded.memory, encoded.lengths)

        def decode(tokens: Tensor) -> tuple[Tensor, Tensor]:
            embedded = self.inputs(tokens)
            o, weights, _ = self.decoder(embedded, encoded.memory, start, encoded.lengths, target_lengths, keys)
            return o, weights

        if self.training and self.teacher_forcing < 1:
            with torch.no_grad():
                likeliest = self._logits(decode(given)[0]).argmax(2)
            own = torch.rand(given.shape, device=given.device) >= self.teacher_forcing
            given = torch.where(own, functional.pad(likeliest[:, :-1], (1, 0)), given)
        o, weights = decode(given)
        inside = step_mask(target_lengths, target.size(1))
        return Decoded(self.dropout(o), weights, inside, x if self.gate is not None else None)

    def nll(self, decoded: Decoded, target: Int[Tensor, "B U"]) -> Float[Tensor, "B U"]:
        """Compute -log p(target) at each step, in nats; zero beyond a target's length."""
        return self.losses(decoded, target)[0]

    def losses(
        self, decoded: Decoded, target: Int[Tensor, "B U"], smoothing: float = 0.0
    ) -> tuple[Float[Tensor, "B U"], Float[Tensor, "B U"]]:
        """Compute -log p(target) at each step as `nll`, and the same with label smoothing.

        The second is (1 - smoothing) nll + smoothing mean over k of -log p(k): see `FullSoftmax.losses`.
        """
        at = decoded.inside.flatten().nonzero().squeeze(1)  # the softmax is computed where there is a target only
        features, y = decoded.features.flatten(0, 1)[at], target.flatten()[at]
        if self.gate is None or decoded.source is None:
            nll, loss = self.head.losses(features, y, self._matrix(), smoothing)
        else:
            sources = decoded.source[at.div(target.size(1), rounding_mode="floor")]
            log_p = self.head.log_prob(features, self._matrix())
            log_p = with_copies(log_p, self.gate(features), decoded.attention.flatten(0, 1)[at], sources)
            nll = -log_p.gather(1, y.unsqueeze(1)).squeeze(1)
            loss = (1 - smoothing) * nll - smoothing * log_p.mean(1) if smoothing else nll
        filled = [torch.zeros(target.shape, dtype=v.dtype, device=v.device) for v in (nll, loss)]
        nll, loss = (
            f.flatten().index_copy(0, at, v).view(target.shape) for f, v in zip(filled, (nll, loss), strict=True)
        )
        return nll, loss

    def coverage(self, decoded: Decoded, lengths: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Compute the mean over a row's source steps s of (1 - sum_u a_us)^2, with u inside the target."""
        weights = decoded.attention
        got = weights.masked_fill(~decoded.inside.unsqueeze(2), 0.0).sum(1)
        mask = step_mask(lengths.to(weights.device), weights.size(2))
        return ((1 - got).square() * mask).sum(1) / mask.sum(1).clamp(min=1)

    def encode(self, x: Tensor, lengths: Int[Tensor, " B"]) -> SearchState:
        """Read B sources; return the state of B texts before their first token."""
        encoded, start = self._encode(x, lengths)
        memory = encoded.memory
        keys = self.decoder.attention.keys(memory, encoded.lengths)
        row = torch.arange(len(memory), device=memory.device)
        steps = DecoderSteps(self.inputs, self.decoder, self._matrix_of_head(), self.head.bias, self.gate)
        source = x if self.gate is not None else None
        return SearchState(steps, start, encoded, keys, source, row, memory.new_zeros(memory.shape[:2]))

    def step(self, ids: Int[Tensor, " N"], state: SearchState) -> tuple[Float[Tensor, "N V"], SearchState]:
        """Read one more token of each text, 0 at the first step; return log p of every next token, and the state.

        A row's numbers do not depend on the other rows: see `ops.rows`. Call it without gradients, in evaluation mode.
        """
        return state.steps(ids, state)

    def select(self, state: SearchState, rows: Int[Tensor, " M"]) -> SearchState:
        """Select the texts with indices `rows` of a state, in that order; an index may repeat."""
        return state.select(rows)

    def attention(self, state: SearchState) -> Float[Tensor, "N S"]:
        """Return the attention weights of the last step, zero beyond the source's length."""
        return state.attention

    def source_lengths(self, state: SearchState) -> Int[Tensor, " N"]:
        """Return the length of each text's source."""
        return state.lengths()[state.row]

    def _encode(self, x: Tensor, lengths: Tensor) -> tuple[Encoded, DecoderState]:
        encoded: Encoded = self.encoder(x, lengths, self.inputs)
        first = self.bridge(encoded.memory, encoded.lengths, encoded.final)
        return encoded, self.decoder.start(first, len(encoded.memory))

    def _matrix(self) -> Tensor | None:
        return self.inputs.embedding.weight if self.tied else None

    def _logits(self, o: Float[Tensor, "B U O"]) -> Float[Tensor, "B U V"]:
        return functional.linear(o, self._matrix_of_head(), self.head.bias)

    def _matrix_of_head(self) -> Tensor:
        return self.inputs.embedding.weight if self.head.weight is None else self.head.weight


def build_decoder(
    recurrent: RecurrentOptions, decoder: DecoderOptions, *, embedding_dim: int, memory: int
) -> tuple[AttentionDecoder, RecurrentOptions]:
    """Build the decoder over a memory of width `memory`; also return the options of its recurrent layers.

    It has as many layers as `recurrent` says, in one direction. Its combined output is as wide as the embedding if the
    softmax is tied to it, else as the recurrent layers.

    Raises:
        OptionError: options that cannot be combined.
    """
    if recurrent.last_hidden_size:
        raise OptionError("last_hidden_size cannot be set: encoder and decoder have layers of one width")
    options = replace(recurrent, bidirectional=False, learn_initial_state=False)
    hidden = embedding_dim if decoder.tie_weights else recurrent_width(options)
    if decoder.input_feeding and (locked := [name for name in LOCKED if getattr(options, name)]):
        raise OptionError(
            f"{locked[0]} keeps one mask for all steps, but input_feeding computes them one by one; set dropout,"
            " embedding_dropout or head_dropout"
        )
    layers = recurrent_stack(options, embedding_dim + (hidden if decoder.input_feeding else 0))
    attention = make_attention(decoder.attention, layers.features, memory, decoder.attention_heads)
    return AttentionDecoder(layers, attention, hidden, input_feeding=decoder.input_feeding), options


def build_seq2seq(
    tokens: TokenOptions,
    recurrent: RecurrentOptions,
    decoder: DecoderOptions,
    *,
    source_vocabulary: int,
    vocabulary: int,
    share_embedding: bool = False,
) -> Seq2Seq:
    """Build the model from its options.

    Args:
        tokens: the embeddings of both sides.
        recurrent: the layers of the encoder; the decoder has as many of the same width, in one direction.
        decoder: the decoder.
        source_vocabulary: number of source ids, the end's included.
        vocabulary: number of target ids V, the end's included.
        share_embedding: use one embedding for both sides, whose ids must be the same.

    Raises:
        OptionError: options that cannot be combined.
    """
    if share_embedding and source_vocabulary != vocabulary:
        raise OptionError("one embedding for both sides needs one vocabulary")
    if decoder.copy and not share_embedding:
        raise OptionError("copy is set, which copies ids of the source: both sides must share a vocabulary")

    def embedding(size: int) -> TokenEmbedding:
        return TokenEmbedding(
            size,
            tokens.embedding_dim,
            tokens.embedding_dropout,
            tokens.word_dropout,
            vector_dropout=tokens.embedding_row_dropout,
        )

    stack = recurrent_stack(recurrent, tokens.embedding_dim)
    encoder = TextEncoder(None if share_embedding else embedding(source_vocabulary), stack)
    layers, options = build_decoder(recurrent, decoder, embedding_dim=tokens.embedding_dim, memory=encoder.features)
    states = state_widths(recurrent)
    ends = recurrent.num_layers * (2 if recurrent.bidirectional else 1)
    encoded = [n * ends for n in states] if decoder.bridge == "last" else [encoder.features]
    bridge = Bridge(decoder.bridge, states, options.num_layers, encoded)
    return Seq2Seq(
        encoder,
        bridge,
        embedding(vocabulary),
        layers,
        FullSoftmax(vocabulary, layers.features, tied=decoder.tie_weights),
        tied=decoder.tie_weights,
        head_dropout=decoder.head_dropout,
        copy=decoder.copy,
        teacher_forcing=decoder.teacher_forcing,
    )
