"""Options of language modelling: text, objective, BPTT, softmax and regularization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from unroll.data.options import Level, Normalize, TextOptions
from unroll.errors import OptionError
from unroll.models.options import RecurrentOptions, TokenOptions
from unroll.options import check_range, check_types
from unroll.tasks.settings import Settings

_MANY = 2**20


@dataclass(frozen=True)
class LanguageOptions:
    """The text, what is predicted of it, and how much of it at a time."""

    text: str = "text"
    """Column holding the text, where the data is records (CSV, JSON lines, Parquet, ...); other files are text."""
    objective: Literal["causal", "masked"] = "causal"
    """What is predicted: the next token, or (for bidirectional layers) tokens that were masked."""
    mask_share: float | None = None
    """Masked prediction: the share of the tokens that are masked (default 0.15)."""
    bptt: int = 35
    """Tokens that a gradient goes back over; the state is carried on from one window to the next."""
    bptt_jitter: float = 0.0
    """Move the ends of the windows by up to this share of one, differently in every epoch of the training."""
    reset_state: Literal["never", "row", "blank"] = "never"
    """Where nothing before is remembered: nowhere, at the start of each line or record, or after blank lines."""
    tie_weights: bool = True
    """The softmax has the embedding's vectors rather than vectors of its own."""
    softmax: Literal["full", "adaptive"] = "full"
    """How probabilities are made: over all tokens at once, or (for large vocabularies) rare ones in clusters."""
    cutoffs: tuple[int, ...] = ()
    """Adaptive softmax: the ids at which its clusters begin, such as [2000, 10000] (none: as the counts suggest)."""
    head_dropout: float = 0.0
    """Locked dropout on what the softmax is given."""
    activation_penalty: float = 0.0
    """Add this times the mean square of what the softmax is given, after dropout, to the loss (AR)."""
    activation_slowness: float = 0.0
    """Add this times the mean square of its change from step to step, before dropout, to the loss (TAR)."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "mask_share", above=0, below=1)
        check_range(self, "bptt", least=1, below=_MANY)
        check_range(self, "bptt_jitter", least=0, below=0.5)
        check_range(self, "head_dropout", least=0, below=1)
        check_range(self, "activation_penalty", "activation_slowness", least=0)
        if self.mask_share is not None and self.objective != "masked":
            raise OptionError("mask_share is set, but it goes with objective 'masked'")
        if self.cutoffs and self.softmax != "adaptive":
            raise OptionError("cutoffs is set, but it goes with softmax 'adaptive'")

    @property
    def masked(self) -> float:
        """Share of the tokens that are masked."""
        return 0.15 if self.mask_share is None else self.mask_share


@dataclass(frozen=True)
class CorpusOptions(TextOptions):
    """How the text becomes token ids."""

    level: Level = "word"
    """What a token is: a word (each Chinese or Japanese character by itself), a byte-pair piece, a character, a byte.
    """
    vocab_size: int = 0
    """Most entries of the vocabulary, padding and unknown included; 0 takes every token there is (word, char)."""
    normalize: Normalize = "NFC"
    """Unicode normalisation."""
    lowercase: bool = False
    """Fold upper case into lower case."""
    html: bool = False
    """Turn <br> into a line end and entities such as &amp; into the characters they stand for."""
    line_ends: bool = True
    """The end of a line is a token of its own, and white space is kept as it is at the levels char, bpe and byte."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.line_ends and self.level in ("char", "byte"):
            raise OptionError(f"line_ends is off, which at level '{self.level}' would run the lines together")


@dataclass(frozen=True)
class LanguageSettings(Settings):
    """Every option of language modelling."""

    option_order: ClassVar[tuple[str, ...]] = ("language",)
    common: ClassVar[tuple[str, ...]] = (
        *("text", "level", "vocab_size", "objective", "bptt", "embedding_dim", "tie_weights"),
        *("recurrence", "hidden_size", "num_layers", "hidden_dropout"),
        *("epochs", "batch_size", "learning_rate", "seed"),
    )
    excluded: ClassVar[tuple[str, ...]] = ("bucket_batches",)
    reads_plain_text: ClassVar[bool] = True

    language: LanguageOptions = LanguageOptions()
    text: CorpusOptions = CorpusOptions()
    tokens: TokenOptions = TokenOptions()
    recurrent: RecurrentOptions = RecurrentOptions()

    def __post_init__(self) -> None:
        if self.recurrent.bidirectional and self.language.objective == "causal":
            raise OptionError(
                "bidirectional layers would see the token that they are to predict; set objective to 'masked', or "
                "bidirectional to false"
            )
