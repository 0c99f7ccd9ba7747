"""What a person can choose about their data; nothing here imports a library, so that help is instant."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from unroll.errors import OptionError, nearest

Level = Literal["word", "bpe", "char"]
Keep = Literal["head", "tail", "both"]
Normalize = Literal["none", "NFC", "NFKC"]
Punctuation = Literal["split", "drop", "keep"]

BPE_LEAST = 258
"""Byte-pair vocabularies start from padding, unknown and the 256 bytes."""


def _whole(name: str, value: object, least: int, tail: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"{name} is {value!r}, but must be a whole number of at least {least}{tail}")


def _one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        known = ", ".join(repr(a) for a in allowed)
        hint = nearest(str(value), allowed)
        tail = hint if "did you mean" in hint else ""
        raise OptionError(f"{name} is {value!r}, but must be one of {known}{tail}")


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}, but must be true or false")


@dataclass(frozen=True)
class SourceOptions:
    """How files are read."""

    encoding: str = "utf-8"
    """Encoding of text files, for example utf-8, gbk, latin-1."""

    skip_bad_rows: bool = False
    """Leave out rows that cannot be used (nulls, empty text, NaN, ...) instead of stopping."""

    def __post_init__(self) -> None:
        try:
            codecs.lookup(self.encoding)
        except (LookupError, TypeError):
            known = ("utf-8", "utf-16", "gbk", "gb18030", "big5", "shift_jis", "euc-kr", "latin-1", "cp1252")
            raise OptionError(
                f"encoding is {self.encoding!r}, which is not known{nearest(str(self.encoding), known)}"
            ) from None
        _flag("skip_bad_rows", self.skip_bad_rows)


@dataclass(frozen=True)
class TextOptions:
    """How text becomes token ids."""

    level: Level = "word"
    """What a token is: a word (each Chinese or Japanese character by itself), a byte-pair piece, a character.
    """

    vocabulary: int = 20000
    """Most entries of the vocabulary, padding and unknown included."""

    min_count: int = 2
    """A token seen fewer times than this in the training part is unknown."""

    max_length: int = 400
    """Tokens kept of a row; 0 keeps all."""

    keep: Keep = "both"
    """Which part of a longer row is kept; both: the first half and the last half of max_length."""

    normalize: Normalize = "NFKC"
    """Unicode normalisation."""

    lowercase: bool = True
    """Fold upper case into lower case."""

    html: bool = True
    """Turn <br> into a space and entities such as &amp; into the characters they stand for."""

    punctuation: Punctuation = "split"
    """Punctuation marks become tokens of their own (split), vanish (drop) or stay on their words (keep)."""

    def __post_init__(self) -> None:
        _one_of("level", self.level, get_args(Level))
        _one_of("keep", self.keep, get_args(Keep))
        _one_of("normalize", self.normalize, get_args(Normalize))
        _one_of("punctuation", self.punctuation, get_args(Punctuation))
        if self.level == "bpe":
            _whole("vocabulary", self.vocabulary, BPE_LEAST, " for level 'bpe' (256 bytes, padding, unknown)")
        else:
            _whole("vocabulary", self.vocabulary, 3, " (padding, unknown and one token)")
        _whole("min_count", self.min_count, 1)
        _whole("max_length", self.max_length, 0, " (0 keeps all)")
        _flag("lowercase", self.lowercase)
        _flag("html", self.html)


@dataclass(frozen=True)
class SeriesOptions:
    """How numeric sequences are prepared."""

    standardize: bool = True
    """Give every feature mean 0 and standard deviation 1, as measured on the training part."""

    max_steps: int = 0
    """Steps kept of a sequence, the last ones; 0 keeps all."""

    def __post_init__(self) -> None:
        _flag("standardize", self.standardize)
        _whole("max_steps", self.max_steps, 0, " (0 keeps all)")


@dataclass(frozen=True)
class BatchOptions:
    """How rows become batches."""

    batch_size: int = 32
    """Rows in a batch, over all processes."""

    bucket: int = 50
    """Batches in a pool of rows sorted by length, so that little is padded; 0 does not group by length."""

    validation: float = 0.1
    """Share of the training data held out for validation, stratified, where none is given; 0 holds out none.
    """

    seed: int = 0
    """Seed of the split, the order of rows, the weights and dropout."""

    def __post_init__(self) -> None:
        _whole("batch_size", self.batch_size, 1)
        _whole("bucket", self.bucket, 0, " (0 does not group by length)")
        _whole("seed", self.seed, 0)
        share = self.validation
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise OptionError(f"validation is {share!r}, but must be a share of at least 0 and below 1")
