"""Options of the models: embedding, recurrent layers, classifier, tagger and forecaster.

Nothing here imports a library, so that help is instant.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields
from typing import Any, Literal

from unroll.errors import OptionError, nearest
from unroll.options import check_range, check_types, shown

POOLINGS = ("last", "mean", "max", "attention")
_MANY = 2**20


@dataclass(frozen=True)
class TokenOptions:
    """How tokens become vectors."""

    embedding_dim: int = 128
    """Values of a token's embedding vector."""
    embedding_dropout: float = 0.0
    """Share of the embedded values set to zero in training."""
    embedding_row_dropout: float = 0.0
    """Share of the vocabulary whose vectors are zero throughout a training step, the others scaled up."""
    word_dropout: float = 0.0
    """Share of the tokens replaced by the unknown token in training."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "embedding_dim", least=1, below=_MANY)
        check_shares(self)


@dataclass(frozen=True)
class RecurrentOptions:
    """The recurrent layers."""

    recurrence: Literal["rnn", "lstm", "gru"] = "lstm"
    """The recurrence: Elman (rnn), LSTM or GRU."""
    hidden_size: int = 128
    """Hidden units of each recurrent layer and direction."""
    num_layers: int = 1
    """Recurrent layers, one on the other."""
    last_hidden_size: int = 0
    """Hidden units of the last layer, where they are to be others (0: as hidden_size)."""
    bidirectional: bool = False
    """Read each sequence in both directions."""
    proj_size: int = 0
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
    """LSTM and GRU: initial bias of the gate that keeps the state (1 helps long sequences)."""
    chrono_init: int = 0
    """LSTM and GRU: chrono initialization for dependencies of up to this many steps (0: not)."""
    learn_initial_state: bool = False
    """Train the state that every sequence starts from."""
    recompute: bool = False
    """Keep half as much for the gradient, and compute gates again in the backward pass: about a third more time."""
    backend: str = "auto"
    """Which implementation runs the recurrent layers; `unroll backends` lists them."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "hidden_size", least=1, below=_MANY)
        check_range(self, "num_layers", least=1, below=1001)
        check_range(self, "proj_size", "last_hidden_size", "chrono_init", least=0, below=_MANY)
        check_shares(self)
        self._only(("lstm",), proj_size=0)
        self._only(("gru",), reset_after=True)
        self._only(("rnn",), nonlinearity="tanh")
        self._only(("lstm", "gru"), forget_bias=None, chrono_init=0)
        if self.proj_size and self.proj_size >= self.hidden_size:
            raise OptionError(f"proj_size is {self.proj_size}; it must be below hidden_size ({self.hidden_size})")
        if self.chrono_init == 1:
            raise OptionError("chrono_init is 1; give the number of steps to remember for, at least 2, or 0")
        for name in ("dropout", "hidden_dropout"):
            if getattr(self, name) and self.num_layers == 1:
                raise OptionError(f"{name} acts between layers and there is one; set output_dropout or head_dropout")
        if self.last_hidden_size and self.num_layers == 1:
            raise OptionError("last_hidden_size is for several layers and there is one; set hidden_size")
        if self.last_hidden_size and self.proj_size:
            raise OptionError("last_hidden_size and proj_size cannot both be set")

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
    ngram_vocab_size: int = 100000
    """Text: how many runs of tokens have a vector, the most common of the training part, with ngrams above 1."""
    input_projection: int = 0
    """Series: project the features of each step to so many values first (0: feed them as they are)."""
    conv_filters: int = 0
    """Filters per kernel size of a convolution front end (0: no convolution)."""
    conv_kernel_sizes: tuple[int, ...] = (3,)
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
        check_range(self, "ngram_vocab_size", least=1, below=2**31)
        check_range(self, "input_projection", "conv_filters", least=0, below=_MANY)
        check_shares(self)
        if not self.conv_kernel_sizes or min(self.conv_kernel_sizes) < 1:
            raise OptionError(f"conv_kernel_sizes is {shown(list(self.conv_kernel_sizes))}; give sizes of at least 1")
        for part in self.pooling.split("+"):
            if part not in POOLINGS:
                raise OptionError(f"pooling is '{self.pooling:.60}'{nearest(part, POOLINGS)}")
        if self.conv_pool > 1 and not self.conv_filters:
            raise OptionError("conv_pool needs a convolution front end; set conv_filters")


