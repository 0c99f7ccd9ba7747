"""A text as token ids in a memory-mapped file, made once and found again."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
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
    """What a text holds.

    Attributes:
        tokens: N.
        rows: lines, or records.
        unknown: tokens that the vocabulary does not have.
        characters, bytes: Unicode code points, and bytes in UTF-8, of the text as it was before it was cleaned.
        documents: places, beside the start, where nothing before is remembered.
    """

    tokens: int
    rows: int
    unknown: int
    characters: int
    bytes: int
    documents: int


class Corpus:
    """A text of N tokens.

    Attributes:
        tokens: (N,) uint16 or int32, memory-mapped: only what is looked at is read from the disk.
        documents: int64, rising: the positions, above 0, of tokens that are predicted from an empty memory.
        counts: how much there is.
        start: the id that stands before the first token: the line end's, or padding where the vocabulary has none.
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
        """Another process maps the same files; it is not sent what is in them."""
        return {name: _as_file(value) for name, value in vars(self).items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, np.memmap(*value, mode="r") if name in _MAPPED and isinstance(value, tuple) else value)

    @classmethod
    def encode(cls, passage: TextSource, encoder: TextTokenizer) -> Corpus:
        """The tokens of `passage`, from the cache if they have been made before.

        The file lies in datasets' cache (under `HF_HOME`), written beside and renamed. Memory does not grow with
        the text.

        Raises:
            DataError: the text cannot be read, has no tokens, or the cache cannot be written.
        """
        import datasets.config

        key = hashlib.sha256(f"{_READING}\n{passage.identity()}\n{encoder.to_json()}".encode("utf-8", "replace"))
        base = Path(datasets.config.HF_DATASETS_CACHE) / "unroll" / key.hexdigest()[:32]
        start = encoder.newline if encoder.newline is not None else encoder.PAD
        kind = np.dtype("<u2" if encoder.size <= 2**16 else "<i4")
        found = _read(base, kind)
        if found is None:
            with writing():
                _write(base, kind, passage, encoder)
            found = _read(base, kind)
            if found is None:
                raise DataError(f"the tokens of {passage.where} vanished from {base.parent} while they were written")
        return cls(*found, start, passage.where)

    @classmethod
    def of(cls, tokens: np.ndarray, documents: Iterable[int] = (), start: int = 0, where: str = "the text") -> Corpus:
        """A corpus of tokens in memory."""
        at = np.asarray(sorted({p for p in documents if p > 0}), dtype=np.int64)
        unknown = int((tokens == TextTokenizer.UNK).sum())
        return cls(tokens, at, Counts(len(tokens), 1, unknown, 0, 0, len(at)), start, where)

    def blocks(self) -> Iterator[np.ndarray]:
        """The tokens, some million at a time."""
        for begin in range(0, len(self.tokens), _TOKENS_AT_ONCE):
            yield np.asarray(self.tokens[begin : begin + _TOKENS_AT_ONCE])

    def frequencies(self, vocabulary: int) -> np.ndarray:
        """(V,) int64: how often each id occurs."""
        found = np.zeros(vocabulary, dtype=np.int64)
        for block in self.blocks():
            found += np.bincount(block, minlength=vocabulary)
        return found

    def fingerprint(self) -> Iterator[bytes]:
        """All that decides what is learnt from it."""
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
    """What `_write` left; None where it is not there, or not whole."""
    tokens, documents, about = _files(base)
    try:
        counts = Counts(**json.loads(about.read_text(encoding="utf-8")))
        found = np.memmap(tokens, dtype=kind, mode="r")
        at = np.memmap(documents, dtype="<i8", mode="r") if counts.documents else np.empty(0, dtype=np.int64)
    except (OSError, ValueError, TypeError):
        return None
    whole = len(found) == counts.tokens and len(at) == counts.documents
    return (found, at, counts) if whole else None


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
            os.replace(part, file)  # the description last: where it is, the others are


def _groups(passage: TextSource) -> Iterator[list[Chunk]]:
    held: list[Chunk] = []
    size = 0
    for piece in passage:
        held.append(piece)
        size += len(piece.text)
        if size >= _CHARACTERS_AT_ONCE:
            yield held
            held, size = [], 0
    if held:
        yield held
