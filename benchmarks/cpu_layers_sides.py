"""The sides of `cpu_layers.py`: a layer of `unroll` and its twin of `torch.nn`, called in the ways a user would.

Every side of a case has the same weights, inputs and lengths, and the same gradient of the loss.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unroll

CELLS = {"rnn": ("RNN", 1), "lstm": ("LSTM", 4), "gru": ("GRU", 3)}
"""What `torch.nn` and `unroll` call each cell, and how many gates it has."""
TURN = 0.01  # a side's turn in a round lasts at least about so many seconds
CHEAP = 0.02  # before a call that takes less, an unmeasured one wakes the threads and fills the caches
PAUSE = 0.003  # between turns, so that no side computes beside threads that still spin after another


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    cell: str
    directions: int
    mode: str
    lengths: str
    B: int
    T: int
    D: int
    H: int

    @property
    def training(self) -> bool:
        """Whether there is a backward pass."""
        return self.mode.startswith("training")

    @property
    def shape(self) -> str:
        """As the option --shapes writes it."""
        return f"{self.B}x{self.T}x{self.D}x{self.H}"

    def flop(self, valid_steps: int) -> int:
        """What the matrix products of the valid steps need: the forward pass, and two as long to go back."""
        gates = CELLS[self.cell][1]
        return 2 * (self.D + self.H) * gates * self.H * valid_steps * self.directions * (3 if self.training else 1)


@dataclass(frozen=True)
class Data:
    """The inputs of a case, the same for all sides."""

    x: Tensor
    """(B, T, D), zero in the padding"""
    lengths: Tensor | None
    valid: Tensor
    """(B, T, 1) bool"""
    gradient: Tensor
    """Of the loss: with respect to the outputs, or the last state if the loss is on that."""


@dataclass(frozen=True)
class Side:
    """One way to compute a case."""

    name: str
    call: Callable[[], Tensor]
    results: Callable[[], dict[str, Tensor]]
    """What must agree: the outputs and, in training, every gradient."""
    flush: bool = False
    comparable: bool = True


@dataclass(frozen=True)
class Prepared:
    """A case with its sides."""

    case: Case
    sides: list[Side]
    valid_steps: int
    used: Callable[[], list[dict[str, Any]]]
    """What served the last call of `unroll`."""


def data(case: Case) -> Data:
    draw = torch.Generator().manual_seed(0)
    B, T, D, H = case.B, case.T, case.D, case.H
    lengths = None
    valid = torch.ones(B, T, 1, dtype=torch.bool)
    if case.lengths == "differing":
        lengths = torch.randint(max(1, T // 10), T + 1, (B,), generator=draw)
        lengths[lengths.argmax()] = T  # a batch is padded to its longest row, no further
        valid = (torch.arange(T) < lengths.unsqueeze(1)).unsqueeze(2)
    x = torch.randn(B, T, D, generator=draw) * valid
    if case.mode == "training-last":
        gradient = torch.randn(case.directions, B, H, generator=draw) / B
    else:
        gradient = torch.randn(B, T, case.directions * H, generator=draw) * valid / valid.sum()
    return Data(x, lengths, valid, gradient)


def prepare(case: Case, backend: str) -> Prepared:
    """The layers and the ways they are called; a step is a call of its own."""
    if case.mode == "step":
        return _steps(case, backend)
    given = data(case)
    theirs, ours = layers(case, backend, batch_first=True)
    lengths, last = given.lengths, case.mode == "training-last"

    def unrolled(x: Tensor) -> Tensor:
        y, h = ours(x, lengths=lengths)
        return _hidden(h) if last else y

    def padded(x: Tensor) -> Tensor:
        y, h = theirs(x)
        if not last:
            return y
        return _hidden(h) if lengths is None else _ends(y, lengths, case)

    def packed(x: Tensor) -> Tensor:
        y, h = theirs(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        # who wants the last state only has no need of the outputs
        return _hidden(h) if last else pad_packed_sequence(y, batch_first=True, total_length=case.T)[0]

    # PyTorch's reverse direction starts in the padding, so its numbers there are others
    same = lengths is None or case.directions == 1
    sides = [
        _side("unroll", case, given, ours, unrolled),
        _side("padded", case, given, theirs, padded, comparable=same),
        _side("padded, flushed", case, given, theirs, padded, flush=True, comparable=same),
    ]
    if lengths is not None:
        sides.append(_side("packed", case, given, theirs, packed))
    return Prepared(case, sides, int(given.valid.sum()), lambda: _used(ours))


def layers(case: Case, backend: str, **options: Any) -> tuple[nn.Module, nn.Module]:
    """Both libraries' layers of the same weights, theirs and ours."""
    name = CELLS[case.cell][0]
    options |= {"bidirectional": case.directions == 2}
    torch.manual_seed(0)
    theirs = getattr(nn, name)(case.D, case.H, **options)
    ours = getattr(unroll, name)(case.D, case.H, backend=backend, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs.train(case.training), ours.train(case.training)


def check(prepared: Prepared) -> float:
    """The largest difference relative to the largest number, of all that is compared.

    Raises:
        SystemExit: it is more than rounding explains.
    """
    first, *others = prepared.sides
    expected = first.results()
    worst = 0.0
    for side in others:
        if side.flush or not side.comparable:
            continue
        for name, value in side.results().items():
            scale = float(value.abs().max()) or 1.0
            off = float((value - expected[name]).abs().max()) / scale
            if not off <= (1e-4 if name == "output" else 1e-3):
                raise SystemExit(
                    f"{prepared.case}: 'unroll' and '{side.name}' do not agree: {name} differs by {off:.2g} of its "
                    f"largest value. Times of different results are not compared; backend: {prepared.used()}"
                )
            worst = max(worst, off)
    return worst


def measure(prepared: Prepared, rounds: int, budget: float) -> dict[str, list[float]]:
    """Seconds a call takes, of each side in each round; the sides take turns in rotating order.

    Args:
        prepared: after `check`, which was the first warm-up.
        rounds: 0: as many as fit in `budget` seconds, 5 to 25.
        budget: for the whole case.
    """
    training = prepared.case.training
    calls, expected = {}, 0.0
    for side in prepared.sides:
        least = _turn(side, 1, training)
        if least < CHEAP:  # the first may have been the slowest
            least = min(least, _turn(side, 1, training))
        calls[side.name] = max(1, round(TURN / least))
        expected += calls[side.name] * least + PAUSE + (least if least < CHEAP else 0)
    rounds = rounds or min(25, max(5, int(budget / expected)))
    seconds: dict[str, list[float]] = {side.name: [] for side in prepared.sides}
    for number in range(rounds):
        start = number % len(prepared.sides)
        for side in prepared.sides[start:] + prepared.sides[:start]:
            time.sleep(PAUSE)
            if seconds[side.name] and seconds[side.name][-1] < CHEAP:
                _turn(side, 1, training)
            seconds[side.name].append(_turn(side, calls[side.name], training))
    return seconds


def compare(base: list[float], other: list[float]) -> dict[str, Any]:
    """How many times longer the other takes: the median of the rounds' ratios, and their quartiles."""
    ratios = [b / a for a, b in zip(base, other, strict=True)]
    ends = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {"ratio": statistics.median(ratios), "quartiles": [ends[0], ends[2]]}


def matrix_rate(repeats: int) -> float:
    """GFLOP/s of PyTorch's best product of square float32 matrices, at the threads that are set."""
    best = 0.0
    for n in (1024, 1536):
        a, b = torch.randn(n, n), torch.randn(n, n)
        product = torch.mm(a, b)
        for _ in range(repeats):
            start = time.perf_counter()
            torch.mm(a, b, out=product)
            best = max(best, 2e-9 * n**3 / (time.perf_counter() - start))
    return best


class Others:
    """How much of the machine other processes, and other guests of its host, take; by Linux's count."""

    def __init__(self, helpers: Callable[[], float] = lambda: 0.0) -> None:
        """`helpers` tells the processor time that processes of this program have taken."""
        self._helpers = helpers
        self._start = self._now()

    def share(self) -> float | None:
        """Of all cores, since this was made."""
        now = self._now()
        if now is None or self._start is None:
            return None
        total, busy, own = (b - a for a, b in zip(self._start, now, strict=True))
        return max(0.0, busy - own) / total if total else 0.0

    def _now(self) -> tuple[float, float, float] | None:
        try:
            with open("/proc/stat") as stat:
                ticks = [int(n) / os.sysconf("SC_CLK_TCK") for n in stat.readline().split()[1:9]]
        except OSError:
            return None
        own = os.times()
        return sum(ticks), sum(ticks) - ticks[3] - ticks[4], own.user + own.system + self._helpers()


def _turn(side: Side, calls: int, training: bool) -> float:
    with torch.set_grad_enabled(training), _flushed(side.flush):
        start = time.perf_counter()
        for _ in range(calls):
            side.call()
        return (time.perf_counter() - start) / calls


@contextmanager
def _flushed(flush: bool) -> Iterator[None]:
    if flush:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if flush:
            torch.set_flush_denormal(False)


def _side(
    name: str, case: Case, given: Data, module: nn.Module, forward: Callable[[Tensor], Tensor], **options: bool
) -> Side:
    x = given.x.detach().requires_grad_(case.training)
    leaves = {"x": x, **dict(module.named_parameters())}

    def call() -> Tensor:
        if not case.training:
            return forward(x)
        for leaf in leaves.values():
            leaf.grad = None
        output = forward(x)
        output.backward(given.gradient)
        return output.detach()

    def results() -> dict[str, Tensor]:
        with torch.set_grad_enabled(case.training):
            output = call()
        found = {"output": output if case.mode == "training-last" else output * given.valid}
        if case.training:
            found |= {f"the gradient of {k}": v.grad.clone() for k, v in leaves.items() if v.grad is not None}
        return found

    return Side(name, call, results, **options)


def _steps(case: Case, backend: str) -> Prepared:
    x = data(case).x.squeeze(1)
    theirs, ours = layers(case, backend)
    cell = getattr(nn, f"{CELLS[case.cell][0]}Cell")(case.D, case.H)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in theirs.state_dict().items()})

    def layer(state: Any) -> tuple[Tensor, Any]:
        y, state = theirs(x.unsqueeze(0), state)
        return y.squeeze(0), state

    def single(state: Any) -> tuple[Tensor, Any]:
        state = cell(x, state)
        return _hidden(state), state

    sides = [
        _stream("unroll", lambda state: ours.step(x, state)),
        _stream("torch.nn", layer),
        _stream("torch.nn's cell", single),
    ]
    return Prepared(case, sides, case.B, lambda: _used(ours))


def _stream(name: str, step: Callable[[Any], tuple[Tensor, Any]]) -> Side:
    """Steps that go on from the state of the step before."""
    state: Any = None

    def call() -> Tensor:
        nonlocal state
        y, state = step(state)
        return y

    def results() -> dict[str, Tensor]:
        nonlocal state
        state = None
        with torch.no_grad():
            return {"output": torch.stack([call() for _ in range(10)])}

    return Side(name, call, results)


def _hidden(state: Any) -> Tensor:
    return state[0] if isinstance(state, tuple) else state


def _ends(y: Tensor, lengths: Tensor, case: Case) -> Tensor:
    """(directions, B, H) the outputs at each direction's last step."""
    forward = y[torch.arange(case.B), lengths - 1, : case.H]
    return torch.stack([forward] if case.directions == 1 else [forward, y[:, 0, case.H :]])


def _used(module: nn.Module) -> list[dict[str, Any]]:
    return [{"backend": u.backend, "passed_over": u.passed_over} for u in module.used]  # type: ignore[union-attr]
