"""Recurrent language model: at every step, the probability of each token of the vocabulary to come next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unroll.errors import OptionError
from unroll.layers.dropout import check_shares, locked_mask
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.sequential import RecurrentSequential
from unroll.layers.softmax import AdaptiveSoftmax, FullSoftmax
from unroll.models.embedding import TokenEmbedding
from unroll.models.options import RecurrentOptions, TokenOptions
from unroll.models.recurrent import recurrent_stack, recurrent_width


class LanguageModel(nn.Module):
    """Model language: embedding -> recurrent stack -> [projection] -> [locked dropout] -> softmax.

        x_t = E[w_t]
        h_t, state_t = recurrent(x_t, state_{t-1})
        y_t = P h_t
        p(w_{t+1} | w_1 ... w_t) = softmax(W d(y_t) + b)

    With `tied`, W is E (Press & Wolf 2017, "Using the output embedding to improve language models"; Inan et al. 2017,
    "Tying word vectors and word classifiers"). P is used only if the stack's width differs from W's; d drops the same
    features of a row at every step of a window.

    Args:
        inputs: the token embedding.
        recurrent: the recurrent layers, batch first.
        head: the softmax; with `tied`, one without its own matrix.
        tied: use the embedding's matrix as the softmax's.
        head_dropout: share of features that d sets to zero in training.
    """

    def __init__(
        self,
        inputs: TokenEmbedding,
        recurrent: RecurrentLayer | RecurrentSequential,
        head: FullSoftmax | AdaptiveSoftmax,
        *,
        tied: bool,
        head_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_shares(head_dropout=head_dropout)
        self.inputs = inputs
        self.recurrent = recurrent
        wide = recurrent.features == head.features
        self.project = nn.Identity() if wide else nn.Linear(recurrent.features, head.features, bias=False)
        self.head = head
        self.tied = tied
        self.head_dropout = head_dropout

    def forward(
        self,
        x: Int[Tensor, "B T"],
        lengths: Int[Tensor, " B"] | None = None,
        state: Any = None,
        resets: Bool[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B T E"], Any]:
        """Compute the softmax's input at each step, the same before dropout, and the state after the last step.

        Args:
            x: the tokens.
            lengths: lengths of the rows; None if all are T.
            state: the state after the previous window; None at the start.
            resets: steps before which the state is reset to the initial one.
        """
        if lengths is not None:
            lengths = lengths.to(x.device)
        y, state = self.recurrent(self.inputs(x), state, lengths=lengths, resets=resets)
        raw = self.project(y)
        if not self.training or not self.head_dropout:
            return raw, raw, state
        mask = locked_mask(raw.transpose(0, 1), raw.shape[-1], self.head_dropout)
        return raw * mask.unsqueeze(1), raw, state

    def nll(self, features: Float[Tensor, "B T E"], target: Int[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """Compute -log p(target) at each step, in nats."""
        flat = features.reshape(-1, features.shape[-1])
        return self.head.nll(flat, target.flatten().contiguous(), self._matrix()).view(target.shape)

    def log_prob(self, features: Float[Tensor, "B E"]) -> Float[Tensor, "B V"]:
        """Compute log p of every token."""
        return self.head.log_prob(features, self._matrix())

    def step(self, ids: Int[Tensor, " B"], state: Any = None) -> tuple[Float[Tensor, "B V"], Any]:
        """Read one more token; return log p of every possible next token, and the state for the next step.

        Raises:
            OptionError: the layers are bidirectional, or the model is not in evaluation mode and drops features.
        """
        y, state = self.recurrent.step(self.inputs(ids.unsqueeze(1)).squeeze(1), state)
        return self.log_prob(self.project(y)), state

    def start(self, rows: int) -> Any:
        """Return the initial state for `rows` texts."""
        weight = self.inputs.embedding.weight
        nothing = weight.new_zeros(rows, 1, self.inputs.features)
        # a row of length 0 ends with the state that it began with
        _, state = self.recurrent(nothing, lengths=torch.zeros(rows, dtype=torch.int64, device=weight.device))
        return state

    def select(self, state: Any, rows: Int[Tensor, " N"]) -> Any:
        """Select the texts with indices `rows` of a state, in that order; an index may repeat."""
        if isinstance(state, Tensor):
            return state.index_select(1, rows.to(state.device))
        return tuple(self.select(part, rows) for part in state)

    def _matrix(self) -> Tensor | None:
        return self.inputs.embedding.weight if self.tied else None


def build_language_model(
    tokens: TokenOptions,
    recurrent: RecurrentOptions,
    *,
    vocabulary: int,
    tie_weights: bool = True,
    softmax: Literal["full", "adaptive"] = "full",
    cutoffs: Sequence[int] = (),
    head_dropout: float = 0.0,
) -> LanguageModel:
    """Build the language model over `vocabulary` tokens from its options.

    Raises:
        OptionError: options that do not go together, or cutoffs that do not fit the vocabulary.
    """
    inputs = TokenEmbedding(
        vocabulary,
        tokens.embedding_dim,
        tokens.embedding_dropout,
        tokens.word_dropout,
        vector_dropout=tokens.embedding_row_dropout,
    )
    width = tokens.embedding_dim if tie_weights else recurrent_width(recurrent)
    if softmax == "adaptive":
        if not cutoffs:
            raise OptionError("softmax is 'adaptive', which needs cutoffs")
        head = AdaptiveSoftmax(vocabulary, width, cutoffs, tied=tie_weights)
    else:
        head = FullSoftmax(vocabulary, width, tied=tie_weights)
    return LanguageModel(
        inputs, recurrent_stack(recurrent, tokens.embedding_dim), head, tied=tie_weights, head_dropout=head_dropout
    )
