"""Tokenize text: normalise, split, look up. The vocabulary is learnt on the training part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers

from unroll.atomic_write import read_document
from unroll.data.options import LengthOptions, Level, TextOptions
from unroll.data.text.detokenizer import BYTE_SIGNS, TextDecoder
from unroll.data.text.normalize import PADDING, UNKNOWN, clean, clean_all, pipeline
from unroll.data.values import truncate
from unroll.errors import DataError, OptionError, RunError

FORMAT = "unroll.text/1"

_SPECIAL = 2
_WHOLE = LengthOptions(max_length=0, keep="head")

# `tokenizers` needs a hundred bytes or more of memory for every token while encoding.
_CHARACTERS_AT_ONCE = 2**20
_NO_LIMIT = 2**31


class TextTokenizer:
    """Tokenize text with a learnt vocabulary. Id 0 is padding, id 1 unknown; neither is ever a token of text.

    Word level: runs of letters, marks and digits (an apostrophe within a word belongs to it), each Han or
    kana character by itself, punctuation marks as the options say. Scripts without spaces other than these
    (Thai, Lao, Khmer) work better with 'bpe' or 'char'. Byte-pair level: pieces of bytes (as in GPT-2), so
    nothing is ever unknown. Byte level: the bytes of UTF-8, byte b as id b + 2; nothing is learnt. Character
    level: Unicode code points. These three collapse white space.

    With `line_ends` these three keep white space, so that the joined tokens are the (normalised) text, and at the
    word level the end of a line is a token, shown as `<eos>`. With `punctuation='keep'`, words are then separated
    by white space alone, as in tokenised text (Penn Treebank, WikiText).

    Ids are ordered by falling count in the training texts and then by text, whatever the number of threads.
    """

    PAD = 0
    UNK = 1
    features = 0

    def __init__(self, tokenizer: Tokenizer, options: TextOptions, length: LengthOptions = _WHOLE) -> None:
        self._tokenizer = tokenizer
        self.options = options
        self.length = length
        self.size: int = tokenizer.get_vocab_size()
        self._table = _character_table(tokenizer) if _looks_up(options, "char") else None

    @classmethod
    def learn(
        cls, texts: Iterable[str], options: TextOptions | None = None, length: LengthOptions = _WHOLE
    ) -> TextTokenizer:
        """Learn the vocabulary from `texts`, read once and one by one.

        Raises:
            OptionError: `vocab_size` has room for the line end, but for no word.
            DataError: a text is missing or not text, or no token (no word, besides line ends) occurs `min_freq` times.
        """
        options = options or TextOptions()
        if options.level == "byte":
            vocabulary = {PADDING: 0, UNKNOWN: 1} | {sign: byte + _SPECIAL for byte, sign in enumerate(BYTE_SIGNS)}
            return cls(_assemble(options, vocabulary, []), options, length)
        tokenizer = pipeline(options)
        if _looks_up(options, "char"):
            vocabulary = _characters(clean_all(texts, options), tokenizer, options)
            return cls._checked(cls(_assemble(options, vocabulary, None), options, length))
        shared: dict[str, Any] = {
            "vocab_size": options.vocab_size or _NO_LIMIT,
            "min_frequency": options.min_freq,
            "special_tokens": [PADDING, UNKNOWN],
            "show_progress": False,
        }
        if options.level == "bpe":
            trainer = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **shared)
        else:
            trainer = trainers.WordLevelTrainer(**shared)
        tokenizer.train_from_iterator(clean_all(texts, options), trainer)
        # Trained tokens that are "special" would be cut out of texts before anything else.
        model = json.loads(tokenizer.to_str())["model"]
        return cls._checked(cls(_assemble(options, model["vocab"], model.get("merges")), options, length))

    @classmethod
    def _checked(cls, encoder: TextTokenizer) -> TextTokenizer:
        options = encoder.options
        ends = options.level == "word" and encoder.newline is not None
        if ends and options.vocab_size == encoder.size == _SPECIAL + 1:
            raise OptionError(
                f"vocab_size is {options.vocab_size}, which has room for padding, unknown and the line end, "
                "but for no word; it must be higher"
            )
        if encoder.size <= _SPECIAL + ends:
            raise DataError(
                f"the vocabulary is empty: no {options.level} occurs {options.min_freq} times (min_freq) "
                "in the training texts, or they are all empty"
            )
        return encoder

    def encode(
        self, values: Sequence[str], /, *, first: int = 0, rows: np.ndarray | None = None, where: str = ""
    ) -> list[np.ndarray]:
        """Encode each text as token ids, int32 (T,); empty text gives length 0.

        Args:
            values: the texts.
            first: row number of the first, from 0, for messages.
            rows: row number of each, where they are not consecutive.
            where: what to call the data in messages.

        Raises:
            DataError: a row is null or not text.
        """
        encoded: list[np.ndarray] = []
        texts: list[str] = []
        size = 0
        for text in clean_all(values, self.options, first, rows, where):
            texts.append(text)
            size += len(text)
            if size >= _CHARACTERS_AT_ONCE:
                encoded += self._encode(texts)
                texts, size = [], 0
        return encoded + self._encode(texts)

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        if self._table is not None or _looks_up(self.options, "byte"):
            return [truncate(self._look_up(text), self.length) for text in texts]
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [truncate(np.array(e.ids, dtype=np.int32), self.length) for e in found]

    def _look_up(self, text: str) -> np.ndarray:
        """Look up the ids of bytes or characters: the tokenizer's result, a hundred times faster."""
        assert self._tokenizer.normalizer is not None  # noqa: S101 (`pipeline` sets it)
        text = self._tokenizer.normalizer.normalize_str(text)
        if self._table is None:
            return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32) + _SPECIAL
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        return self._table[np.minimum(codes, len(self._table) - 1)]

    def with_truncation(self, length: LengthOptions) -> TextTokenizer:
        """Return a tokenizer with the same vocabulary and another truncation length."""
        return TextTokenizer(self._tokenizer, self.options, length)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Convert ids to readable tokens; 0 and 1 give `<pad>` and `<unk>`."""
        return [self._token(int(i)) for i in ids]

    def entries(self) -> list[str]:
        """List the entries of the vocabulary in order, from id 2 on."""
        found = self._tokenizer.get_vocab()
        return sorted(found, key=found.__getitem__)[_SPECIAL:]

    def _token(self, i: int) -> str:
        if i in (self.PAD, self.UNK):
            return "<unk>" if i else "<pad>"
        token = self._tokenizer.id_to_token(i) if i >= 0 else None
        if token is None:
            raise DataError(f"there is no token {i}: the vocabulary has {self.size} entries")
        if self.options.level in ("bpe", "byte"):
            return decoders.ByteLevel().decode([token])
        return "<eos>" if self.options.level == "word" and token == "\n" else token  # noqa: S105 (no password)

    def unknown(self, text: str) -> list[str]:
        """List the pieces of a text that are not in the vocabulary, each once, as written."""
        text = clean(text, self.options)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        at = (place for i, place in zip(encoding.ids, encoding.offsets, strict=True) if i == self.UNK)
        return list(dict.fromkeys(text[begin:end] for begin, end in at))

    def pieces(self, text: str) -> list[str]:
        """List the piece of a text that each of its tokens stands for, as written; unknown ones too."""
        text = clean(text, self.options)
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [text[begin:end] for begin, end in encoding.offsets]

    @property
    def newline(self) -> int | None:
        """Id of the line end; None where the vocabulary has none."""
        if not self.options.line_ends:
            return None
        by_bytes = self.options.level in ("bpe", "byte")
        return self._tokenizer.token_to_id(BYTE_SIGNS[10] if by_bytes else "\n")

    def decoder(self) -> TextDecoder:
        """Return an incremental decoder from ids to text."""
        return TextDecoder(self._tokenizer.id_to_token, self.options)

    def to_json(self) -> str:
        """Return a JSON document: the options, and the tokenizer in the format of the `tokenizers` library."""
        document = {
            "format": FORMAT,
            "options": asdict(self.options),
            "length": asdict(self.length),
            "tokenizer": json.loads(self._tokenizer.to_str()),
        }
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TextTokenizer:
        """Read what `to_json` wrote.

        Only the vocabulary is taken from the document. The options determine how text is cleaned and split, and a
        document with other patterns is rejected, since a malicious pattern could run for ever.

        Raises:
            RunError: the document is damaged or was edited into something that cannot be used.
        """
        document = read_document(text, FORMAT, "the vocabulary")
        try:
            options, length = TextOptions(**document["options"]), LengthOptions(**document["length"])
            tokenizer_document = document["tokenizer"]
            vocabulary, merges = tokenizer_document["model"]["vocab"], tokenizer_document["model"].get("merges")
            _check_ids(vocabulary)
            tokenizer = _assemble(options, vocabulary, merges)
            known = json.loads(tokenizer.to_str())
        except RunError:
            raise
        except OptionError as error:
            raise RunError(f"the vocabulary is damaged: {error}") from None
        except Exception as error:  # `tokenizers` raises bare Exception
            raise RunError(f"the vocabulary is damaged: {type(error).__name__}: {error}") from None
        for part in sorted({*known, *tokenizer_document}):
            if known.get(part) != tokenizer_document.get(part):
                raise RunError(f"the vocabulary is damaged: its '{part}' is not what its options give")
        return cls(tokenizer, options, length)


def _looks_up(options: TextOptions, level: Level) -> bool:
    """Tell whether the level is `level`, and a byte or character code can be looked up directly in a table."""
    return options.level == level and options.punctuation != "drop"


def _characters(texts: Iterable[str], tokenizer: Tokenizer, options: TextOptions) -> dict[str, int]:
    """Build the vocabulary of the characters in `texts`, in the order of the trainer in `tokenizers`."""
    assert tokenizer.normalizer is not None  # noqa: S101 (`pipeline` sets it)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    common = sorted((c for c, n in counts.items() if n >= options.min_freq), key=lambda c: (-counts[c], c))
    most = (options.vocab_size or _NO_LIMIT) - _SPECIAL
    return {PADDING: 0, UNKNOWN: 1} | {c: i for i, c in enumerate(common[:most], start=_SPECIAL)}


def _character_table(tokenizer: Tokenizer) -> np.ndarray:
    """Build the table from code points to ids; the last entry, beyond the highest, is for all others."""
    characters = {ord(token): i for token, i in tokenizer.get_vocab().items() if len(token) == 1}
    table = np.full(max(characters, default=0) + 2, TextTokenizer.UNK, dtype=np.int32)
    table[list(characters)] = list(characters.values())
    return table


def _assemble(options: TextOptions, vocabulary: dict[str, int], merges: list[Any] | None) -> Tokenizer:
    """Build the tokenizer of `options` with this vocabulary."""
    document = json.loads(pipeline(options).to_str())
    document["model"]["vocab"] = vocabulary
    if options.level in ("bpe", "byte"):
        document["model"]["merges"] = merges
    return Tokenizer.from_str(json.dumps(document))


def _check_ids(vocabulary: Any) -> None:
    if not isinstance(vocabulary, dict) or not all(type(i) is int for i in vocabulary.values()):
        raise RunError("the vocabulary is damaged: it is not a table of tokens and ids")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise RunError("the vocabulary is damaged: its ids are not 0, 1, 2, ... each once")
    if vocabulary.get(PADDING) != TextTokenizer.PAD or vocabulary.get(UNKNOWN) != TextTokenizer.UNK:
        raise RunError("the vocabulary is damaged: ids 0 and 1 are not padding and unknown")
