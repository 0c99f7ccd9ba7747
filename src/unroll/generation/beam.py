"""Beam search for many rows at once, each with the result that it has alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from unroll.errors import OptionError, RunError
from unroll.generation.constraints import Constraints, Progress, by_banks
from unroll.generation.hypotheses import Finished, Hypothesis, Ids, length_penalty
from unroll.generation.options import SearchOptions
from unroll.ops import rows as row_ops

NOT_NUMBERS = "the model's probabilities are not numbers: its weights are damaged, or its training diverged"


class BatchStepper(Protocol):
    """Protocol of a decoder for a search: a state holds what it has read of each of N texts.

    For `coverage_penalty` and alignments it also has `attention(state)`, the weights (N, S) of the last step, and
    `source_lengths(state)`, (N,).
    """

    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read one more token of each text, ids (N,); return log p (N, V) of the next token, and the new state.

        The search may write into log p.
        """
        ...

    def select(self, state: Any, rows: Tensor) -> Any:
        """Select the texts with indices `rows` (M,) of a state, in that order; an index may repeat."""
        ...


@dataclass(slots=True)
class _Live:
    """An unfinished text of a row."""

    place: int
    """Its place in the present state."""
    ids: Ids = ()
    total: float = 0.0
    each: tuple[float, ...] = ()
    path: Ids = ()
    """Its place in the state at every step before."""
    progress: Progress = Progress()


@dataclass(slots=True)
class _Row:
    """The search of one row."""

    live: list[_Live]
    finished: Finished
    unfinished: Finished
    prefix: Ids
    most: int
    """Tokens at most."""
    least: int
    """Tokens before the end, at least."""


class _Candidate(NamedTuple):
    """A text of a row and a token that may come next."""

    total: float
    text: _Live
    token: int
    log_p: float


