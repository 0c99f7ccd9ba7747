"""Cache a tokenized text as token ids in a memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from unroll.data.files.cache import writing
from unroll.data.text.documents import Chunk, TextSource
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError

# Part of every cache file's name: raise it when a text is encoded differently.
_READING = "1"
_CHARACTERS_AT_ONCE = 2**20
_TOKENS_AT_ONCE = 2**22
_MAPPED = ("tokens", "documents")


@dataclass(frozen=True)
class Counts:
    """Count the contents of a text.

    Attributes:
        tokens: N.
        rows: lines, or records.
        unknown: tokens that the vocabulary does not have.
        characters, bytes: Unicode code points, and bytes in UTF-8, of the text before cleaning.
        documents: positions, apart from the start, where a document begins and the state is reset.
    """

    tokens: int
    rows: int
    unknown: int
    characters: int
    bytes: int
    documents: int


class Corpus:
    """Hold a tokenized text of N tokens.

    Attributes:
        tokens: (N,) uint16 or int32, memory-mapped: read from disk on access.
        documents: int64, increasing: the positions, above 0, where a document begins and the state is reset.
        counts: numbers of tokens, lines, characters, ...
        start: the id before the first token: the line end's, or padding where the vocabulary has none.
        where: what to call the text in messages.
    """

    def __init__(self, tokens: np.ndarray, documents: np.ndarray, counts: Counts, start: int, where: str) -> None:
        self.tokens = tokens
        self.documents = documents
        self.counts = counts
        self.start = start
        self.where = where

    def __len__(self) -> int:
        return len(self.tokens)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the paths of memory-mapped files instead of their contents."""
        return {name: _as_file(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, np.memmap(*value, mode="r") if name in _MAPPED and isinstance(value, tuple) else value)

    @classmethod
    def encode(cls, passage: TextSource, encoder: TextTokenizer) -> Corpus:
        """Tokenize `passage`, or read its tokens from the cache.

        The files are in the `datasets` cache (under `HF_HOME`), and appear there only once complete. Memory use does
        not depend on the size of the text.

        Raises:
            DataError: the text cannot be read, has no tokens, or the cache cannot be written.
        """
        import datasets.config

        key = hashlib.sha256(f"{_READING}\n{passage.identity()}\n{encoder.to_json()}".encode("utf-8", "replace"))
        base = Path(datasets.config.HF_DATASETS_CACHE) / "unroll" / key.hexdigest()[:32]
        start = encoder.newline if encoder.newline is not None else encoder.PAD
        kind = np.dtype("<u2" if encoder.size <= 2**16 else "<i4")
        cached = _read(base, kind)
        if cached is None:
            with writing():
                _write(base, kind, passage, encoder)
            cached = _read(base, kind)
            if cached is None:
                raise DataError(f"the tokens of {passage.where} vanished from {base.parent} while they were written")
        return cls(*cached, start, passage.where)

    @classmethod
    def of(cls, tokens: np.ndarray, documents: Iterable[int] = (), start: int = 0, where: str = "the text") -> Corpus:
        """Create a corpus from tokens in memory."""
        at = np.asarray(sorted({p for p in documents if p > 0}), dtype=np.int64)
        unknown = int((tokens == TextTokenizer.UNK).sum())
        return cls(tokens, at, Counts(len(tokens), 1, unknown, 0, 0, len(at)), start, where)

    def join(self, other: Corpus) -> Corpus:
        """Put another text, in memory, after this one, as a document of its own."""
        documents = np.concatenate([self.documents, [len(self)], other.documents + len(self)])
        sums = {f.name: getattr(self.counts, f.name) + getattr(other.counts, f.name) for f in fields(Counts)}
        counts = Counts(**sums | {"documents": len(documents)})
        return Corpus(np.concatenate([self.tokens, other.tokens]), documents, counts, self.start, self.where)

    def blocks(self) -> Iterator[np.ndarray]:
        """Iterate over the tokens, a few million at a time."""
        for begin in range(0, len(self.tokens), _TOKENS_AT_ONCE):
            yield np.asarray(self.tokens[begin : begin + _TOKENS_AT_ONCE])

    def frequencies(self, vocabulary: int) -> np.ndarray:
        """Count the occurrences of each token id, (V,) int64."""
        counts = np.zeros(vocabulary, dtype=np.int64)
        for block in self.blocks():
            counts += np.bincount(block, minlength=vocabulary)
        return counts

    def fingerprint(self) -> Iterator[bytes]:
        """Yield the bytes of everything that affects training, for a hash."""
        yield repr((self.start, len(self.tokens), len(self.documents))).encode()
        for block in self.blocks():
            yield block.tobytes()
        yield self.documents.tobytes()


def _as_file(value: Any) -> Any:
    whole = isinstance(value, np.memmap) and value.offset == 0 and value.filename is not None
    return (value.filename, value.dtype) if whole else value


def _files(base: Path) -> tuple[Path, Path, Path]:
    return base.with_suffix(".tokens"), base.with_suffix(".documents"), base.with_suffix(".json")


def _read(base: Path, kind: np.dtype) -> tuple[np.ndarray, np.ndarray, Counts] | None:
    """Read the files from `_write`; None if they are missing or incomplete."""
    tokens, documents, about = _files(base)
    try:
        counts = Counts(**json.loads(about.read_text(encoding="utf-8")))
        ids = np.memmap(tokens, dtype=kind, mode="r")
        at = np.memmap(documents, dtype="<i8", mode="r") if counts.documents else np.empty(0, dtype=np.int64)
    except (OSError, ValueError, TypeError):
        return None
    whole = len(ids) == counts.tokens and len(at) == counts.documents
    return (ids, at, counts) if whole else None


def _write(base: Path, kind: np.dtype, passage: TextSource, encoder: TextTokenizer) -> None:
    base.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base.parent, prefix=f"{base.name}-") as folder:
        parts = _files(Path(folder) / base.name)
        with parts[0].open("wb") as tokens, parts[1].open("wb") as documents:
            n = rows = unknown = characters = size = places = 0
            last, waiting = 0, np.empty(0, dtype="<i8")
            for pieces in _groups(passage):
                encoded = encoder.encode([piece.text for piece in pieces])
                begins = n + np.cumsum([0, *(len(ids) for ids in encoded)])[:-1]
                ids = np.concatenate(encoded)
                tokens.write(ids.astype(kind).tobytes())
                n += len(ids)
                # documents without tokens begin where the next one does, and not at all at the end
                at = np.unique(np.concatenate([waiting, begins[[piece.document for piece in pieces]]])).astype("<i8")
                at, waiting = at[(at > last) & (at < n)], at[at >= n]
                documents.write(at.tobytes())
                last, places = (int(at[-1]) if len(at) else last), places + len(at)
                unknown += int((ids == encoder.UNK).sum())
                rows += sum(piece.row for piece in pieces)
                characters += sum(len(piece.text) for piece in pieces)
                size += sum(len(piece.text.encode("utf-8", "replace")) for piece in pieces)
        if not n:
            raise DataError(f"{passage.where} has no tokens: {'it is empty' if not characters else 'nothing is left'}")
        counts = Counts(n, rows, unknown, characters, size, places)
        parts[2].write_text(json.dumps(asdict(counts)), encoding="utf-8")
        for part, file in zip(parts, _files(base), strict=True):
            os.replace(part, file)  # the counts last: if they exist, so do the others


def _groups(passage: TextSource) -> Iterator[list[Chunk]]:
    group: list[Chunk] = []
    size = 0
    for piece in passage:
        group.append(piece)
        size += len(piece.text)
        if size >= _CHARACTERS_AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group
