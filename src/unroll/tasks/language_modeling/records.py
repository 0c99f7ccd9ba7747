"""Read text for a language model: text files, or the column of a table as lines."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unroll.data.bad_rows import LEAVE_OUT_HERE, BadRow, describe, good_rows
from unroll.data.options import SourceOptions
from unroll.data.tables import column_of, is_table
from unroll.data.text.corpus import Corpus
from unroll.data.text.documents import Cut, TextSource, said
from unroll.data.text.normalize import bad_texts
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError
from unroll.tasks.base import Log
from unroll.tasks.language_modeling.options import LanguageSettings


@dataclass(frozen=True)
class TextLines:
    """Hold lines in memory, each with its end, and their name in messages."""

    lines: Sequence[str]
    where: str


Text = TextSource | TextLines


def load_text(data: Any, settings: LanguageSettings, say: Log) -> Text:
    """Read files, or the column of a table.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    source = settings.source
    if not is_table(data):
        return _text_source(list(data), settings, source, say)
    column = settings.language.text
    texts = column_of(data, column)
    bad = text_rows(texts, column)
    rows = good_rows(bad, len(texts), "the table", source.skip_bad_rows, remedy=LEAVE_OUT_HERE)
    if bad:
        say(f"left out: {describe(bad, len(texts), 'the table')}")
    return TextLines(lines_of_texts(texts[row] for row in rows), "the table")


def divide_text(text: Text, settings: LanguageSettings) -> tuple[Text, Text | None]:
    """Hold out the last share of the characters for validation.

    Raises:
        DataError: there is too little text to split.
    """
    share = settings.batch.validation_fraction
    if not share:
        return text, None
    if isinstance(text, TextSource):
        return text.divided(share, _cut(text, settings))
    lines, n_valid = _divide_lines(list(text.lines), share, text.where)
    parts = (lines[: len(lines) - n_valid], lines[len(lines) - n_valid :])
    return TextLines(parts[0], text.where), TextLines(parts[1], text.where) if parts[1] else None


def texts_of(text: Text) -> Iterable[str]:
    """Iterate over the text in chunks."""
    return text.lines if isinstance(text, TextLines) else (piece.text for piece in text)


def encode_text(text: Text, encoder: TextTokenizer, settings: LanguageSettings) -> Corpus:
    """Encode the text as one stream of tokens, with documents according to `reset_state`.

    Raises:
        DataError: there are no tokens.
    """
    if isinstance(text, TextSource):
        return Corpus.encode(text, encoder)
    lines = text.lines
    encoded = encoder.encode(lines)
    begins = np.cumsum([0, *(len(ids) for ids in encoded)])[:-1]
    reset, documents = settings.language.reset_state, np.empty(0, dtype=np.int64)
    if reset == "row":
        documents = begins
    elif reset == "blank":
        after = [i > 0 and bool(line.strip()) and not lines[i - 1].strip() for i, line in enumerate(lines)]
        documents = begins[np.array(after)]
    start = encoder.PAD if encoder.newline is None else encoder.newline
    tokens = np.concatenate(encoded) if encoded else np.empty(0, dtype=np.int32)
    if not len(tokens):
        raise DataError(f"{text.where} has no tokens")
    return Corpus.of(tokens, documents.tolist(), start, text.where)


def text_rows(values: Sequence[Any], column: str) -> list[BadRow]:
    """Find the rows of `values` that are not text; an empty text is allowed as a blank line."""
    return [bad for bad in bad_texts(values, column) if not isinstance(values[bad[0]], str)]


def lines_of_texts(texts: Iterable[str]) -> list[str]:
    """List the lines of texts, each with its end; all kinds of line ends become one, as in files."""
    lines = (line for text in texts for line in (io.StringIO(text, newline=None) if text else ("",)))
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def _text_source(data: Sequence[str], settings: LanguageSettings, source: SourceOptions, say: Log) -> TextSource:
    options = settings.language
    passage = TextSource(
        tuple(data),
        source,
        options.text,
        options.reset_state,
        last_line=settings.text.level == "word" and settings.text.line_ends,
    )
    if source.skip_bad_rows and (reasons := passage.left_out()):
        say(said(reasons, passage.where))
    if not any(piece.text.strip() for piece in passage):
        empty = next(iter(passage), None) is None
        raise DataError(f"{passage.where} {'is empty' if empty else 'holds nothing but white space'}")
    return passage


def _cut(passage: TextSource, settings: LanguageSettings) -> Cut:
    """Choose where the text may be split: between records or documents, else between words, else anywhere."""
    if passage.has_records:
        return "row"
    if settings.language.reset_state != "never":
        return "document"
    return "anywhere" if settings.text.level in ("char", "byte") else "space"


def _divide_lines(lines: list[str], share: float, where: str) -> tuple[list[str], int]:
    """Return the lines, one of them cut if needed, and how many of them form the last `share` of the characters.

    Raises:
        DataError: there is too little text to split.
    """
    ends = np.cumsum([len(line) for line in lines])
    wanted = int(ends[-1] * (1 - share))
    at = int(np.searchsorted(ends, wanted, side="right"))
    if at > 0:
        return lines, len(lines) - at
    space = lines[0].find(" ", wanted)
    space = space if space > 0 else lines[0].rfind(" ", 0, wanted)
    if space <= 0:
        raise DataError(
            f"{where} is too short to be divided into training and validation; set validation_fraction to 0"
        )
    return [lines[0][:space], lines[0][space:], *lines[1:]], len(lines)