def check_shares(options: Any) -> None:
    """Check that every field named ..._dropout or dropout is at least 0 and below 1."""
    for field in dataclasses.fields(options):
        if field.name.endswith("dropout"):
            check_range(options, field.name, least=0, below=1)


_MANY = 2**20


@dataclass(frozen=True)
class TaggerOptions:
    """Characters of tokens, the head, and how tags are chosen."""

    characters: Literal["none", "recurrence", "convolution"] = "recurrence"
    """What reads a token's characters, beside its word vector: an LSTM in both directions, a convolution, nothing."""
    char_embedding_dim: int = 32
    """Values of a character's vector."""
    char_hidden_size: int = 32
    """Hidden units of each direction of the LSTM over characters, or filters of the convolution."""
    char_kernel_size: int = 3
    """Convolution only: characters that a filter sees at a time."""
    char_dropout: float = 0.0
    """Dropout on the characters' vectors."""
    head_dropout: float = 0.0
    """Dropout on what the head is given at each token."""
    decoder: Literal["softmax", "crf"] = "softmax"
    """How tags are chosen: each by itself, or the sequence as a whole by a conditional random field."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "char_embedding_dim", "char_hidden_size", "char_kernel_size", least=1, below=_MANY)
        check_shares(self)
        for field in fields(self):
            users = ("convolution",) if field.name == "char_kernel_size" else ("recurrence", "convolution")
            changed = getattr(self, field.name) != field.default
            if field.name.startswith("char_") and changed and self.characters not in users:
                named = " or ".join(f"'{u}'" for u in users)
                raise OptionError(f"{field.name} is set, but it goes with characters {named}")


@dataclass(frozen=True)
class DecoderOptions:
    """The decoder of an encoder-decoder, and its attention."""

    attention: Literal["additive", "dot", "general", "multihead"] = "additive"
    """How a step of the decoder is held against the encoder's steps: Bahdanau's additive score, Luong's dot or general
    (bilinear) one, or several heads of scaled dots."""
    attention_heads: int = 4
    """multihead only: number of heads, which must divide the width of the decoder."""
    input_feeding: bool = False
    """Feed the decoder's last combined output to its next step (Luong et al. 2015); steps are then computed one by
    one, in training too."""
    bridge: Literal["last", "mean", "zeros"] = "last"
    """What the decoder's state starts from: a linear map of the encoder's last states, the mean of its outputs, or
    zeros."""
    tie_weights: bool = True
    """The softmax has the embedding's vectors rather than vectors of its own."""
    head_dropout: float = 0.0
    """Dropout on the combined output before the softmax."""
    copy: bool = False
    """Let the decoder copy a source token by its attention (pointer-generator); both sides must share a vocabulary."""
    teacher_forcing: float = 1.0
    """Share of the steps that are given the true token before them in training; the others are given the model's
    likeliest (scheduled sampling, in two parallel passes)."""
    coverage_loss: float = 0.0
    """Weight in the loss of the mean over source steps of (1 - the attention that it got in all)^2, so that no step is
    left out or read twice."""

    def __post_init__(self) -> None:
        check_types(self)
        check_shares(self)
        check_range(self, "attention_heads", least=1, below=_MANY)
        check_range(self, "coverage_loss", least=0)
        if not 0 <= self.teacher_forcing <= 1:
            raise OptionError(f"teacher_forcing is {self.teacher_forcing:g}; it must be a share from 0 to 1")
        if self.attention != "multihead" and self.attention_heads != 4:
            raise OptionError("attention_heads is set, but it goes with attention 'multihead'")


