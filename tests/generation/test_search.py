"""Drawn and searched tokens, by a small recurrence whose numbers are known otherwise too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from unroll.errors import OptionError, RunError
from unroll.generation.options import GenerationOptions
from unroll.generation.search import beam, distribution, sample
from unroll.layers.gru import GRU
from unroll.models.language_model import build_language_model
from unroll.models.options import RecurrentOptions, TokenOptions
from unroll.serving.language_model import ModelStepper

pytestmark = pytest.mark.slow

V = 7
PROMPT = [2, 5, 3]


class Small(nn.Module):
    """A recurrence and a head: the plainest language model, and a `Stepper`."""

    def __init__(self, vocabulary: int = V) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary, 4)
        self.recurrent = GRU(4, 6, batch_first=True)
        self.head = nn.Linear(6, vocabulary)
        self.double().requires_grad_(False)
        nn.init.normal_(self.head.weight)
        self.steps = 0

    def start(self, rows: int) -> Tensor:
        return torch.zeros(1, rows, 6, dtype=torch.float64)

    def read(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.recurrent(self.embedding(ids), state)
        return self.head(y[:, -1]).log_softmax(-1), state

    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        self.steps += 1
        y, state = self.recurrent.step(self.embedding(ids), state)
        return self.head(y).log_softmax(-1), state

    def select(self, state: Any, rows: Tensor) -> Any:
        return state[:, rows]


class WholePrefix:
    """The same model without a memory: at every step all tokens are read again. Its state is the tokens."""

    def __init__(self, stepper: Any) -> None:
        self.vocabulary = stepper.vocabulary
        self.stepper = stepper
        self.seen: list[Tensor] = []

    def start(self, rows: int) -> Tensor:
        return torch.zeros(rows, 0, dtype=torch.int64)

    def read(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = torch.cat([state, ids], 1)
        log_p, _ = self.stepper.read(state, self.stepper.start(len(state)))
        self.seen.append(log_p)
        return log_p, state

    def step(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(ids.unsqueeze(1), state)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


class Recorded:
    """A stepper, and all that it said."""

    def __init__(self, stepper: Any) -> None:
        self.vocabulary = stepper.vocabulary
        self.start, self.select = stepper.start, stepper.select
        self.stepper = stepper
        self.seen: list[Tensor] = []

    def read(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        log_p, state = self.stepper.read(ids, state)
        self.seen.append(log_p)
        return log_p, state

    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        log_p, state = self.stepper.step(ids, state)
        self.seen.append(log_p)
        return log_p, state


MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"recurrence": "lstm", "num_layers": 2},
    "gru": {"recurrence": "gru", "residual": True, "num_layers": 2},
    "rnn": {"recurrence": "rnn", "layer_norm": True, "learn_initial_state": True},
    "chain": {
        "recurrence": "lstm",
        "num_layers": 3,
        "last_hidden_size": 4,
        "weight_dropout": 0.3,
        "hidden_dropout": 0.3,
    },
}


def language_model(name: str, **options: Any) -> ModelStepper:
    recurrent = RecurrentOptions(hidden_size=6, **MODELS[name])
    tokens = TokenOptions(embedding_dim=4, embedding_dropout=0.2)
    model = build_language_model(tokens, recurrent, vocabulary=V, **options)
    for p in model.parameters():
        nn.init.normal_(p)
    return ModelStepper(model.double().eval())


STEPPERS = {
    "small": Small,
    **{name: lambda name=name: language_model(name) for name in MODELS},
    "untied": lambda: language_model("lstm", tie_weights=False),
    "adaptive": lambda: language_model("gru", softmax="adaptive", cutoffs=(3, 5)),
}
every_stepper = pytest.mark.parametrize("name", STEPPERS)


@every_stepper
@pytest.mark.parametrize("options", [{"temperature": 0}, {}, {"temperature": 0.7, "top_k": 4, "top_p": 0.9}], ids=str)
def test_steps_are_the_whole_prefix_read_again(name: str, options: dict[str, Any]) -> None:
    stepper = STEPPERS[name]()
    one, other = Recorded(stepper), WholePrefix(stepper)
    drawn = [list(sample(s, PROMPT, length=30, seed=3, **options)) for s in (one, other)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 30
    assert len(one.seen) == len(other.seen) == 30
    for a, b in zip(one.seen, other.seen, strict=True):
        assert_close(a, b, rtol=0, atol=1e-12)


@every_stepper
def test_a_beam_by_steps_is_that_by_whole_prefixes(name: str) -> None:
    stepper = STEPPERS[name]()
    given: dict[str, Any] = {"length": 6, "width": 4, "length_penalty": 0.7, "ends": lambda ids: ids[-1] == 4}
    one, other = (beam(s, PROMPT, **given) for s in (stepper, WholePrefix(stepper)))
    assert [f.ids for f in one] == [f.ids for f in other]
    for a, b in zip(one, other, strict=True):
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-12)


def log_probability(stepper: Any, ids: Sequence[int]) -> float:
    """Of `ids` after the prompt, by reading each prefix."""
    total = 0.0
    for n in range(len(ids)):
        log_p, _ = stepper.read(torch.tensor([[*PROMPT, *ids[:n]]]), stepper.start(1))
        total += float(log_p[0, ids[n]])
    return total


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("ending", [None, 4])
def test_a_wide_beam_is_the_exhaustive_search(penalty: float, ending: int | None) -> None:
    small = Small(6)
    ends = None if ending is None else lambda ids: ids[-1] == ending
    found = beam(small, PROMPT, length=3, width=400, length_penalty=penalty, ends=ends)
    every = set()
    for ids in itertools.product(range(2, 6), repeat=3):
        stop = ids.index(ending) + 1 if ending in ids else 3
        every.add(ids[:stop])
    factor = {ids: ((5 + len(ids)) / 6) ** penalty for ids in every}
    scored = [(ids[-1] == ending, log_probability(small, ids) / factor[ids], ids) for ids in every]
    assert len(found) == len(every)
    for one, (finished, score, ids) in zip(found, sorted(scored, reverse=True), strict=True):
        assert one.ids == ids
        assert one.finished == finished
        assert one.score == pytest.approx(score, abs=1e-12)
        assert one.log_probability == pytest.approx(score * factor[ids], abs=1e-12)


def test_a_beam_of_one_is_greedy_and_a_wider_one_no_worse() -> None:
    small = Small()
    greedy = tuple(sample(small, PROMPT, length=8, temperature=0))
    (one,) = beam(small, PROMPT, length=8, width=1)
    assert one.ids == greedy
    assert one.score == one.log_probability == pytest.approx(log_probability(small, greedy), abs=1e-12)
    scores = [beam(small, PROMPT, length=8, width=width)[0].score for width in (1, 3, 50)]
    assert scores[0] <= scores[2]
    assert scores[1] <= scores[2]


def test_the_length_penalty_lets_longer_ones_win() -> None:
    small = Small()

    def best(penalty: float) -> tuple[int, ...]:
        return beam(small, PROMPT, length=12, width=30, length_penalty=penalty, ends=lambda ids: ids[-1] == 2)[0].ids

    assert len(best(0.0)) < len(best(3.0))


def test_a_beam_ends_when_nothing_better_can_come() -> None:
    small = Small()
    beam(small, PROMPT, length=1000, width=2, ends=lambda ids: len(ids) == 2)
    assert small.steps < 4


def test_the_distribution_by_hand() -> None:
    p = torch.tensor([0.4, 0.3, 0.2, 0.05, 0.05])
    plain = p.double()
    log_p = p.log()

    def close(found: Tensor, wanted: Sequence[float]) -> None:
        assert found.dtype == torch.float64
        assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-7)

    close(distribution(log_p), plain.tolist())
    close(distribution(log_p, temperature=0.5), (plain**2 / (plain**2).sum()).tolist())
    close(distribution(log_p, top_k=2), [4 / 7, 3 / 7, 0, 0, 0])
    close(distribution(log_p, top_k=4), plain.tolist())  # the fifth is as likely as the fourth
    close(distribution(log_p, top_k=9), plain.tolist())
    close(distribution(log_p, top_p=0.69), [4 / 7, 3 / 7, 0, 0, 0])
    close(distribution(log_p, top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0, 0])
    close(distribution(log_p, top_p=1e-9), [1, 0, 0, 0, 0])
    close(distribution(log_p, top_k=3, top_p=0.5), [4 / 7, 3 / 7, 0, 0, 0])
    close(distribution(log_p, forbid=(0, 3)), [0, 3 / 5.5, 2 / 5.5, 0, 0.5 / 5.5])
    close(distribution(log_p, temperature=1e-300), [1, 0, 0, 0, 0])
    close(distribution(log_p, temperature=1e300), [0.2] * 5)


def test_draws_have_the_probabilities() -> None:
    class Fixed:
        vocabulary = 5
        p = torch.tensor([[0.1, 0.0, 0.2, 0.4, 0.3]])

        def start(self, rows: int) -> None:
            pass

        def read(self, ids: Tensor, state: None) -> tuple[Tensor, None]:
            return self.p.log(), None

        step = read

        def select(self, state: None, rows: Tensor) -> None:
            pass

    n = 20000
    counts = torch.bincount(torch.tensor(list(sample(Fixed(), [0], length=n, forbid=()))), minlength=5)
    assert int(counts[1]) == 0
    off = (counts - n * Fixed.p[0]).abs() / (n * Fixed.p[0]).clamp(min=1).sqrt()
    assert float(off.max()) < 4
    assert 0 not in set(sample(Fixed(), [0], length=2000))


def test_the_same_seed_gives_the_same_tokens() -> None:
    stepper = STEPPERS["lstm"]()
    first = list(sample(stepper, PROMPT, length=40, seed=1))
    before = torch.get_rng_state()
    assert list(sample(stepper, PROMPT, length=40, seed=1)) == first
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    torch.set_num_threads(3)
    try:
        assert list(sample(stepper, PROMPT, length=40, seed=1)) == first
    finally:
        torch.set_num_threads(1)
    assert list(sample(stepper, PROMPT, length=40, seed=2)) != first


def test_two_texts_at_once_do_not_disturb_each_other() -> None:
    stepper = STEPPERS["lstm"]()
    alone = [list(sample(stepper, PROMPT, length=10, seed=seed)) for seed in (1, 2)]
    both = zip(*(sample(stepper, PROMPT, length=10, seed=seed) for seed in (1, 2)), strict=True)
    assert [list(ids) for ids in zip(*both, strict=True)] == alone


def test_a_token_is_given_before_the_next_is_made() -> None:
    small = Small()
    tokens = sample(small, PROMPT, length=5)
    for n in range(5):
        next(tokens)
        assert small.steps == n
    assert list(tokens) == []
    assert small.steps == 4


def test_a_long_prompt_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    stepper = STEPPERS["chain"]()
    prompt = torch.randint(V, (1, 50))
    whole, _ = stepper.read(prompt, stepper.start(1))
    monkeypatch.setattr("unroll.serving.language_model._STEPS_AT_ONCE", 7)
    parts, _ = stepper.read(prompt, stepper.start(1))
    assert_close(parts, whole, rtol=0, atol=1e-12)


def test_nothing_keeps_a_graph() -> None:
    stepper = STEPPERS["lstm"]()
    list(sample(stepper, PROMPT, length=2))
    log_p, state = stepper.step(torch.tensor([2]), stepper.start(1))
    assert not log_p.requires_grad
    assert not any(s.requires_grad for s in state)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "temperature is -1; it must be at least 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"top_p": 0}, "top_p is 0; it must be above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"top_k": -2}, "top_k is -2"),
        ({"prompt_ids": []}, "the prompt has no tokens"),
        ({"prompt_ids": [2, V]}, f"prompt holds {V}, but the tokens are 0 to {V - 1}"),
        ({"forbid": (-1,)}, "forbid holds -1"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        sample(Small(), **{"prompt_ids": PROMPT, "length": 3, **options})


@pytest.mark.parametrize("name", ["length", "width", "length_penalty"])
def test_what_cannot_be_searched_is_refused(name: str) -> None:
    given: dict[str, Any] = {"length": 3, "width": 2, name: -1}
    with pytest.raises(OptionError, match=f"{name} is -1"):
        beam(Small(), PROMPT, **given)


def test_a_broken_model_is_said_to_be_broken() -> None:
    small = Small()
    nn.init.constant_(small.head.bias, math.nan)
    with pytest.raises(RunError, match="are not numbers"):
        next(sample(small, PROMPT, length=3))
    with pytest.raises(RunError, match="are not numbers"):
        beam(small, PROMPT, length=3, width=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -0.5}, "temperature is -0.5; it must be at least 0"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_k": 0}, "top_k is 0; it must be at least 1"),
        ({"length": 0}, "length is 0"),
        ({"beam": 3, "temperature": 1.0}, "temperature is set, but a beam search draws nothing"),
        ({"beam": 3, "seed": 0}, "seed is set, but a beam search"),
        ({"beam": 3, "count": 4}, "a beam of 3 finds no more than 3"),
        ({"length_penalty": 1.0}, "length_penalty is set, but it goes with a beam search"),
        ({"temperature": 0.0, "top_p": 0.5}, "top_p is set, but at temperature 0"),
        ({"temperature": 0.0, "count": 2}, "all texts are the same"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        GenerationOptions(**options)