@torch.inference_mode()
def beam_search(
    stepper: BatchStepper,
    log_p: Tensor,
    state: Any,
    options: SearchOptions,
    *,
    end: int | None,
    max_new_tokens: Sequence[int] | None = None,
    prefixes: Sequence[Sequence[int]] | None = None,
    constraints: Constraints | None = None,
    forbid: Collection[int] = (0, 1),
    ends: Callable[[Sequence[int]], bool] | None = None,
    text: Callable[[Sequence[int]], str] | None = None,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Find likely texts for each of N rows, best first.

    At each step every unfinished text of a row is extended by every token. Of the `beam` best, those that end are set
    aside as finished; of the others the `beam` best go on. A text's score is

        log p(text) / ((5 + n) / 6)^length_penalty + coverage_penalty sum_s log min(sum_u a_us, 1)

    with n tokens, the end included (Wu et al. 2016, "Google's neural machine translation system"). A row's search ends
    when no unfinished text can come to be among its `n_best`, whatever follows: its log-probability can only fall, and
    the length penalty can do no more for it than at the maximal length. Texts that reach that length are unfinished;
    they follow the finished ones. So a beam as wide as there are texts finds the best of all, a beam of 1 takes the
    likeliest token each time, and a larger `n_best` begins with what a smaller one finds.

    **A row's result does not depend on the other rows**, bit for bit, if the stepper's numbers do not; those of
    `Seq2Seq` do not on the CPU.

    Args:
        stepper: the decoder.
        log_p: (N, V), log-probabilities of each row's first token.
        state: the stepper's state of the N rows.
        options: beam, penalties, lengths.
        end: id of the token that ends a text; None: there is none.
        max_new_tokens: of each row, instead of the options'.
        prefixes: of each row, the tokens that its texts begin with.
        constraints: phrases that texts must or must not contain.
        forbid: ids that are never used.
        ends: whether a text ends with its last token, which then belongs to it.
        text: the surface text of tokens: of the `n_best` each has another one.
        attention: keep the attention weights of every token.

    Raises:
        OptionError: the options allow no token at all.
        RunError: the model's numbers are not finite.
    """
    N, V = log_p.shape
    most = [options.max_new_tokens] * N if max_new_tokens is None else list(max_new_tokens)
    begins = [tuple(prefix) for prefix in prefixes] if prefixes is not None else [()] * N
    rows = [
        _Row(
            [_Live(i)],
            Finished(options.n_best, text),
            Finished(options.n_best, text),
            begins[i],
            max(1, most[i], len(begins[i]) + 1),
            max(options.min_new_tokens, len(begins[i])),
        )
        for i in range(N)
    ]
    if len(set(range(V)) - set(forbid)) == 0:
        raise OptionError("every token is forbidden, so there is nothing to search for")
    search = _Search(stepper, options, end, constraints or Constraints(), forbid, ends, attention)
    search.look(state)
    active, log_p = rows, log_p.clone()
    for n in range(1, max((row.most for row in rows), default=0) + 1):
        search.advance(active, log_p, n)
        active = [row for row in active if row.live]
        if not active:
            break
        texts = [one for row in active for one in row.live]
        places = torch.tensor([one.place for one in texts])
        log_p, state = stepper.step(torch.tensor([one.ids[-1] for one in texts]), stepper.select(state, places))
        search.follow(places)
        for place, one in enumerate(texts):
            one.place = place
        search.look(state)
    return [(row.finished.ranked() + row.unfinished.ranked())[: options.n_best] for row in rows]


class _Search:
    """What all rows of a search share."""

    def __init__(
        self,
        stepper: BatchStepper,
        options: SearchOptions,
        end: int | None,
        constraints: Constraints,
        forbid: Collection[int],
        ends: Callable[[Sequence[int]], bool] | None,
        attention: bool,
    ) -> None:
        self._stepper: Any = stepper
        self._options = options
        self._end = end
        self._constraints = constraints
        self._forbid = sorted({*forbid})
        self._ends = ends
        self._keeps = attention
        self._covers = options.coverage_penalty > 0
        self._looked: list[np.ndarray] = []
        self._coverage: np.ndarray | None = None
        self._lengths: np.ndarray | None = None

    def look(self, state: Any) -> None:
        """Note the attention of the step that the state has just made."""
        if not (self._keeps or self._covers):
            return
        weights = self._stepper.attention(state).cpu().numpy()
        if self._keeps:
            self._looked.append(weights)
        if self._covers:
            self._lengths = self._stepper.source_lengths(state).cpu().numpy()
            self._coverage = weights.astype(np.float64) + (0.0 if self._coverage is None else self._coverage)

    def follow(self, places: Tensor) -> None:
        """Move what was noted to the texts that go on."""
        if self._coverage is not None:
            self._coverage = self._coverage[places.numpy()]

    def advance(self, rows: list[_Row], log_p: Tensor, n: int) -> None:
        """Extend the texts of every row by token number n; a row without texts that go on has ended."""
        width = self._options.beam
        self._forbid_tokens(rows, log_p, n)
        top, tokens = row_ops.top(log_p, min(width + 1, log_p.shape[1]))
        values = top.double().cpu().numpy()
        if not np.isfinite(values[:, 0]).all() and bool(log_p.isnan().any()):
            raise RunError(NOT_NUMBERS)
        each, ids, C = values.tolist(), tokens.tolist(), values.shape[1]
        sums = values + np.array([one.total for row in rows for one in row.live])[:, None]
        counts = np.array([len(row.live) for row in rows])
        table = np.full((len(rows), width, C), -math.inf)
        slots = np.arange(len(sums)) - np.repeat(counts.cumsum() - counts, counts)
        table[np.repeat(np.arange(len(rows)), counts), slots] = sums
        table = table.reshape(len(rows), -1)
        most = table.shape[1] if self._constraints.requires else 2 * width  # banks may need any of them
        order = np.argsort(-table, axis=1, kind="stable")[:, :most]
        best = np.take_along_axis(table, order, 1).tolist()
        for row, totals, places in zip(rows, best, order.tolist(), strict=True):
            live = row.live

            def candidates(
                totals: list[float] = totals, places: list[int] = places, live: list[_Live] = live
            ) -> Iterator[_Candidate]:
                for total, at in zip(totals, places, strict=True):
                    if total == -math.inf:
                        return
                    slot, k = divmod(at, C)
                    one = live[slot]
                    yield _Candidate(total, one, ids[one.place][k], each[one.place][k])

            found: Iterable[_Candidate] = candidates()
            if self._constraints.requires:
                found = self._with_wanted(row, list(found), log_p)
            self._extend(row, found, n)

    def _forbid_tokens(self, rows: list[_Row], log_p: Tensor, n: int) -> None:
        """Set the log-probability of what must not come next to -infinity."""
        if self._forbid:
            log_p[:, self._forbid] = -math.inf
        bans, requires = self._constraints.bans, self._constraints.requires and self._end is not None
        for row in rows:
            if n > len(row.prefix) and n > row.least and not bans and not requires:
                continue
            places = [one.place for one in row.live]
            if n <= len(row.prefix):
                token = row.prefix[n - 1]
                kept = log_p[places, token]
                log_p[places] = -math.inf
                log_p[places, token] = kept
                continue
            if self._end is not None and n <= row.least:
                log_p[places, self._end] = -math.inf
            for one in row.live:
                if bans:
                    log_p[one.place, sorted(self._constraints.forbidden(one.ids))] = -math.inf
                if requires and not self._constraints.complete(one.progress):
                    log_p[one.place, self._end] = -math.inf

    def _with_wanted(self, row: _Row, candidates: list[_Candidate], log_p: Tensor) -> list[_Candidate]:
        """Add what required phrases need next, and choose so that texts with more of them survive."""
        there = {(id(c.text), c.token) for c in candidates}
        added = list(candidates)
        for one in row.live:
            wanted = self._constraints.wanted(one.progress)
            if self._end is not None and self._constraints.complete(one.progress):
                wanted = {self._end}
            for token in sorted(wanted):
                value = float(log_p[one.place, token])
                if (id(one), token) not in there and value > -math.inf:
                    added.append(_Candidate(one.total + value, one, token, value))
        added.sort(key=lambda c: -c.total)
        ending = [c for c in added if c.token == self._end][: self._options.beam]
        going = [c for c in added if c.token != self._end]
        counts = [self._constraints.count(self._constraints.after(c.text.progress, c.token)) for c in going]
        chosen = by_banks(going, counts, self._constraints.tokens, self._options.beam)
        return sorted([*ending, *chosen], key=lambda c: -c.total)

    def _extend(self, row: _Row, candidates: Iterable[_Candidate], n: int) -> None:
        """Take the best continuations of a row: those that end, and those that go on."""
        live: list[_Live] = []
        width, requires = self._options.beam, self._constraints.requires
        for rank, (total, one, token, log_p) in enumerate(candidates):
            counts = rank < width or requires
            if len(live) == width and not counts:
                break
            ids = one.ids if token == self._end else (*one.ids, token)
            if token == self._end or (self._ends is not None and self._ends(ids)):
                if counts:
                    row.finished.add(self._found(one, ids, total, log_p, finished=True))
            elif len(live) < width and n >= row.most:
                row.unfinished.add(self._found(one, ids, total, log_p, finished=False))
            elif len(live) < width:
                progress = self._constraints.after(one.progress, token) if requires else one.progress
                live.append(_Live(one.place, ids, total, (*one.each, log_p), (*one.path, one.place), progress))
        # What can no more be among the best, none of its continuations can; and they would only be in the way of texts
        # that are less likely still.
        penalty = length_penalty(row.most, self._options.length_penalty)
        row.live = [one for one in live if row.finished.beaten_by(one.total / penalty)]

    def _found(self, one: _Live, ids: Ids, total: float, log_p: float, *, finished: bool) -> Hypothesis:
        """Make the result of a text and the token that it ends with."""
        each = (*one.each, log_p)
        score = total / length_penalty(len(each), self._options.length_penalty)
        if self._coverage is not None and self._lengths is not None:
            covered = self._coverage[one.place, : self._lengths[one.place]]
            score += self._options.coverage_penalty * float(np.log(np.clip(covered, 1e-9, 1.0)).sum())
        attention = None
        if self._keeps:
            places = (*one.path, one.place)
            attention = np.stack([looked[place] for looked, place in zip(self._looked, places, strict=True)])
        return Hypothesis(ids, finished, total, score, each, attention)