Strategy = Literal["recursive", "direct", "seq2seq", "segrnn"]
Kind = Literal["point", "quantile", "normal", "student_t", "negative_binomial"]
_MANY = 2**20


@dataclass(frozen=True)
class ForecasterOptions:
    """How the forecast is made and what it says."""

    strategy: Strategy = "direct"
    """One step at a time from its own answers (recursive); all steps at once from the last state (direct); a second
    recurrence that looks back by attention (seq2seq); by segments of steps, each channel by itself (segrnn)."""
    channels: Literal["auto", "mixed", "independent"] = "auto"
    """Targets are read and answered together (mixed), or each by itself with the same weights (independent); auto is
    independent for segrnn and mixed for the others."""
    instance_norm: Literal["none", "last", "revin"] = "last"
    """What is taken off each look-back and put back on the forecast: nothing, the last value, or mean and deviation."""
    skip: Literal["none", "last", "seasonal", "linear"] = "none"
    """direct and segrnn only: a simple forecast that the network's answer is added to: none, the last value, the value
    a season before, or a linear map of the look-back, which starts at ridge regression and is trained."""
    segment: int = 0
    """segrnn only: steps of a segment, a divisor of lookback and of horizon (0: the largest up to 24)."""
    attention: Literal["additive", "dot", "general", "multihead"] = "additive"
    """seq2seq only: how a step of the forecast is held against the steps of the look-back."""
    teacher_forcing: float = 0.5
    """seq2seq only: share of the steps that are given the true value before them in training, not the model's own."""
    output: Kind = "point"
    """What is said of each value: a number, quantiles, or a distribution (negative_binomial is for counts)."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Rising levels, 0.5 among them: those that quantile learns, and those told of a distribution."""
    intervals: Literal["auto", "model", "conformal"] = "auto"
    """Quantiles as the model has learnt them (model), or moved so that they cover on the validation windows what they
    say (conformal), for output point too; auto: conformal for quantile, normal and student_t with 10 such windows or
    more."""
    loss: Literal["mse", "mae", "huber"] = "mse"
    """point only: what training makes small."""
    head_dropout: float = 0.0
    """Dropout before the last linear map."""
    paths: int = 200
    """Sample paths that the quantiles are taken from where a forecast feeds on its own answers."""

    def __post_init__(self) -> None:
        check_types(self)
        check_shares(self)
        check_range(self, "segment", least=0, below=_MANY)
        check_range(self, "paths", least=2, below=_MANY)
        if not 0 <= self.teacher_forcing <= 1:
            raise OptionError(f"teacher_forcing is {self.teacher_forcing:g}; it must be a share from 0 to 1")
        rising = all(a < b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False))
        inside = all(0 < q < 1 for q in self.quantiles)
        if not rising or not inside or 0.5 not in self.quantiles:
            raise OptionError(
                f"quantiles is {shown(list(self.quantiles))}; give rising levels between 0 and 1 with 0.5 among them,"
                " such as [0.1, 0.5, 0.9]"
            )
        if self.strategy == "segrnn" and self.channels == "mixed":
            raise OptionError("strategy 'segrnn' reads each channel by itself; channels cannot be 'mixed'")
        if self.skip != "none" and self.strategy not in ("direct", "segrnn"):
            raise OptionError(f"skip is '{self.skip}', but it goes with strategy 'direct' or 'segrnn'")
        if self.strategy == "recursive" and self.instance_norm == "revin":
            raise OptionError(
                "instance_norm 'revin' needs the whole look-back, and strategy 'recursive' reads step by step;"
                " take 'last'"
            )

    @property
    def independent(self) -> bool:
        """Whether each channel is read separately."""
        return self.channels == "independent" or self.strategy == "segrnn"
