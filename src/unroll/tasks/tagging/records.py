"""Read tagged data: find usable sentences, with a tag for each token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from unroll.data.bad_rows import LEAVE_OUT, LEAVE_OUT_HERE, BadRow, describe, good_rows
from unroll.data.files.class_names import dataset_names, named, parquet_names
from unroll.data.files.dataset import read_rows, require_columns
from unroll.data.labels import Labels, label_name
from unroll.data.options import SourceOptions
from unroll.data.ragged import iter_column
from unroll.data.tables import column_of, is_table
from unroll.data.text.bio import breach
from unroll.data.text.scheme_names import Scheme, scheme_named
from unroll.data.text.tagged import TaggedSentences
from unroll.data.text.word_vocab import WordCharVocabulary, as_tokens, wrong_tokens
from unroll.data.values import HALF_CHARACTER, has_half_character
from unroll.errors import DataError, nearest
from unroll.tasks.base import Log
from unroll.tasks.tagging.columns import check_columns
from unroll.tasks.tagging.conversion import convert_tags
from unroll.tasks.tagging.options import TaggingOptions

Values = Callable[[np.ndarray | None], Iterator[Any]]
"""Iterates over a column's values at the given rows of the data, or all."""


@dataclass(frozen=True)
class Sentences:
    """Hold the usable sentences of tagged data.

    Attributes:
        values: iterates over the token lists.
        rows: the usable rows' numbers in the data.
        tags: tag numbers (T,) int32 of each usable sentence, indexes into `names`.
        names: the tags.
        where: name of the data in messages.
        whole: the sentences from which these were selected.
    """

    values: Values
    rows: np.ndarray
    tags: list[np.ndarray]
    names: tuple[str, ...]
    where: str
    whole: Sentences | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: np.ndarray) -> Sentences:
        """Select the usable sentences at `positions`."""
        return replace(self, rows=self.rows[positions], tags=[self.tags[i] for i in positions], whole=self)

    def tokens(self) -> Iterator[list[str]]:
        """Iterate over the tokens of the usable sentences."""
        return self.values(self.rows)

    def encode(self, encoder: WordCharVocabulary, labels: Labels) -> TaggedSentences:
        """Encode the usable sentences as arrays; tags not in `labels` become `unseen_tags`."""
        places = {name: i for i, name in enumerate(labels.names)}
        unseen = tuple(name for name in self.names if name not in places)
        numbers = np.array([places.setdefault(name, len(places)) for name in self.names], np.int32)
        return TaggedSentences.encode(self.tokens(), encoder, [numbers[tags] for tags in self.tags], unseen)


def load_sentences(
    data: Any,
    options: TaggingOptions,
    source: SourceOptions,
    say: Log,
    known: Sequence[str] | None = None,
) -> Sentences:
    """Read tagged data and find its usable sentences.

    Args:
        data: files, or a hub name, or a table.
        options: the columns, the required scheme, and the scheme to convert to.
        source: how to read.
        say: called with notes on what was left out, and on tags that are not in the training data.
        known: the tags of the training data, which come first; None: this is the training data.

    Raises:
        DataError: the data cannot be read, lacks a column, has unusable sentences and `skip_bad_rows` is off, or has
            no token with a known tag.
    """
    common: dict[str, Any] = {"skip": source.skip_bad_rows, "say": say, "known": known}
    if is_table(data):
        rows, tags = (column_of(data, name) for name in (options.tokens, options.tags))
        if names := dataset_names(data, options.tags):
            tags = [named(value, names) for value in tags]
        return checked(partial(_taken, rows), tags, len(rows), options, "the table", remedy=LEAVE_OUT_HERE, **common)
    left_out = "left out because of broken lines, the first:"
    dataset, where = read_rows(data, source, say, lambda n: f"{_counted(n, 'sentence')} {left_out}")
    require_columns(dataset, [options.tokens, options.tags], where)
    if known is None:
        check_columns(dataset, options, where)
    values = partial(iter_column, dataset, options.tokens)
    tags: Iterable[Any] = iter_column(dataset, options.tags)
    if names := dataset_names(dataset, options.tags) or parquet_names(data, options.tags, source):
        tags = (named(value, names) for value in tags)
    return checked(values, tags, len(dataset), options, where, **common)


def _taken(values: Sequence[Any], rows: np.ndarray | None = None) -> Iterator[Any]:
    return iter(values) if rows is None else (values[i] for i in rows)


