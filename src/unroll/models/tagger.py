"""Sequence tagging: a sequence of tokens in, a tag for each token out."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unroll.layers.char_encoder import CharacterConvolution, CharacterRecurrence
from unroll.layers.crf import AllowedTransitions, ConditionalRandomField
from unroll.layers.pooling import step_mask
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.sequential import RecurrentSequential
from unroll.models.embedding import TokenEmbedding
from unroll.models.options import RecurrentOptions, TaggerOptions, TokenOptions
from unroll.models.recurrent import recurrent_stack, recurrent_width


class Tagger(nn.Module):
    """Tag tokens: word [and character] embeddings -> recurrent stack -> head [-> conditional random field].

    `forward` returns the scores e (B, T, K) of the tags at each step. Without a random field each step's tag has the
    probability softmax(e_t); with one, `crf` defines the probability of a whole sequence.

    Characters are given as (N, C), a row for each distinct token of the batch; `places` (B, T) is the row of each
    token. So a token that occurs several times is read once.
    """

    def __init__(
        self,
        inputs: TokenEmbedding,
        characters: CharacterRecurrence | CharacterConvolution | None,
        recurrent: RecurrentLayer | RecurrentSequential,
        head: nn.Module,
        crf: ConditionalRandomField | None,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.characters = characters
        self.recurrent = recurrent
        # before the head: where layers are unfrozen one by one from the last, it is the head that begins
        self.crf = crf
        self.head = head

    def forward(
        self,
        x: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"],
        chars: Int[Tensor, "N C"] | None = None,
        places: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T K"]:
        """Compute the scores of the tags at each step; they are undefined beyond a row's length."""
        y = self.inputs(x)
        if self.characters is not None:
            if chars is None or places is None:
                raise TypeError("this tagger reads characters: give chars and places")
            y = torch.cat([y, functional.embedding(places, self.characters(chars))], 2)
        y, _ = self.recurrent(y, lengths=lengths)
        return self.head(y)

    def decode(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Int[Tensor, "B T"]:
        """Decode the best tag of each step, or with a random field the best sequence; 0 beyond the lengths."""
        if self.crf is not None:
            return self.crf.viterbi(scores, lengths)[0]
        return scores.argmax(2).masked_fill(~_inside(scores, lengths), 0)

    def probabilities(self, scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T K"]:
        """Compute each tag's probability at each step, with a random field the marginal; 0 beyond the lengths."""
        if self.crf is not None:
            return self.crf.marginals(scores, lengths)
        return scores.float().softmax(2).masked_fill(~_inside(scores, lengths).unsqueeze(2), 0.0)


def _inside(scores: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Bool[Tensor, "B T"]:
    return step_mask(lengths.to(scores.device), scores.size(1))


def build(
    options: TaggerOptions,
    recurrent: RecurrentOptions,
    tokens: TokenOptions,
    *,
    tags: int,
    vocabulary: int,
    characters: int,
    legal: AllowedTransitions | None = None,
) -> Tagger:
    """Build the tagger from its options.

    Args:
        options: characters, head, decoder.
        recurrent: the recurrent layers.
        tokens: the word embeddings.
        tags: number of tags K.
        vocabulary: number of word ids.
        characters: number of character ids.
        legal: transitions between tags that a random field allows; None: all.
    """
    inputs = TokenEmbedding(
        vocabulary,
        tokens.embedding_dim,
        tokens.embedding_dropout,
        tokens.word_dropout,
        vector_dropout=tokens.embedding_row_dropout,
    )
    spelling = _characters(options, characters)
    width = inputs.features + (0 if spelling is None else spelling.features)
    stack = recurrent_stack(recurrent, width)
    head = nn.Sequential(nn.Dropout(options.head_dropout), nn.Linear(recurrent_width(recurrent), tags))
    crf = ConditionalRandomField(tags, legal) if options.decoder == "crf" else None
    return Tagger(inputs, spelling, stack, head, crf)


def _characters(options: TaggerOptions, characters: int) -> CharacterRecurrence | CharacterConvolution | None:
    sizes = (characters, options.char_embedding_dim, options.char_hidden_size)
    if options.characters == "recurrence":
        return CharacterRecurrence(*sizes, options.char_dropout)
    if options.characters == "convolution":
        return CharacterConvolution(*sizes, options.char_kernel_size, options.char_dropout)
    return None
