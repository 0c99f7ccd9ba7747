"""Options of tagging: columns, tagging scheme and word vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from unroll.data.options import TextOptions
from unroll.data.text.scheme_names import scheme_named
from unroll.errors import OptionError
from unroll.models.options import RecurrentOptions, TaggerOptions, TokenOptions
from unroll.options import check_range, check_types
from unroll.tasks.settings import Settings, TransferOptions


@dataclass(frozen=True)
class TaggingOptions:
    """Where tokens and tags are, and what the tags mean."""

    tokens: str = "tokens"
    """Column holding a sentence's tokens: a list, or a text that is split. In CoNLL files it is the first column, in
    CoNLL-U the form; others are column1, column2, ... and lemma, xpos, ..."""
    tags: str = "tags"
    """Column holding a tag for each token: a list, or a text that is split at white space. In CoNLL files it is the
    last column, in CoNLL-U the universal part of speech."""
    tokenize: Literal["space", "words"] = "space"
    """How a text that comes in place of a list of tokens is split: at white space, or into words and punctuation."""
    scheme: str = "auto"
    """How tags mark spans: BIO (IOB2), IOB1, IOE1, IOE2, BIOES (IOBES), BILOU, BMES, BMEWO. auto takes the one that
    nearly all sentences keep to, none takes tags as they are. Other tag sequences are bad rows where a scheme is
    named, and are never answered by decoder crf."""
    convert: str = ""
    """Scheme in which the spans are written anew, whatever scheme the data has, before anything is learnt from them;
    the answers are in it too."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("scheme", "convert"):
            value = getattr(self, name)
            if value and not (name == "scheme" and value in ("auto", "none")):
                object.__setattr__(self, name, scheme_named(value, name))
        if not self.scheme:
            raise OptionError("scheme is empty; name one, or say auto or none")
        if self.convert and self.scheme == "none":
            raise OptionError("convert is set, but with scheme none tags are taken as they are")
        if not self.tokens or not self.tags:
            raise OptionError(f"{'tags' if self.tokens else 'tokens'} is empty; name a column")
        if self.tokens == self.tags:
            raise OptionError(f"tokens and tags are both the column '{self.tokens}'")


@dataclass(frozen=True)
class VectorOptions:
    """Word vectors to start from."""

    vectors: str = ""
    """Text file of word vectors, as GloVe and word2vec write them (also .gz, .xz, .zst). Every word of the training
    part that has a vector is known, whatever min_freq and vocab_size say."""
    vector_words: int = 50000
    """Words at the start of that file, the common ones, that are known though the training part lacks them."""
    freeze_vectors: bool = False
    """Leave all word vectors as they are at the start of the training."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "vector_words", least=0, below=2**31)
        if not self.vectors and (self.freeze_vectors or self.vector_words != type(self).vector_words):
            name = "freeze_vectors" if self.freeze_vectors else "vector_words"
            raise OptionError(f"{name} is set, but it goes with vectors")


@dataclass(frozen=True)
class SentenceOptions(RecurrentOptions):
    """The recurrent layers."""

    bidirectional: bool = True
    """Read each sequence in both directions."""


@dataclass(frozen=True)
class TaggingSettings(Settings):
    """Every option of tagging."""

    option_order: ClassVar[tuple[str, ...]] = ("tagging",)
    common: ClassVar[tuple[str, ...]] = (
        *("tokens", "tags", "scheme", "vectors", "characters", "decoder", "init_from"),
        *("recurrence", "hidden_size", "num_layers"),
        *("epochs", "batch_size", "learning_rate", "patience", "seed"),
    )
    excluded: ClassVar[tuple[str, ...]] = ("level", "html", "punctuation", "line_ends")
    pretrained_overrides: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "characters": ("none", "its recurrent layers have read the vectors of words alone"),
        "vectors": ("", "it has word vectors of its own"),
    }

    tagging: TaggingOptions = TaggingOptions()
    text: TextOptions = TextOptions()
    vectors: VectorOptions = VectorOptions()
    tokens: TokenOptions = TokenOptions()
    tagger: TaggerOptions = TaggerOptions()
    recurrent: RecurrentOptions = SentenceOptions()
    transfer: TransferOptions = TransferOptions()
