"""Generate tokens with a language model: sampling and beam search."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from unroll.errors import OptionError, RunError
from unroll.generation.beam import NOT_NUMBERS, beam_search
from unroll.generation.hypotheses import Hypothesis
from unroll.generation.options import SearchOptions


class Stepper(Protocol):
    """Protocol of a language model for generation; a state holds what it has read of each row."""

    vocabulary: int
    """V."""

    def start(self, rows: int) -> Any:
        """Return the initial state for `rows` texts."""
        ...

    def read(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read ids (B, T), T at least 1; return log p (B, V) of the next token, and the new state."""
        ...

    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read one more token, ids (B,); return the same as `read`."""
        ...

    def select(self, state: Any, rows: Tensor) -> Any:
        """Select the rows with indices `rows` (N,) of a state, in that order; an index may repeat."""
        ...


def distribution(
    log_p: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, forbid: Collection[int] = ()
) -> Tensor:
    """Compute the sampling distribution: probabilities (V,), float64 on the CPU.

    The log-probabilities are divided by the temperature. Then top-k (Fan, Lewis & Dauphin 2018, "Hierarchical
    neural story generation") also keeps ties with the k-th token, and top-p (Holtzman et al. 2020, "The curious
    case of neural text degeneration") keeps the fewest most likely tokens whose total probability reaches p.

    Args:
        log_p: (V,) log-probabilities.
        temperature: above 0.
        top_k: keep the k most likely tokens; 0 keeps all.
        top_p: above 0; 1 keeps all.
        forbid: ids that are never drawn.

    Raises:
        RunError: the model's numbers are not finite.
    """
    scores = _allowed(log_p, forbid)
    scores = (scores - scores.max()) / temperature  # in this order: no temperature is too small
    if 0 < top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(top_k).values[-1], -math.inf)
    p = scores.softmax(0)
    if top_p < 1:
        sorted_p, order = p.sort(descending=True, stable=True)
        before = sorted_p.cumsum(0) - sorted_p
        p[order[before >= top_p]] = 0.0
        p /= p.sum()
    return p


def sample(
    stepper: Stepper,
    prompt_ids: Sequence[int],
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    forbid: Collection[int] = (0, 1),
) -> Iterator[int]:
    """Sample `length` tokens after the prompt, yielding each as soon as it is drawn, in constant time and memory.

    The random numbers come from a separate generator on the CPU: the same seed gives the same tokens on any device,
    whatever else draws random numbers, as long as the model computes the same numbers.

    Args:
        stepper: the model.
        prompt_ids: the prompt's tokens, at least one.
        length: number of tokens to sample.
        temperature: 0 takes the most likely token each time, the first one of ties.
        top_k: see `distribution`, also for `top_p` and `forbid`.
        top_p: above 0.
        seed: seed of the random numbers.
        forbid: ids that are never drawn; padding and unknown by default.

    Raises:
        OptionError: a value outside its range, or an empty prompt.
        RunError: the model's numbers are not finite.
    """
    if not 0 <= temperature < math.inf:
        raise OptionError(f"temperature is {temperature}; it must be at least 0")
    if not 0 < top_p <= 1:
        raise OptionError(f"top_p is {top_p}; it must be above 0 and at most 1")
    if top_k < 0:
        raise OptionError(f"top_k is {top_k}; it must be at least 0")
    _check_prompt(stepper, prompt_ids, forbid)
    generator = torch.Generator().manual_seed(seed)

    def draw(log_p: Tensor) -> int:
        if temperature == 0:
            return int(_allowed(log_p, forbid).argmax())
        p = distribution(log_p, temperature=temperature, top_k=top_k, top_p=top_p, forbid=forbid)
        reached = p.cumsum(0)
        at = torch.rand((), dtype=torch.float64, generator=generator) * reached[-1]
        chosen = int(torch.searchsorted(reached, at, right=True))  # the first whose share reaches beyond
        return chosen if chosen < len(p) else int(p.nonzero()[-1])  # where rounding made `at` the whole

    def write() -> Iterator[int]:
        log_p, state = stepper.read(torch.tensor([list(prompt_ids)]), stepper.start(1))
        while True:
            chosen = draw(log_p[0])
            yield chosen
            log_p, state = stepper.step(torch.tensor([chosen]), state)

    return islice(write(), length)


def beam(
    stepper: Stepper,
    prompt_ids: Sequence[int],
    *,
    length: int,
    width: int,
    length_penalty: float = 0.0,
    ends: Callable[[Sequence[int]], bool] | None = None,
    forbid: Collection[int] = (0, 1),
) -> list[Hypothesis]:
    """Find up to `width` likely continuations of a prompt by beam search, best first: see `generation.beam`.

    Args:
        stepper: the model.
        prompt_ids: the prompt's tokens, at least one.
        length: maximal number of tokens of a continuation.
        width: beam width, the number of candidates kept.
        length_penalty: 0 favours short continuations; above 0, longer ones can compete.
        ends: whether a continuation ends with its last token; None: none ends before `length`.
        forbid: ids that are never used.

    Raises:
        OptionError: a value outside its range, or an empty prompt.
        RunError: the model's numbers are not finite.
    """
    for name, value, least in (("length", length, 1), ("width", width, 1), ("length_penalty", length_penalty, 0)):
        if not least <= value < math.inf:
            raise OptionError(f"{name} is {value}; it must be at least {least}")
    _check_prompt(stepper, prompt_ids, forbid)
    log_p, state = stepper.read(torch.tensor([list(prompt_ids)]), stepper.start(1))
    options = SearchOptions(beam=width, n_best=width, length_penalty=length_penalty, max_new_tokens=length)
    (found,) = beam_search(stepper, log_p, state, options, end=None, ends=ends, forbid=forbid)
    return found


def _allowed(log_p: Tensor, forbid: Collection[int]) -> Tensor:
    """Set forbidden tokens to -inf; the result is (V,) float64 on the CPU."""
    scores = log_p.double().cpu().clone()
    if forbid:
        scores[list(forbid)] = -math.inf
    if not math.isfinite(float(scores.max())):
        raise RunError(NOT_NUMBERS)
    return scores


def _check_prompt(stepper: Stepper, prompt_ids: Sequence[int], forbid: Collection[int]) -> None:
    if not len(prompt_ids):
        raise OptionError("the prompt has no tokens: give at least the one that stands before a text")
    for name, ids in (("prompt", prompt_ids), ("forbid", forbid)):
        wrong = [i for i in ids if not 0 <= i < stepper.vocabulary]
        if wrong:
            raise OptionError(f"{name} holds {wrong[0]}, but the tokens are 0 to {stepper.vocabulary - 1}")
