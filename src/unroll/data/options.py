"""What a person can choose about their data; nothing here imports a library, so that help is instant."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace
from typing import Literal, Self

from unroll.errors import OptionError, nearest
from unroll.options import check_range, check_types

Level = Literal["word", "bpe", "char", "byte"]
Keep = Literal["auto", "head", "tail", "both"]
Normalize = Literal["none", "NFC", "NFKC"]
Punctuation = Literal["split", "drop", "keep"]
Quoting = Literal["auto", "csv", "none"]
Decimal = Literal["auto", "point", "comma"]
Comments = Literal["auto", "skip", "none"]
InputFormat = Literal["auto", "csv", "tsv", "jsonl", "json", "parquet", "npz", "xlsx", "txt", "conll", "conllu"]
HeaderLine = Literal["auto", "first", "none"]

DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "bar": "|", "\\t": "\t", "space": " "}
"""Names of delimiters that are hard to write in a command."""

BPE_LEAST = 258
"""Byte-pair vocabularies start from padding, unknown and the 256 bytes."""


# What the libraries underneath hold in 32 bits.
_COUNT_LIMIT = 2**31
_SEED_LIMIT = 2**32

_MAX_TOKENS = 400


@dataclass(frozen=True)
class SourceOptions:
    """How files are read."""

    encoding: str = "utf-8"
    """Encoding of text files, for example utf-8, gbk, latin-1."""

    input_format: InputFormat = "auto"
    """Format of the files: csv, tsv, jsonl, json, parquet, npz, xlsx, txt, conll or conllu; auto: by their names, and
    by their content where a name says nothing or ends in .txt."""

    skip_bad_rows: bool = False
    """Leave out rows that cannot be used (nulls, empty text, NaN, ...) instead of stopping."""

    delimiter: str = ""
    """What separates fields in .csv files: a character, or tab; if not given, it is found by the first lines."""

    header: HeaderLine = "auto"
    """Whether the first line of .csv, .tsv and .xlsx files names the columns (first) or is a row (none; the columns are
    then named 0, 1, 2, ... as in pandas); auto: it names them, and is refused where it looks like a row (to
    evaluate and predict: as the training data was read)."""

    sheet: str = ""
    """Sheet of .xlsx files that is read (none given: the first)."""

    quoting: Quoting = "auto"
    """Whether quotes enclose fields (csv) or are text (none); auto: as the first lines show."""

    decimal: Decimal = "auto"
    """Whether 1,234 in a text is a fraction (comma) or a thousand (point); auto: as the column's other cells show."""

    comments: Comments = "auto"
    """Whether lines '# ...' of column files (.conll, .iob2, ...) are comments (skip) or tokens (none); auto: as the
    file shows."""

    def __post_init__(self) -> None:
        check_types(self)
        try:
            codecs.lookup(self.encoding)
        except (LookupError, ValueError):  # a NUL in it is a ValueError
            known = ("utf-8", "utf-16", "gbk", "gb18030", "big5", "shift_jis", "euc-kr", "latin-1", "cp1252")
            raise OptionError(
                f"encoding is {self.encoding!r:.60}, which is not known{nearest(str(self.encoding), known)}"
            ) from None
        delimiter = DELIMITERS.get(self.delimiter, self.delimiter)
        if len(delimiter) > 1 or (delimiter in ('"', "\n", "\r", "\0") and delimiter):
            raise OptionError(f"delimiter is {self.delimiter!r:.40}, but must be one character, such as ; or |, or tab")


@dataclass(frozen=True)
class TextOptions:
    """How text becomes token ids."""

    level: Level = "word"
    """What a token is: a word (each Chinese or Japanese character by itself), a byte-pair piece, a character, a byte.
    """

    vocab_size: int = 20000
    """Most entries of the vocabulary, padding and unknown included; 0 takes every token there is (word, char)."""

    min_freq: int = 2
    """A token seen fewer times than this in the training part is unknown."""

    normalize: Normalize = "NFKC"
    """Unicode normalisation."""

    lowercase: bool = True
    """Fold upper case into lower case."""

    html: bool = True
    """Turn <br> into a space and entities such as &amp; into the characters they stand for."""

    punctuation: Punctuation = "split"
    """Punctuation marks become tokens of their own (split), vanish (drop) or stay on their words (keep)."""

    line_ends: bool = False
    """The end of a line is a token of its own, and white space is kept as it is at the levels char, bpe and byte."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.vocab_size in (1, 2):
            raise OptionError(
                f"vocab_size is {self.vocab_size}; it must be at least 3, since padding and unknown are entries too, "
                "or 0 for every token there is"
            )
        if self.vocab_size:
            check_range(self, "vocab_size", least=3, below=_COUNT_LIMIT)
        check_range(self, "min_freq", least=1, below=_COUNT_LIMIT)
        if self.level == "bpe" and self.vocab_size < BPE_LEAST:
            raise OptionError(
                f"vocab_size is {self.vocab_size}; it must be at least {BPE_LEAST} for level 'bpe' "
                "(256 bytes, padding, unknown)"
            )


@dataclass(frozen=True)
class LengthOptions:
    """How much of a long row is read."""

    max_length: int | None = None
    """Tokens or steps kept of a row; 0 keeps all (none given: 400 tokens of a text, all steps of a sequence)."""

    keep: Keep = "auto"
    """Which part of a longer row is kept; both: the first half and the last half of max_length (auto: both of a text,
    tail of a sequence).
    """

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "max_length", least=0, below=_COUNT_LIMIT)

    def resolved(self, *, text: bool) -> Self:
        """The lengths as they are used, for texts or for numeric sequences."""
        length = self.max_length if self.max_length is not None else _MAX_TOKENS if text else 0
        keep = self.keep if self.keep != "auto" else "both" if text else "tail"
        return replace(self, max_length=length, keep=keep)


@dataclass(frozen=True)
class SequenceOptions:
    """How numeric sequences are prepared."""

    standardize: bool = True
    """Give every feature mean 0 and standard deviation 1, as measured on the training part."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class BatchOptions:
    """How rows become batches."""

    batch_size: int = 32
    """Rows in a batch, over all processes."""

    bucket_batches: int = 50
    """Batches in a pool of rows sorted by length, so that little is padded; 0 does not group by length."""

    validation_fraction: float = 0.1
    """Share of the training data held out for validation, stratified, where none is given; 0 holds out none."""

    refit: bool = False
    """Once the figures of validation are known, train again on training and validation data, for as many epochs."""

    seed: int = 0
    """Seed of the split, the order of rows, the weights and dropout."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "batch_size", least=1, below=_COUNT_LIMIT)
        check_range(self, "bucket_batches", least=0, below=_COUNT_LIMIT)
        check_range(self, "seed", least=0, below=_SEED_LIMIT)
        check_range(self, "validation_fraction", least=0, below=1)
