"""Search for the texts that an encoder-decoder writes, batch by batch, and spell them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from unroll.data.pairs.batches import padded
from unroll.data.ragged import RaggedDataset
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError
from unroll.generation.beam import beam_search
from unroll.generation.constraints import Constraints
from unroll.generation.hypotheses import Hypothesis
from unroll.generation.options import SearchOptions

_ROWS_AT_ONCE = 64
_MORE = 10


def search(
    stepper: Any,
    source: RaggedDataset,
    options: SearchOptions,
    *,
    end: int,
    text: Callable[[Sequence[int]], str],
    constraints: Constraints | None = None,
    prefix: Sequence[int] = (),
    forbid: Sequence[int] = (0, 1),
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Find texts for each source, best first, in the order of the sources.

    A text has at most twice as many tokens as its source and ten more, or `max_new_tokens` if that is fewer. The
    result for a source does not depend on the others: see `generation.beam`.

    Args:
        stepper: a `Seq2Seq`, or an `Ensemble` of them, in evaluation mode.
        source: what the encoder reads.
        options: of the search.
        end: id of the end token.
        text: the surface text of tokens.
        constraints: phrases that must or must not be there (None: `no_repeat_ngram` of the options alone).
        prefix: tokens that every text begins with.
        forbid: ids that are never used.
        attention: keep the attention weights.
    """
    found: list[list[Hypothesis]] = [[] for _ in range(len(source))]
    constraints = constraints or Constraints(no_repeat_ngram=options.no_repeat_ngram)
    order = np.argsort(source.lengths, kind="stable")
    with torch.inference_mode():
        for rows in np.split(order, range(_ROWS_AT_ONCE, len(order), _ROWS_AT_ONCE)):
            x, lengths = padded(source, rows)
            device = next(iter(stepper.parameters())).device
            state = stepper.encode(x.to(device), lengths.to(device))
            log_p, state = stepper.step(torch.zeros(len(rows), dtype=torch.int64), state)
            most = [min(options.max_new_tokens, 2 * n + _MORE) for n in lengths.tolist()]
            texts = beam_search(
                stepper,
                log_p,
                state,
                options,
                end=end,
                max_new_tokens=most,
                prefixes=[prefix] * len(rows),
                constraints=constraints,
                forbid=forbid,
                text=text,
                attention=attention,
            )
            for row, best in zip(rows.tolist(), texts, strict=True):
                found[row] = best
    return found


def spell(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    """Spell tokens out as text."""
    return tokenizer.decoder().decode(ids).strip()


def spell_with_source(tokenizer: TextTokenizer, found: Hypothesis, pieces: Sequence[str], source_end: int) -> str:
    """Spell a text out, each unknown token as the source's piece that it looked at most.

    Args:
        tokenizer: of the target, of level word or char.
        found: the text, with its attention.
        pieces: of the source, without its end.
        source_end: the place of the end token.
    """
    if found.attention is None or tokenizer.UNK not in found.ids:
        return spell(tokenizer, found.ids)
    decoder = tokenizer.decoder()
    parts = []
    for i, weights in zip(found.ids, found.attention, strict=False):
        if i != tokenizer.UNK or not source_end:
            parts.append(decoder.push(i))
        elif tokenizer.options.level == "char":
            parts.append(pieces[int(weights[:source_end].argmax())])
        else:
            parts.append(decoder.push_word(pieces[int(weights[:source_end].argmax())]))
    return ("".join(parts) + decoder.finish()).strip()


def spelled_ids(tokenizer: TextTokenizer, phrase: str, what: str) -> tuple[int, ...]:
    """Encode a phrase of the target, such as a prefix.

    Raises:
        DataError: it is empty, or the vocabulary cannot spell it.
    """
    ids = tuple(int(i) for i in tokenizer.encode([phrase])[0])
    if not ids:
        raise DataError(f"{what} {phrase!r:.60} has no tokens")
    if tokenizer.UNK in ids:
        unknown = ", ".join(repr(piece) for piece in tokenizer.unknown(phrase)[:3])
        raise DataError(f"{what} {phrase!r:.60} cannot be written: the target's vocabulary has no {unknown}")
    return ids
