"""Options of translation: columns, vocabularies, loss, search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from unroll.data.options import BPE_LEAST, BatchOptions, Level, Normalize, TextOptions
from unroll.errors import OptionError
from unroll.generation.options import SearchOptions
from unroll.models.options import DecoderOptions, RecurrentOptions, TokenOptions
from unroll.options import check_range, check_types
from unroll.tasks.settings import Settings


@dataclass(frozen=True)
class TranslationOptions:
    """Columns of pairs, their vocabularies, and the loss."""

    source: str = "source"
    """Column of the texts to translate. Of plain text files, which are aligned line by line: the end of the name of
    those that hold them, such as en for train.en or train.en.gz."""
    target: str = "target"
    """Column of their translations, or the end of the files' names; to validate and test, a list in it holds several
    references."""
    joint_vocabulary: Literal["auto", "yes", "no"] = "auto"
    """One vocabulary and one embedding for both sides; auto: if they share half of their characters, at level word half
    of their words."""
    max_length_ratio: float = 0.0
    """Leave out or refuse pairs one side of which has so many times the characters of the other (0: keep all)."""
    label_smoothing: float = 0.1
    """Share of the target probability spread over all classes."""
    replace_unknown: bool = False
    """Levels word and char: write an unknown token as the source's piece that it looked at most; else none is written.
    """
    preset: Literal["auto", "none"] = "auto"
    """auto: sizes, dropout and epochs that were not given are chosen by the number of pairs, and told; none: every
    option keeps its default."""
    baseline: Literal["auto", "none"] = "auto"
    """Figures of simple answers beside the model's: the source as it is, and the translation of the nearest training
    source by TF-IDF."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "label_smoothing", least=0, below=1)
        check_range(self, "max_length_ratio", least=0)
        if 0 < self.max_length_ratio <= 1:
            raise OptionError(f"max_length_ratio is {self.max_length_ratio:g}; it must be above 1, or 0")
        if self.source == self.target:
            raise OptionError(f"source and target are both '{self.source}'; they are two columns")


@dataclass(frozen=True)
class PairTextOptions(TextOptions):
    """How both texts become token ids."""

    level: Level = "bpe"
    """What a token is: a word (each Chinese or Japanese character by itself), a byte-pair piece, a character, a byte.
    """
    vocab_size: int = 8000
    """Most entries of the vocabulary, padding and unknown included; 0 takes every token there is (word, char)."""
    normalize: Normalize = "NFC"
    """Unicode normalisation."""
    lowercase: bool = False
    """Fold upper case into lower case."""
    html: bool = False
    """Turn <br> into a space and entities such as &amp; into the characters they stand for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.line_ends:
            raise OptionError("line_ends is for running text; a pair's texts end where they end")


@dataclass(frozen=True)
class PairRecurrentOptions(RecurrentOptions):
    """The recurrent layers of encoder and decoder."""

    recurrence: Literal["rnn", "lstm", "gru"] = "gru"
    """The recurrence: Elman (rnn), LSTM or GRU."""
    hidden_size: int = 256
    """Hidden units of each recurrent layer and direction."""
    bidirectional: bool = True
    """Read each sequence in both directions."""


@dataclass(frozen=True)
class PairBatchOptions(BatchOptions):
    """How pairs become batches."""

    batch_size: int = 64
    """Rows in a batch, over all processes."""


@dataclass(frozen=True)
class TranslationSettings(Settings):
    """Every option of translation."""

    option_order: ClassVar[tuple[str, ...]] = ("translation",)
    common: ClassVar[tuple[str, ...]] = (
        *("source", "target", "level", "vocab_size", "joint_vocabulary", "beam"),
        *("recurrence", "hidden_size", "num_layers", "attention"),
        *("epochs", "batch_size", "learning_rate", "patience", "seed"),
    )

    batch: PairBatchOptions = PairBatchOptions()
    translation: TranslationOptions = TranslationOptions()
    text: PairTextOptions = PairTextOptions()
    tokens: TokenOptions = TokenOptions()
    recurrent: RecurrentOptions = PairRecurrentOptions()
    decoder: DecoderOptions = DecoderOptions()
    search: SearchOptions = SearchOptions()

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the training data."""
        return (self.translation.source, self.translation.target)

    def aligned(self) -> tuple[str, ...]:
        """Name the ends of the names of line-aligned files: those of the columns."""
        return self.columns()


def choose_options(settings: TranslationSettings, pairs: int) -> tuple[TranslationSettings, list[str]]:
    """Choose options that were not given by the number of pairs; also say which, and why.

    Few pairs need more passes, and more dropout; a byte-pair vocabulary grows with the data.
    """
    if settings.translation.preset == "none":
        return settings, []
    dropout = 0.3 if pairs >= 5_000 else 0.2 if pairs >= 1_000 else 0.1
    passes = min(60, max(14, round(400_000 / pairs)))
    chosen: dict[str, Any] = {
        "embedding_dropout": dropout,
        "head_dropout": dropout,
        "epochs": passes,
        "schedule": "cosine",
        "learning_rate": 1e-3,
        "max_grad_norm": 1.0,
    }
    if settings.text.level == "bpe":
        chosen["vocab_size"] = max(BPE_LEAST + 200, min(16_000, 1000 * round(pairs / 5_000) or 500))
    if settings.text.level in ("char", "byte"):
        chosen["embedding_dim"] = 64
        chosen |= {"embedding_dropout": 0.0, "head_dropout": dropout / 2}
    set_by_user = settings.set_by_user()
    if "max_steps" in set_by_user or "max_time" in set_by_user:
        chosen.pop("schedule")
    chosen = {name: value for name, value in chosen.items() if name not in set_by_user}
    written = ", ".join(f"{name} {value}" for name, value in chosen.items())
    return settings.with_chosen(chosen), [f"for {pairs:,} pairs: {written}"] if chosen else []
