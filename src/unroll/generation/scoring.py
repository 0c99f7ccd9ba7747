"""Score lines of text: their log-probability under a language model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from unroll.data.files.dataset import Unreadable
from unroll.data.groups import grouped
from unroll.data.text.documents import TextSource
from unroll.data.text.tokenizer import TextTokenizer
from unroll.data.values import is_missing
from unroll.errors import DataError, RunError, nearest
from unroll.generation.beam import NOT_NUMBERS
from unroll.models.language_model import LanguageModel

_STEPS_AT_ONCE = 512
_TOKENS_AT_ONCE = 8192
_MOST = 700.0  # beyond it, exp is no number

Line = str | Unreadable


class Scorer:
    """Compute the log-probabilities of lines with a model in evaluation mode.

    Args:
        model: the model.
        encoder: its tokenizer.
        before: id of the token before the start of a text.
    """

    def __init__(self, model: LanguageModel, encoder: TextTokenizer, before: int) -> None:
        self._model = model
        self._encoder = encoder
        self._before = before

    def score(self, lines: Iterable[Line], *, carry: bool, live: bool) -> Iterator[dict[str, Any]]:
        """Score lines as `LanguagePredictor.score` does; with `live` yield each line before reading the next.

        Raises:
            DataError: a line is not text.
            RunError: the model's numbers are not finite.
        """
        before, state = self._before, None
        for group in _groups(self._encoded(lines), alone=carry or live):
            log_p, ended = self._log_probabilities([ids for _, ids in group], before, state)
            if carry and len(group[0][1]):
                before, state = int(group[0][1][-1]), ended
            for (text, ids), values in zip(group, log_p, strict=True):
                yield {"error": text.reason} if isinstance(text, Unreadable) else self._record(text, ids, values)

    def _encoded(self, lines: Iterable[Line]) -> Iterator[tuple[Line, np.ndarray]]:
        encoder = self._encoder
        end = "" if encoder.newline is None else "\n"
        for row, line in enumerate(lines):
            if isinstance(line, Unreadable):
                yield line, np.empty(0, dtype=np.int32)
                continue
            if not isinstance(line, str):
                found = "null" if is_missing(line) else f"{type(line).__name__} {line!r:.40}"
                raise DataError(f"line {row + 1} is {found}, where text is needed")
            yield line, encoder.encode([line + end])[0]

    @torch.inference_mode()
    def _log_probabilities(self, rows: Sequence[np.ndarray], before: int, state: Any) -> tuple[list[np.ndarray], Any]:
        """Compute the float64 log-probability of every token of every row, and the state after the last step."""
        lengths = torch.tensor([len(ids) for ids in rows])
        longest = int(lengths.max())
        target = torch.zeros(len(rows), longest, dtype=torch.int64)
        for i, ids in enumerate(rows):
            target[i, : len(ids)] = torch.from_numpy(ids)
        x = torch.cat([torch.full((len(rows), 1), before), target[:, :-1]], 1) if longest else target
        log_p = torch.zeros(target.shape, dtype=torch.float64)
        device = self._model.inputs.embedding.weight.device
        for begin in range(0, longest, _STEPS_AT_ONCE):
            steps = slice(begin, begin + _STEPS_AT_ONCE)
            part = x[:, steps]
            here = (lengths - begin).clamp(0, part.shape[1])
            features, _, state = self._model(part.to(device), here, state)
            inside = torch.arange(part.shape[1]) < here.unsqueeze(1)
            asked = features[inside.to(device)], target[:, steps][inside].to(device)
            log_p[:, steps][inside] = -self._model.nll(*asked).double().cpu()
        return [row[:length].numpy() for row, length in zip(log_p, lengths.tolist(), strict=True)], state

    def _record(self, text: str, ids: np.ndarray, values: np.ndarray) -> dict[str, Any]:
        total, n = float(values.sum()), len(ids)
        if not math.isfinite(total):
            raise RunError(NOT_NUMBERS)
        mean = total / n if n else None
        return {
            "text": text,
            "tokens": self._encoder.tokens(ids),
            "log_probabilities": [round(float(v), 6) for v in values],
            "total": round(total, 6),
            "per_token": None if mean is None else round(mean, 6),
            "perplexity": None if mean is None or mean < -_MOST else round(math.exp(-mean), 6),
            "unknown": int((ids == self._encoder.UNK).sum()),
        }


def _groups(rows: Iterable[tuple[Line, np.ndarray]], *, alone: bool) -> Iterator[list[tuple[Line, np.ndarray]]]:
    """Group rows into batches of at most `_TOKENS_AT_ONCE` tokens with padding; with `alone`, one row each."""
    if alone:
        return ([row] for row in rows)
    longest = 1

    def full(group: list[tuple[Line, np.ndarray]], row: tuple[Line, np.ndarray]) -> bool:
        nonlocal longest
        longest = max(longest, len(row[1]))
        if (len(group) + 1) * longest <= _TOKENS_AT_ONCE:
            return False
        longest = max(1, len(row[1]))
        return True

    return grouped(rows, full)


def lines_of(passage: TextSource) -> Iterator[str]:
    """Iterate over the lines or records, without the line ends.

    Raises:
        DataError: the source is empty, or cannot be read.
    """
    pieces: list[str] = []
    empty = True
    try:
        for piece in passage:
            empty = False
            if piece.row and pieces:
                yield "".join(pieces).removesuffix("\n")
                pieces = []
            pieces.append(piece.text)
    except DataError:
        if pieces and pieces[-1].endswith("\n"):  # a whole line, which stands before what cannot be read
            yield "".join(pieces).removesuffix("\n")
        raise
    if pieces:
        yield "".join(pieces).removesuffix("\n")
    if empty:
        raise DataError(f"{passage.where} is empty")


def texts_of(rows: Iterable[Mapping[str, Any] | Unreadable], column: str, skip: bool) -> Iterator[Line]:
    """Iterate over the texts in a column of the rows.

    Raises:
        DataError: a row lacks the column, or it is not text, and `skip` is off; with it the row is an `Unreadable`.
    """
    for number, row in enumerate(rows, 1):
        if isinstance(row, Unreadable):
            yield row
            continue
        text = row.get(column)
        if isinstance(text, str):
            yield text
            continue
        if column not in row:
            wrong = f"there is no '{column}'{nearest(column, row)}"
        else:
            wrong = f"'{column}' is null" if is_missing(text) else f"'{column}' holds {type(text).__name__}, not text"
        if not skip:
            raise DataError(f"row {number}: {wrong}; --skip-bad-rows answers it with an error instead")
        yield Unreadable(wrong)