def checked(
    values: Values,
    tags: Iterable[Any],
    total: int,
    options: TaggingOptions,
    where: str,
    *,
    skip: bool = False,
    remedy: str = LEAVE_OUT,
    say: Log = lambda _: None,
    known: Sequence[str] | None = None,
) -> Sentences:
    """Find the usable sentences among `total` values.

    Args:
        values: iterates over the values of the token column.
        tags: the values of the tag column.
        total: number of values.
        options: names of the columns, how texts are split, the required scheme, and the scheme to convert to.
        where: name of the data in messages.
        skip: leave out unusable sentences.
        remedy: what the user can do about them.
        say: called with notes on what was left out, and on tags that are not in the training data.
        known: the tags of the training data, which come first; None: this is the training data.

    Raises:
        DataError: there are unusable sentences and `skip` is off, or no sentence is left; no token has a known tag.
    """

    def tokens(rows: np.ndarray | None = None) -> Iterator[Any]:
        return (as_tokens(value, options.tokenize) for value in values(rows))

    convert = scheme_named(options.convert, "convert") if options.convert else None
    # Known tags are in the target scheme: with `convert`, they apply only after the conversion.
    numbering = _Numbering(options, None if convert else known)
    bad: list[BadRow] = []
    numbers: list[np.ndarray] = []
    for row, (sentence, value) in enumerate(zip(tokens(), tags, strict=True)):
        found = wrong_tokens(sentence, options.tokens) or numbering.read(as_tokens(value), len(sentence))
        if isinstance(found, str):
            bad.append((row, found))
        else:
            numbers.append(found)
    names = tuple(numbering.places)
    if convert:
        good = sorted(set(range(total)) - {row for row, _ in bad})
        names, read = convert_tags(names, numbers, convert, known or ())
        wrong = [(good[i], f"'{options.tags}' {found}") for i, found in enumerate(read) if isinstance(found, str)]
        bad = sorted(bad + wrong)
        numbers = [found for found in read if not isinstance(found, str)]
    rows = good_rows(bad, total, where, skip, remedy=remedy)
    if bad:
        say(f"left out: {describe(bad, total, where)}")
    if known is not None and len(names) > len(known):
        say(_describe_unseen(rows, numbers, names, len(known), where))
    return Sentences(tokens, rows, numbers, names, where)


def _describe_unseen(
    rows: np.ndarray, numbers: list[np.ndarray], names: tuple[str, ...], known: int, where: str
) -> str:
    """Describe in one sentence the tokens with tags that are not among the first `known` names.

    Raises:
        DataError: these are all tokens.
    """
    each = [int((tags >= known).sum()) for tags in numbers]
    row = int(rows[next(i for i, n in enumerate(each) if n)]) + 1
    first = f"'{names[known]:.40}' in row {row}{nearest(names[known], names[:known])}"
    if sum(each) == sum(map(len, numbers)):
        raise DataError(f"no token of {where} has a tag that the training data had; the first is {first}")
    n = sum(each)
    have = f"{n:,} tokens have tags" if n > 1 else "1 token has a tag"
    return f"{where}: {have} that the training data did not, counted as wrong; the first is {first}"


class _Numbering:
    """Number the tags by first appearance, after the known ones."""

    def __init__(self, options: TaggingOptions, known: Sequence[str] | None) -> None:
        self.places: dict[str, int] = {} if known is None else {name: i for i, name in enumerate(known)}
        self._column = options.tags
        self._scheme: Scheme | None = (
            None if options.scheme in ("auto", "none") else scheme_named(options.scheme, "scheme")
        )
        self._names: dict[Any, str | None] = {}

    def read(self, tags: Any, tokens: int) -> np.ndarray | str:
        """Return the numbers of a sentence's tags, or what is wrong with them."""
        column = self._column
        if not isinstance(tags, list | tuple | np.ndarray):
            return f"'{column}' {'is null' if tags is None else f'holds {type(tags).__name__}, not a list of tags'}"
        if len(tags) != tokens:
            return f"'{column}' has {_counted(len(tags), 'tag')} for {_counted(tokens, 'token')}"
        names = [self._name(tag) for tag in tags]
        if None in names:
            return f"'{column}' has no tag at token {names.index(None) + 1}"
        texts = [str(name) for name in names]
        if half := next((i for i, name in enumerate(texts, 1) if has_half_character(name)), 0):
            return f"'{column}' {HALF_CHARACTER} at token {half}"
        if self._scheme and (wrong := breach(texts, self._scheme)):
            return f"'{column}' is not in the scheme {self._scheme}: {wrong}"
        return np.array([self.places.setdefault(name, len(self.places)) for name in texts], np.int32)

    def _name(self, tag: Any) -> str | None:
        if isinstance(tag, str):
            if tag not in self._names:
                self._names[tag] = label_name(tag)
            return self._names[tag]
        return None if isinstance(tag, list | tuple | dict | set | np.ndarray) else label_name(tag)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"
