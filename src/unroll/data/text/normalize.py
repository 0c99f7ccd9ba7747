"""Clean, normalize and split text into pieces, before the vocabulary is applied."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from unroll.data.bad_rows import BadRow
from unroll.data.files.rows import numbered, row_of
from unroll.data.options import TextOptions
from unroll.data.values import is_missing
from unroll.errors import DataError

# These two contain a space, so no text can produce them: every level splits at white space.
PADDING, UNKNOWN = "[padding token]", "[unknown token]"

_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_LETTER = re.compile(r"[^\W_]")

# Each of these characters is a word of its own.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\u30FC"
# Letters, marks, digits, and the joiners that Persian and the Indic scripts have within words.
_WORD = rf"[[\p{{L}}\p{{M}}\p{{N}}_\u200C\u200D]&&[^{_CJK}]]"
_WORDS = rf"{_WORD}+(?:['’]{_WORD}+)*"
_SPACE = r"\s\p{Cc}\p{Cf}"
_MARKS = r"\p{P}$+<=>^`|~"


def _pattern(options: TextOptions) -> str:
    """Build the pattern of a piece of text (pre-token); text outside of pieces is dropped."""
    if options.level in ("char", "byte"):
        return rf"[^{_MARKS}]" if options.punctuation == "drop" else r"[\s\S]"
    if options.line_ends:
        return _pattern_with_line_ends(options)
    lead = " ?" if options.level == "bpe" else ""
    cjk = rf"{lead}[{_CJK}]"
    if options.punctuation == "keep":
        return rf"{cjk}|{lead}[^{_SPACE}{_CJK}]+"
    other = rf"[^{_SPACE}\p{{L}}\p{{M}}\p{{N}}_{_MARKS if options.punctuation == 'drop' else ''}]"
    return rf"{cjk}|{lead}{_WORDS}|{lead}{other}"


def _pattern_with_line_ends(options: TextOptions) -> str:
    """Build the pattern with line ends; at level bpe every character is in a piece, and white space only starts one."""
    bpe = options.level == "bpe"
    lead, blank, space = (" ?", r"\s", r"\s") if bpe else ("", r"\n", _SPACE)
    if options.punctuation == "keep":
        return rf"{lead}[^\s]+|{blank}"
    cjk = rf"{lead}[{_CJK}]"
    marks = _MARKS if options.punctuation == "drop" else ""
    other = rf"[^{space}\p{{L}}\p{{M}}\p{{N}}_{marks}]"
    return rf"{cjk}|{lead}{_WORDS}|{lead}{other}|{blank}"


def pipeline(options: TextOptions) -> Tokenizer:
    """Build the normalizer and pre-tokenizer for `options`, with an empty vocabulary."""
    by_bytes = options.level in ("bpe", "byte")
    if by_bytes:
        tokenizer = Tokenizer(models.BPE())
    else:
        tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    steps: list[Any] = []
    if options.normalize != "none":
        steps.append(normalizers.NFKC() if options.normalize == "NFKC" else normalizers.NFC())
    if options.lowercase:
        steps.append(normalizers.Lowercase())
    if options.level != "word" and not options.line_ends:
        # White space is a token here (char) or part of one (bpe), so it is collapsed to one kind.
        steps += [normalizers.Replace(Regex(rf"[{_SPACE}]+"), " "), normalizers.Strip()]
        if options.level == "bpe":
            steps.append(normalizers.Prepend(" "))
    tokenizer.normalizer = normalizers.Sequence(steps)
    pieces: list[Any] = [pre_tokenizers.Split(Regex(_pattern(options)), behavior="removed", invert=True)]
    if by_bytes:
        pieces.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        tokenizer.decoder = decoders.ByteLevel()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    return tokenizer


def token_check(options: TextOptions) -> Callable[[str], bool]:
    """Return a function that tells whether a text has any tokens, known or unknown, after cleaning and splitting."""
    cached: list[Tokenizer] = []

    def keeps_tokens(text: str) -> bool:
        text = clean(text, options)
        # A letter or a digit is always part of a token, and almost every text has one.
        if _LETTER.search(text):
            return True
        if not cached:
            cached.append(pipeline(options))
        normalizer, splitter = cached[0].normalizer, cached[0].pre_tokenizer
        assert normalizer is not None  # noqa: S101 (`pipeline` sets both)
        assert splitter is not None  # noqa: S101
        return any(piece for piece, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))

    return keeps_tokens


@functools.cache
def _splitter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(_pattern(TextOptions())), behavior="removed", invert=True)


def split_words(text: str) -> list[str]:
    """Split a text into words and punctuation as level `word` does, but without normalizing."""
    return [piece for piece, _ in _splitter().pre_tokenize_str(text)]


def clean(text: str, options: TextOptions) -> str:
    """Clean markup and entities as the options say, and replace what cannot be stored."""
    if options.html:
        if "<" in text:
            text = _BREAK.sub("\n", text)
        if "&" in text:
            text = html.unescape(text)
    # A lone surrogate (half of a broken JSON escape) is no character and cannot be stored.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def clean_all(
    texts: Iterable[Any], options: TextOptions, first: int = 0, rows: np.ndarray | None = None, where: str = ""
) -> Iterator[str]:
    """Clean every text.

    Raises:
        DataError: a row is null or not text.
    """
    for row, text in numbered(texts, rows, first):
        if not isinstance(text, str):
            given = "nothing (null)" if is_missing(text) else f"{type(text).__name__} {text!r:.40}"
            raise DataError(f"{row_of(row, where)} holds {given} where text is needed")
        yield clean(text, options)


def bad_texts(texts: Iterable[Any], column: str = "text", options: TextOptions | None = None) -> list[BadRow]:
    """Find rows with a null, an empty text or no text; with `options`, also those without tokens after cleaning.

    Args:
        texts: the rows' values.
        column: name, for the reasons.
        options: how the texts are going to be cleaned and split.
    """
    bad: list[BadRow] = []
    keeps_tokens: Callable[[str], bool] | None = None
    if options is not None:
        keeps_tokens = token_check(options)
    for row, text in enumerate(texts):
        if is_missing(text):
            bad.append((row, f"'{column}' is null"))
        elif not isinstance(text, str):
            bad.append((row, f"'{column}' holds {type(text).__name__}, not text"))
        elif not text.strip():
            bad.append((row, f"'{column}' is empty"))
        elif keeps_tokens is not None and not keeps_tokens(text):
            bad.append((row, f"'{column}' has no token left after cleaning"))
    return bad
