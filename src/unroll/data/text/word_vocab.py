"""Encode given tokens as word ids and character ids. The vocabulary is learnt on the training part."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from unroll.atomic_write import read_document
from unroll.data.bad_rows import BadRow
from unroll.data.options import TextOptions
from unroll.data.values import HALF_CHARACTER, has_half_character, is_missing
from unroll.errors import DataError, OptionError, RunError

FORMAT = "unroll.tokens/1"

Split = Literal["space", "words"]

MOST_CHARACTERS = 64
"""Most characters of a token that are encoded: of a longer one, the first and the last 32."""


@dataclass(frozen=True)
class TokenTable:
    """Hold the ids of F distinct tokens, numbered from 1; row 0 is padding.

    Attributes:
        words: (F + 1,) int64, word ids.
        characters: (F + 1, C) int32, character ids, 0 after a token's last one; C is at least 1.
        seen: (F + 1,) int64, index among the tokens of the training part; -1 for unseen tokens.
    """

    words: np.ndarray
    characters: np.ndarray
    seen: np.ndarray

    def join(self, other: TokenTable) -> TokenTable:
        """Put the tokens of another table after these, whether or not they are the same."""
        width = max(self.characters.shape[1], other.characters.shape[1])
        parts = (self.characters, other.characters[1:])
        wide = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]
        words, seen = (np.concatenate([a, b[1:]]) for a, b in ((self.words, other.words), (self.seen, other.seen)))
        return TokenTable(words, np.concatenate(wide), seen)


class WordCharVocabulary:
    """Encode tokens with vocabularies of words and of characters. In both, id 0 is padding and id 1 unknown.

    A token's word is its Unicode normal form, folded into lower case if the options say so; its characters are those
    of its normal form, in upper and lower case. Words, and characters, seen fewer than `min_freq` times are unknown,
    and at most `vocab_size` word ids exist. Ids are ordered by decreasing count, then by text; words that were added
    (`extended`) come last.

    Attributes:
        options: `vocab_size`, `min_freq`, `normalize` and `lowercase` are used.
        words: the words with an id of their own, from id 2 on.
        characters: the characters with an id of their own, from id 2 on.
        seen: the normal forms of the training part's distinct tokens, whatever their count, ordered as ids are.
    """

    PAD = 0
    UNK = 1

    def __init__(
        self, words: Sequence[str], characters: Sequence[str], seen: Sequence[str], options: TextOptions
    ) -> None:
        self.options = options
        self.words = tuple(words)
        self.characters = tuple(characters)
        self.seen = tuple(seen)
        self._words = _numbered(self.words, 2)
        self._characters = _numbered(self.characters, 2)
        self._seen = _numbered(self.seen, 0)

    @classmethod
    def learn(
        cls,
        sentences: Iterable[Sequence[str]],
        options: TextOptions | None = None,
        known: Sequence[str] | None = None,
    ) -> WordCharVocabulary:
        """Learn both vocabularies from lists of tokens, read once and one by one.

        Args:
            sentences: the lists of tokens.
            options: how tokens become words.
            known: the words, in the order of their ids, instead of learning them.

        Raises:
            DataError: no word occurs `min_freq` times.
        """
        options = options or TextOptions()
        counts: Counter[str] = Counter()
        for sentence in sentences:
            counts.update(sentence)
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for token, count in counts.items():
            form = _normal(token, options)
            seen[form] += count
            words[_folded(form, options)] += count
            for character in _cut(form):
                characters[character] += count
        most = options.vocab_size - 2 if options.vocab_size else None
        known = _ordered(words, options.min_freq)[:most] if known is None else known
        if not known:
            raise DataError(f"the vocabulary is empty: no word occurs {options.min_freq} times (min_freq)")
        return cls(known, _ordered(characters, options.min_freq), _ordered(seen, 1), options)

    def extended(self, words: Iterable[str]) -> WordCharVocabulary:
        """Return the vocabulary with new words among `words`, in the form of `word`, added at the end."""
        added = [word for word in dict.fromkeys(words) if word not in self._words]
        return WordCharVocabulary((*self.words, *added), self.characters, self.seen, self.options)

    @property
    def size(self) -> int:
        """Number of word ids, including padding and unknown."""
        return len(self.words) + 2

    @property
    def character_size(self) -> int:
        """Number of character ids, including padding and unknown."""
        return len(self.characters) + 2

    def word(self, token: str) -> str:
        """Return the form in which a token is looked up."""
        return _folded(_normal(token, self.options), self.options)

    def id_of(self, word: str) -> int:
        """Return the id of a word in the form of `word`; 1 if it is unknown."""
        return self._words.get(word, self.UNK)

    def table(self, tokens: Sequence[str]) -> TokenTable:
        """Look up the ids of distinct tokens, numbered from 1 in their order."""
        words = np.zeros(len(tokens) + 1, np.int64)
        seen = np.full(len(tokens) + 1, -1, np.int64)
        spelt: list[list[int]] = [[]]
        for i, token in enumerate(tokens, start=1):
            form = _normal(token, self.options)
            words[i] = self.id_of(_folded(form, self.options))
            seen[i] = self._seen.get(form, -1)
            spelt.append([self._characters.get(c, self.UNK) for c in _cut(form)])
        characters = np.zeros((len(spelt), max(1, *map(len, spelt)) if tokens else 1), np.int32)
        for i, ids in enumerate(spelt):
            characters[i, : len(ids)] = ids
        return TokenTable(words, characters, seen)

    def to_json(self) -> str:
        """Return a JSON document."""
        document = {
            "format": FORMAT,
            "options": asdict(self.options),
            "words": self.words,
            "characters": self.characters,
            "seen": self.seen,
        }
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> WordCharVocabulary:
        """Read what `to_json` wrote.

        Raises:
            RunError: the document is damaged.
        """
        document = read_document(text, FORMAT, "the vocabulary")
        try:
            options = TextOptions(**document["options"])
        except (OptionError, KeyError, TypeError) as error:
            raise RunError(f"the vocabulary is damaged: its options cannot be used ({error})") from None
        lists: dict[str, list[str]] = {}
        for name in ("words", "characters", "seen"):
            items = document.get(name)
            if not isinstance(items, list) or not all(isinstance(w, str) and w for w in items):
                raise RunError(f"the vocabulary is damaged: its {name} are not a list of texts")
            if len(set(items)) != len(items):
                raise RunError(f"the vocabulary is damaged: one of its {name} is there twice")
            lists[name] = items
        if not all(len(c) == 1 for c in lists["characters"]):
            raise RunError("the vocabulary is damaged: one of its characters is several")
        return cls(**lists, options=options)


def as_tokens(value: Any, split: Split = "space") -> Any:
    """Split a text into tokens, at white space or with `split_words`; any other value is unchanged."""
    if not isinstance(value, str):
        return value
    if split == "space":
        return value.split()
    from unroll.data.text.normalize import split_words

    return split_words(value)


def bad_tokens(values: Iterable[Any], column: str = "tokens") -> list[BadRow]:
    """Find rows of `values` that are not lists of tokens; `column` is their name in the reasons."""
    return [(row, reason) for row, value in enumerate(values) if (reason := wrong_tokens(value, column))]


def wrong_tokens(value: Any, column: str) -> str:
    """Explain why a value is not a list of tokens (null, no list, empty, an invalid token); "" if it is one."""
    if is_missing(value):
        return f"'{column}' is null"
    if not isinstance(value, list | tuple | np.ndarray):
        return f"'{column}' holds {type(value).__name__}, not a list of tokens"
    if not len(value):
        return f"'{column}' is empty"
    for place, token in enumerate(value, start=1):
        if is_missing(token):
            return f"'{column}' has a null at token {place}"
        if not isinstance(token, str):
            return f"'{column}' has {type(token).__name__} {token!r:.40} at token {place}, where text is needed"
        if not token:
            return f"'{column}' has an empty text at token {place}"
        if has_half_character(token):
            return f"'{column}' {HALF_CHARACTER} at token {place}"
    return ""


def _numbered(texts: Sequence[str], first: int) -> dict[str, int]:
    return {text: i for i, text in enumerate(texts, start=first)}


def _ordered(counts: Counter[str], least: int) -> list[str]:
    return sorted((text for text, count in counts.items() if count >= least), key=lambda text: (-counts[text], text))


def _normal(token: str, options: TextOptions) -> str:
    return token if options.normalize == "none" else unicodedata.normalize(options.normalize, token)


def _folded(form: str, options: TextOptions) -> str:
    return form.lower() if options.lowercase else form


def _cut(form: str) -> str:
    half = MOST_CHARACTERS // 2
    return form if len(form) <= MOST_CHARACTERS else form[:half] + form[-half:]
