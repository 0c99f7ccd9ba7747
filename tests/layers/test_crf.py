from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from unroll.layers.crf import AllowedTransitions, ConditionalRandomField

pytestmark = pytest.mark.slow

LENGTHS = torch.tensor([4, 0, 1, 3, 2])


def field(
    K: int, legal: AllowedTransitions | None = None, dtype: torch.dtype = torch.float64
) -> ConditionalRandomField:
    crf = ConditionalRandomField(K, legal).to(dtype)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    return crf


def some_legal(K: int) -> AllowedTransitions:
    """About half of the steps, but always some sequence of every length."""
    between = torch.rand(K, K) < 0.5
    start, end = torch.rand(K) < 0.5, torch.rand(K) < 0.5
    start[0] = end[0] = between[0, 0] = True
    return AllowedTransitions(start, between, end)


def paths(K: int, n: int, legal: AllowedTransitions | None) -> list[tuple[int, ...]]:
    return [
        p
        for p in itertools.product(range(K), repeat=n)
        if legal is None
        or not n
        or (legal.start[p[0]] and legal.end[p[-1]] and all(legal.between[i, j] for i, j in itertools.pairwise(p)))
    ]


def score(crf: ConditionalRandomField, e: Tensor, path: tuple[int, ...]) -> float:
    if not path:
        return 0.0
    total = float(crf.start[path[0]] + crf.end[path[-1]]) + sum(float(e[t, k]) for t, k in enumerate(path))
    return total + sum(float(crf.transitions[i, j]) for i, j in itertools.pairwise(path))


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("K", [1, 2, 4])
def test_every_sum_and_maximum_is_that_over_all_paths(K: int, constrained: bool) -> None:
    legal = some_legal(K) if constrained else None
    crf = field(K, legal).requires_grad_(False)
    emissions = torch.randn(5, 4, K, dtype=torch.float64)
    partition = crf.log_partition(emissions, LENGTHS)
    best, value = crf.viterbi(emissions, LENGTHS)
    marginals = crf.marginals(emissions, LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        every = paths(K, n, legal)
        scores = [score(crf, emissions[b], p) for p in every]
        total = math.log(sum(math.exp(s) for s in scores))
        assert float(partition[b]) == pytest.approx(total, abs=1e-10)
        top = max(range(len(every)), key=scores.__getitem__)
        assert tuple(best[b, :n].tolist()) == every[top]
        assert float(value[b]) == pytest.approx(scores[top], abs=1e-10)
        assert not best[b, n:].any()
        wanted = torch.zeros(4, K, dtype=torch.float64)
        for p, s in zip(every, scores, strict=True):
            for t, k in enumerate(p):
                wanted[t, k] += math.exp(s - total)
        assert float((marginals[b] - wanted).abs().max()) < 1e-10
        tags = torch.zeros(5, 4, dtype=torch.int64)
        for p, s in list(zip(every, scores, strict=True))[:: max(1, len(every) // 7)]:
            tags[b, :n] = torch.tensor(p, dtype=torch.int64)
            assert float(crf.score(emissions, tags, LENGTHS)[b]) == pytest.approx(s, abs=1e-10)
            likelihood = crf.log_likelihood(emissions, tags, LENGTHS)[b]
            assert float(likelihood) == pytest.approx(s - total, abs=1e-10)


def test_the_probabilities_of_all_paths_add_up_to_one() -> None:
    legal = some_legal(3)
    crf = field(3, legal).requires_grad_(False)
    every = paths(3, 4, legal)
    emissions = torch.randn(1, 4, 3, dtype=torch.float64).expand(len(every), 4, 3)
    total = crf.log_likelihood(emissions, torch.tensor(every), torch.full((len(every),), 4)).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("constrained", [False, True])
def test_gradients(constrained: bool) -> None:
    legal = some_legal(3) if constrained else None
    crf = field(3, legal)
    emissions = torch.randn(5, 4, 3, dtype=torch.float64, requires_grad=True)
    tags = torch.zeros(5, 4, dtype=torch.int64)

    def likelihood(e: Tensor, *_: Tensor) -> Tensor:
        return crf.log_likelihood(e, tags, LENGTHS)

    def marginals(e: Tensor, *_: Tensor) -> Tensor:
        return crf.marginals(e, LENGTHS)

    given = (emissions, crf.start, crf.transitions, crf.end)
    for function in (likelihood, marginals):
        assert torch.autograd.gradcheck(function, given)
    assert torch.autograd.gradgradcheck(likelihood, given)


def test_the_gradient_of_the_partition_is_the_marginals(close) -> None:
    crf = field(4, some_legal(4))
    emissions = torch.randn(5, 4, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(crf.log_partition(emissions, LENGTHS).sum(), emissions)
    close(gradient, crf.marginals(emissions, LENGTHS).detach())


def test_nothing_forbidden_is_learnt_or_answered() -> None:
    legal = some_legal(4)
    crf = field(4, legal)
    emissions = 5 * torch.randn(20, 6, 4, dtype=torch.float64)
    lengths = torch.full((20,), 6)
    best, _ = crf.viterbi(emissions, lengths)
    for row in best.tolist():
        assert tuple(row) in paths(4, 6, legal)
    (-crf.log_likelihood(emissions, best, lengths).sum()).backward()
    assert not crf.transitions.grad[~legal.between].any()
    assert not crf.start.grad[~legal.start].any()
    assert not crf.end.grad[~legal.end].any()


def test_a_forbidden_sequence_costs_much_but_stays_finite() -> None:
    legal = AllowedTransitions(
        torch.tensor([True, False]), torch.tensor([[True, False], [True, True]]), torch.tensor([True, True])
    )
    crf = field(2, legal, torch.float32)
    emissions = torch.randn(1, 3, 2, requires_grad=True)
    likelihood = crf.log_likelihood(emissions, torch.tensor([[1, 0, 1]]), torch.tensor([3]))
    assert float(likelihood.detach()) == pytest.approx(-2e6, rel=1e-4)
    likelihood.backward()
    assert emissions.grad is not None
    assert bool(emissions.grad.isfinite().all())


def test_padding_and_the_other_rows_change_nothing() -> None:
    crf = field(3, dtype=torch.float32)
    emissions = torch.randn(5, 4, 3)
    tags = torch.randint(0, 3, (5, 4))
    whole = crf.log_likelihood(emissions, tags, LENGTHS), crf.viterbi(emissions, LENGTHS)[0]
    dirty = emissions.clone()
    for b, n in enumerate(LENGTHS.tolist()):
        dirty[b, n:] = math.nan
        tags[b, n:] = -100
        if n:
            row = slice(b, b + 1)
            alone = crf.log_likelihood(emissions[row, :n], tags[row, :n], LENGTHS[row])
            assert torch.equal(alone, whole[0][row])
    dirty.requires_grad_()
    likelihood = crf.log_likelihood(dirty, tags, LENGTHS)
    assert torch.equal(likelihood, whole[0])
    assert torch.equal(crf.viterbi(dirty, LENGTHS)[0], whole[1])
    likelihood.sum().backward()
    assert dirty.grad is not None
    assert bool(dirty.grad.isfinite().all())
    assert float(likelihood[1].detach()) == 0.0


def test_float32_serves_long_rows_and_large_scores() -> None:
    crf = field(5)
    emissions = 30 * torch.randn(2, 1500, 5, dtype=torch.float64)
    tags = torch.randint(0, 5, (2, 1500))
    lengths = torch.tensor([1500, 900])
    wanted = crf.log_likelihood(emissions, tags, lengths)
    found = crf.float().log_likelihood(emissions.float(), tags, lengths)
    assert float(((found - wanted) / wanted).detach().abs().max()) < 1e-5
    half = crf.log_likelihood(emissions.bfloat16(), tags, lengths)
    assert half.dtype == torch.float32
    assert bool(half.isfinite().all())


def test_it_can_be_made_without_memory_and_loaded() -> None:
    crf = field(3, some_legal(3))
    with torch.device("meta"):
        empty = ConditionalRandomField(3, some_legal(3))
    empty.load_state_dict(crf.state_dict(), assign=True)
    emissions = torch.randn(1, 4, 3, dtype=torch.float64)
    assert torch.equal(empty.viterbi(emissions, LENGTHS[:1])[0], crf.viterbi(emissions, LENGTHS[:1])[0])


@pytest.mark.parametrize("constrained", [False, True])
def test_which_sequences_are_allowed(constrained: bool) -> None:
    legal = some_legal(3) if constrained else None
    crf = field(3, legal)
    for n in (1, 2, 3):
        tags = torch.tensor(list(itertools.product(range(3), repeat=n)))
        padded = torch.cat([tags, torch.full((len(tags), 2), -100)], 1)
        found = crf.allows(padded, torch.full((len(tags),), n))
        assert {tuple(row) for row, ok in zip(tags.tolist(), found.tolist(), strict=True) if ok} == set(
            paths(3, n, legal)
        )
    assert crf.allows(torch.tensor([[-100, -100]]), torch.tensor([0])).tolist() == [True]
