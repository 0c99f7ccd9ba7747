"""Searches over small tables of probabilities, whose best texts can be found by trying all."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from unroll.errors import OptionError, RunError
from unroll.generation.beam import beam_search
from unroll.generation.constraints import Constraints, by_banks
from unroll.generation.hypotheses import Hypothesis, length_penalty
from unroll.generation.options import SearchOptions


class State(NamedTuple):
    row: Tensor
    before: Tensor
    last: Tensor
    attention: Tensor


class Table:
    """The next token's probability depends on the row and on the two tokens before it; so does the attention."""

    def __init__(self, rows: int, vocabulary: int, seed: int = 0, sharp: float = 1.5, steps: int = 4) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (rows, vocabulary, vocabulary)
        self.log_p = (sharp * torch.randn(*shape, vocabulary, generator=generator)).log_softmax(-1)
        self.weights = torch.randn(*shape, steps, generator=generator).softmax(-1)
        self.lengths = torch.randint(1, steps + 1, (rows,), generator=generator)

    def start(self, rows: list[int]) -> tuple[Tensor, State]:
        row = torch.tensor(rows, dtype=torch.int64)
        zero = torch.zeros(len(rows), dtype=torch.int64)
        return self.step(zero, State(row, zero, zero, self.weights[row, 0, 0]))

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        weights = self.weights[state.row, state.last, ids]
        return self.log_p[state.row, state.last, ids], State(state.row, state.last, ids, weights)

    def select(self, state: State, rows: Tensor) -> State:
        return State(*(part[rows] for part in state))

    def attention(self, state: State) -> Tensor:
        return state.attention

    def source_lengths(self, state: State) -> Tensor:
        return self.lengths[state.row]


def search(table: Table, rows: list[int], options: SearchOptions, **more: Any) -> list[list[Hypothesis]]:
    log_p, state = table.start(rows)
    return beam_search(table, log_p, state, options, end=table.log_p.shape[-1] - 1, **more)


def same(a: list[Hypothesis], b: list[Hypothesis]) -> bool:
    arrays = all(
        (x.attention is None) == (y.attention is None)
        and (x.attention is None or np.array_equal(x.attention, y.attention))  # type: ignore[arg-type]
        for x, y in zip(a, b, strict=True)
    )
    return arrays and [x[:5] for x in a] == [y[:5] for y in b]


def every_text(table: Table, row: int, options: SearchOptions, forbid: tuple[int, ...] = (0, 1)) -> list[Hypothesis]:
    """All texts up to the maximal length, with their scores, best first; the unfinished ones last."""
    V = table.log_p.shape[-1]
    end, found = V - 1, []
    tokens = [t for t in range(V - 1) if t not in forbid]
    for n in range(options.max_new_tokens + 1):
        for ids in itertools.product(tokens, repeat=n):
            finished = n < options.max_new_tokens
            given = (0, 0, *ids, *([end] if finished else []))
            steps = list(zip(given, given[1:], given[2:], strict=False))
            each = [float(table.log_p[row, a, b, c]) for a, b, c in steps]
            total = sum(each)
            score = total / length_penalty(len(each), options.length_penalty)
            if options.coverage_penalty:
                got = sum(table.weights[row, a, b].double() for a, b, _ in steps)[: table.lengths[row]]
                score += options.coverage_penalty * float(got.clamp(max=1).log().sum())
            if n or finished:
                found.append(Hypothesis(ids, finished, total, score, tuple(each)))
    return sorted(found, key=lambda h: (not h.finished, -h.score))


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("coverage", [0.0, 0.4])
def test_a_beam_as_wide_as_there_are_texts_finds_the_best_of_all(penalty: float, coverage: float) -> None:
    table = Table(6, 6)  # padding, unknown, three words, the end
    options = SearchOptions(
        beam=125, n_best=7, length_penalty=penalty, coverage_penalty=coverage, max_new_tokens=4, min_new_tokens=0
    )
    for row, found in enumerate(search(table, list(range(6)), options)):
        want = every_text(table, row, options)[:7]
        assert [h.ids for h in found] == [h.ids for h in want]
        for a, b in zip(found, want, strict=True):
            assert a.finished == b.finished
            assert math.isclose(a.score, b.score, abs_tol=1e-5)
            assert math.isclose(a.log_probability, sum(a.token_log_probabilities), abs_tol=1e-6)
            assert len(a.token_log_probabilities) == len(a.ids) + a.finished


OPTIONS: list[dict[str, Any]] = [
    {},
    {"length_penalty": 0.0},
    {"coverage_penalty": 0.3, "n_best": -1},
    {"min_new_tokens": 3, "no_repeat_ngram": 2},
    {"n_best": -1},
]


