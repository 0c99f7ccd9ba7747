"""Read pre-trained word vectors from text files (GloVe, word2vec)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unroll.data.files.paths import blaming, opened_text, wrong_byte
from unroll.errors import DataError, OptionError


@dataclass(frozen=True)
class Vectors:
    """Words and their vectors.

    Attributes:
        words: N words, in the order of the file.
        values: (N, D) float32.
    """

    words: tuple[str, ...]
    values: np.ndarray


def read_vectors(
    path: str | Path,
    dimension: int,
    wanted: Callable[[str], bool],
    *,
    first: int = 0,
    word: Callable[[str], str] = str,
    encoding: str = "utf-8",
) -> Vectors:
    """Read the vectors of wanted words, and of the first words of the file; reads the file once, line by line.

    A line is a word and D numbers, separated by blanks; the word may contain blanks. A header line with two whole
    numbers, the number of words and D, is optional. The file may be compressed (.gz, .xz, .zst).

    Args:
        path: the file.
        dimension: the D that is needed.
        wanted: whether a word, in the form that `word` gives it, is needed.
        first: number of words at the file's start to read even if not wanted; files begin with common words.
        word: normalizes the file's words for look-up. Of several that become the same, the first is used.
        encoding: of the file. Words with invalid bytes are skipped.

    Raises:
        DataError: the file is missing or empty, or a line has another number of values or one that is not a number.
        OptionError: the file's D is another.
    """
    path = Path(path).expanduser()
    vectors: dict[str, np.ndarray] = {}
    with blaming(path), opened_text(path, encoding, lenient=True) as lines:
        for place, (number, line) in enumerate(_lines(lines, path, dimension)):
            text, *values = line.rsplit(" ", dimension)
            if len(values) != dimension:
                raise DataError(f"'{path}', line {number}: a word and {dimension} values are needed, not {line!r:.40}")
            key = word(text)
            if key in vectors or not (wanted(key) or place < first) or not key or wrong_byte(key, encoding):
                continue
            vectors[key] = _vector(values, f"'{path}', line {number}")
    if not vectors:
        return Vectors((), np.zeros((0, dimension), np.float32))
    return Vectors(tuple(vectors), np.stack(list(vectors.values())))


def _lines(lines: Iterator[str], path: Path, dimension: int) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines with vectors, after checking their length in the first line."""
    start = 0
    for number, line in enumerate(lines, start=1):
        line = line.rstrip(" \t\r\n")
        if not line:
            continue
        if "\t" in line:
            line = line.replace("\t", " ")
        if not start:
            start = number
            cells = line.split(" ")
            header = len(cells) == 2 and all(c.isdecimal() for c in cells)
            width = int(cells[1]) if header else len(cells) - 1
            if width != dimension:
                raise OptionError(
                    f"embedding_dim is {dimension}, but the vectors in '{path}' have {width} values; set it so"
                )
            if header:
                continue
        yield number, line
    if not start:
        raise DataError(f"'{path}' is empty")


def _vector(values: list[str], where: str) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # it becomes infinite, and is refused below
            vector = np.array(values, np.float32)
    except ValueError:
        wrong = next(v for v in values if not _is_number(v))
        raise DataError(f"{where}: {wrong!r:.40} is not a number") from None
    if not np.isfinite(vector).all():
        raise DataError(f"{where}: the vector holds a NaN or an infinite number")
    return vector


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
