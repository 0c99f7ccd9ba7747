"""What a model is made of: its input stage, its recurrent layers, and what is special to the many-to-one models."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from unroll.errors import OptionError, nearest
from unroll.options import check_range, check_types, shown

POOLINGS = ("last", "mean", "max", "attention")
_MANY = 2**20


@dataclass(frozen=True)
class TokenOptions:
    """How tokens become vectors."""

    embedding: int = 128
    """Values of a token's embedding vector."""
    embedding_dropout: float = 0.0
    """Share of the embedded values set to zero in training."""
    vector_dropout: float = 0.0
    """Share of the vocabulary whose vectors are zero throughout a training step, the others scaled up."""
    word_dropout: float = 0.0
    """Share of the tokens replaced by the unknown token in training."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "embedding", least=1, below=_MANY)
        check_shares(self)


@dataclass(frozen=True)
class RecurrentOptions:
    """The recurrent layers."""

    recurrence: Literal["rnn", "lstm", "gru"] = "lstm"
    """The recurrence: Elman (rnn), LSTM or GRU."""
    hidden: int = 128
    """Hidden units of each recurrent layer and direction."""
    layers: int = 1
    """Recurrent layers, one on the other."""
    last_hidden: int = 0
    """Hidden units of the last layer, where they are to be others (0: as hidden)."""
    bidirectional: bool = False
    """Read each sequence in both directions."""
    projection: int = 0
    """LSTM only: project each layer's hidden state to so many values (0: no projection)."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """Elman only: the activation of the hidden state."""
    reset_after: bool = True
    """GRU only: apply the reset gate after the matrix product (as torch.nn and cuDNN do) or before it."""
    dropout: float = 0.0
    """Dropout between recurrent layers, drawn anew at every step."""
    hidden_dropout: float = 0.0
    """Locked dropout between recurrent layers: one mask for all steps of a sequence."""
    input_dropout: float = 0.0
    """Locked dropout on the recurrent stack's input."""
    output_dropout: float = 0.0
    """Locked dropout on every recurrent layer's output."""
    recurrent_dropout: float = 0.0
    """Locked dropout on the state that enters the recurrent product; only the naive backend serves it."""
    weight_dropout: float = 0.0
    """Share of the recurrent weights set to zero throughout a training step (DropConnect)."""
    residual: bool = False
    """Add each layer's input to its output, from the second recurrent layer on."""
    layer_norm: bool = False
    """Normalise every recurrent layer's output."""
    init: Literal["torch", "orthogonal"] = "torch"
    """Initial weights of the recurrent layers: uniform as torch.nn, or orthogonal recurrent matrices."""
    forget_bias: float | None = None
    """LSTM only: initial bias of the forget gate (1 helps long sequences)."""
    remember: int = 0
    """LSTM and GRU: start with biases that remember for up to so many steps (chrono initialisation; 0: not)."""
    learn_initial_state: bool = False
    """Train the state that every sequence starts from."""
    memory: Literal["save", "recompute"] = "save"
    """What the recurrent layers keep for the gradient: every gate, or half the memory for about a third more time."""
    backend: str = "auto"
    """Which implementation runs the recurrent layers; `unroll backends` lists them."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "hidden", least=1, below=_MANY)
        check_range(self, "layers", least=1, below=1001)
        check_range(self, "projection", "last_hidden", "remember", least=0, below=_MANY)
        check_shares(self)
        self._only(("lstm",), projection=0, forget_bias=None)
        self._only(("gru",), reset_after=True)
        self._only(("rnn",), nonlinearity="tanh")
        self._only(("lstm", "gru"), remember=0)
        if self.projection and self.projection >= self.hidden:
            raise OptionError(f"projection is {self.projection}; it must be below hidden ({self.hidden})")
        if self.remember == 1:
            raise OptionError("remember is 1; give the number of steps to remember for, at least 2, or 0")
        for name in ("dropout", "hidden_dropout"):
            if getattr(self, name) and self.layers == 1:
                raise OptionError(f"{name} acts between layers and there is one; set output_dropout or head_dropout")
        if self.last_hidden and self.layers == 1:
            raise OptionError("last_hidden is for several layers and there is one; set hidden")
        if self.last_hidden and self.projection:
            raise OptionError("last_hidden and projection cannot both be set")

    def _only(self, recurrences: tuple[str, ...], **neutral: Any) -> None:
        if self.recurrence in recurrences:
            return
        users = " or ".join(f"'{r}'" for r in recurrences)
        for name, value in neutral.items():
            if getattr(self, name) != value:
                raise OptionError(f"{name} goes with recurrence {users}, not '{self.recurrence}'")


@dataclass(frozen=True)
class ModelOptions:
    """Runs of tokens, convolution front end, pooling and head of a model with one answer a sequence."""

    ngrams: int = 1
    """Text: add to each token's vector those of the runs of 2 to so many tokens that end there (1: none)."""
    ngram_vocabulary: int = 100000
    """Text: how many runs of tokens have a vector, the most common of the training part, with ngrams above 1."""
    input_projection: int = 0
    """Series: project the features of each step to so many values first (0: feed them as they are)."""
    conv_filters: int = 0
    """Filters per kernel size of a convolution front end (0: no convolution)."""
    conv_kernels: tuple[int, ...] = (3,)
    """Kernel sizes of the convolution front end, in steps; their outputs stand side by side."""
    conv_activation: Literal["relu", "tanh", "gelu"] = "relu"
    """Activation of the convolution front end."""
    conv_pool: int = 1
    """Max-pool so many steps into one after the convolution (1: none); lengths follow."""
    pooling: str = "last"
    """How the steps become one vector: last, mean, max, attention, or several joined as in mean+max."""
    pool_inputs: bool = False
    """Pool the input stage's output too, by its mean, and hand it to the head beside the recurrent stack's."""
    head_dropout: float = 0.0
    """Dropout on the pooled vector."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "conv_pool", "ngrams", least=1, below=_MANY)
        check_range(self, "ngram_vocabulary", least=1, below=2**31)
        check_range(self, "input_projection", "conv_filters", least=0, below=_MANY)
        check_shares(self)
        if not self.conv_kernels or min(self.conv_kernels) < 1:
            raise OptionError(f"conv_kernels is {shown(list(self.conv_kernels))}; give sizes of at least 1")
        for part in self.pooling.split("+"):
            if part not in POOLINGS:
                raise OptionError(f"pooling is '{self.pooling:.60}'{nearest(part, POOLINGS)}")
        if self.conv_pool > 1 and not self.conv_filters:
            raise OptionError("conv_pool needs a convolution front end; set conv_filters")


def check_shares(options: Any) -> None:
    """Hold every field called ..._dropout or dropout to a share from 0 to below 1."""
    for field in dataclasses.fields(options):
        if field.name.endswith("dropout"):
            check_range(options, field.name, least=0, below=1)