@pytest.mark.parametrize("width", [1, 2, 5, 8])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_rows_in_a_batch_are_rows_alone(width: int, options: dict[str, Any]) -> None:
    table = Table(200, 9, seed=width)
    options = {name: width if value == -1 else value for name, value in options.items()}
    made = SearchOptions(beam=width, max_new_tokens=12, **options)
    most = [3 + row % 10 for row in range(200)]
    prefixes = [[2, 3][: row % 3] for row in range(200)]
    constraints = Constraints(banned=[(4, 5), (6,)], no_repeat_ngram=made.no_repeat_ngram)

    def found(rows: list[int]) -> list[list[Hypothesis]]:
        return search(
            table,
            rows,
            made,
            max_new_tokens=[max(most[r], made.min_new_tokens + 1) for r in rows],
            prefixes=[prefixes[r] for r in rows],
            constraints=constraints,
            attention=True,
        )

    together = found(list(range(200)))
    for row in range(200):
        assert same(found([row])[0], together[row])
    backwards = found(list(range(199, -1, -1)))
    assert all(same(a, b) for a, b in zip(together, backwards[::-1], strict=True))
    for row, best in enumerate(together):
        assert best
        for h in best:
            assert h.ids[: len(prefixes[row])] == tuple(prefixes[row])
            assert 6 not in h.ids
            assert (4, 5) not in set(itertools.pairwise(h.ids))
            assert len(h.ids) >= made.min_new_tokens
            assert h.attention is not None
            assert h.attention.shape == (len(h.token_log_probabilities), 4)
        assert len({h.ids for h in best}) == len(best)


def test_a_beam_of_one_takes_the_likeliest_token_each_time() -> None:
    table = Table(100, 9)
    for row, (best,) in enumerate(search(table, list(range(100)), SearchOptions(beam=1, max_new_tokens=20))):
        ids, a, b = [], 0, 0
        while len(ids) < 20:
            scores = table.log_p[row, a, b].clone()
            scores[:2] = -math.inf
            token = int(scores.argmax())
            if token == 8:
                break
            ids.append(token)
            a, b = b, token
        assert best.ids == tuple(ids)
        assert best.finished == (len(ids) < 20)


def test_a_larger_n_best_begins_with_the_smaller() -> None:
    table = Table(100, 9)
    one, three, five = (
        search(table, list(range(100)), SearchOptions(beam=5, n_best=n, max_new_tokens=10)) for n in (1, 3, 5)
    )
    assert all(a == b[:1] == c[:1] and b == c[:3] for a, b, c in zip(one, three, five, strict=True))
    assert all(len({h.ids for h in c}) == 5 for c in five)


def test_the_attention_is_that_of_each_token() -> None:
    table = Table(3, 7)
    for row, best in enumerate(search(table, [0, 1, 2], SearchOptions(beam=3, n_best=3), attention=True)):
        for h in best:
            given = (0, 0, *h.ids)
            want = [table.weights[row, a, b] for a, b in itertools.pairwise(given)][: len(h.token_log_probabilities)]
            assert h.attention is not None
            np.testing.assert_array_equal(h.attention, torch.stack(want).numpy())


def test_surface_texts_are_distinct() -> None:
    table = Table(50, 9)

    def text(ids: Any) -> str:
        return "".join("abababab"[i] for i in ids)

    for best in search(table, list(range(50)), SearchOptions(beam=6, n_best=6, max_new_tokens=6), text=text):
        assert len({text(h.ids) for h in best}) == len(best)


def test_required_phrases_are_there() -> None:
    table = Table(60, 9)
    constraints = Constraints(required=[(2, 3), (5,)], banned=[(4,)])
    for best in search(table, list(range(60)), SearchOptions(beam=8, max_new_tokens=12), constraints=constraints):
        (h,) = best
        assert h.finished
        assert (2, 3) in set(itertools.pairwise(h.ids))
        assert 5 in h.ids
        assert 4 not in h.ids
    assert by_banks("abcdef", [0, 0, 0, 1, 2, 2], 2, 4) == ["a", "d", "e", "f"]
    assert by_banks("abc", [0, 0, 0], 2, 2) == ["a", "b"]


def test_a_required_phrase_costs_as_little_as_can_be() -> None:
    table, options = Table(20, 6), SearchOptions(beam=125, max_new_tokens=4, length_penalty=0.0)
    found = search(table, list(range(20)), options, constraints=Constraints(required=[(3, 2)]))
    for row, (best,) in enumerate(found):
        want = next(h for h in every_text(table, row, options) if (3, 2) in set(itertools.pairwise(h.ids)))
        assert best.ids == want.ids


def test_a_beam_wider_than_the_vocabulary_and_lengths_that_are_hit() -> None:
    table = Table(5, 4)
    for best in search(table, list(range(5)), SearchOptions(beam=9, n_best=9, max_new_tokens=2)):
        assert [h.ids for h in best if h.finished] == sorted({(), (2,)}, key=lambda i: -_score(best, i))
        assert [h.ids for h in best if not h.finished] == [(2, 2)]
    (cut,) = search(table, [0], SearchOptions(beam=2, min_new_tokens=3, max_new_tokens=3))[0]
    assert cut.ids == (2, 2, 2)
    assert not cut.finished


def _score(best: list[Hypothesis], ids: tuple[int, ...]) -> float:
    return next(h.score for h in best if h.ids == ids and h.finished)


def test_what_cannot_be_searched() -> None:
    table = Table(2, 4)
    with pytest.raises(OptionError, match="every token is forbidden"):
        search(table, [0], SearchOptions(), forbid=range(4))
    table.log_p[1] = math.nan
    with pytest.raises(RunError, match="are not numbers"):
        search(table, [0, 1], SearchOptions())
    with pytest.raises(OptionError, match="n_best is 3, but a beam of 2 finds no more than 2"):
        SearchOptions(beam=2, n_best=3)
    with pytest.raises(OptionError, match="min_new_tokens is 9, which is above max_new_tokens"):
        SearchOptions(min_new_tokens=9, max_new_tokens=4)
    assert search(Table(2, 4), [], SearchOptions()) == []
