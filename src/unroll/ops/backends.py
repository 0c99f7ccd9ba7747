"""The one registry of backends: what there is, what is available and why not, what a call gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from unroll.errors import OptionError, nearest
from unroll.ops import half, naive, scan, torch_backend
from unroll.ops.autograd import graphed
from unroll.ops.call import Call, NotServedError, Recurrence, Result, State
from unroll.ops.cpu import backend as cpu_backend
from unroll.ops.cpu import extension
from unroll.ops.cpu import step as cpu_step
from unroll.ops.cpu import support as cpu_support
from unroll.ops.torch_state import plain, transformed
from unroll.ops.triton import extension as gpu
from unroll.ops.triton import heuristics
from unroll.ops.triton import support as gpu_support


@dataclass(frozen=True)
class Backend:
    """One way to compute every call it does not refuse."""

    name: str
    about: Callable[[], str]
    """One line for a person."""
    missing: Callable[[], str | None]
    """Why this machine lacks it, or None."""
    lacks: Callable[[Recurrence, bool], str | None]
    """Why it can serve no training of a layer of this recurrence, with recurrent dropout or without, or None."""
    refuse: Callable[[Call], str | None]
    """Why it cannot serve this call, or None."""
    slower: Callable[[Call], str | None]
    """Why a later one, which can serve this call too, is faster for it, or None; asked under `auto` only."""
    run: Callable[[Call], Result]


@dataclass(frozen=True)
class Choice:
    """What a call got, and what it did not get."""

    backend: Backend
    passed_over: dict[str, str]
    """Faster backends that could not serve, and why."""


def _nothing(*_: object) -> None:
    return None


def _flushed(run: Callable[[Call], Result]) -> Callable[[Call], Result]:
    """`run` in plain PyTorch; where nothing stands against it, with subnormal numbers flushed in its gradient."""

    def flushed(call: Call) -> Result:
        if call.x.device.type != "cpu" or transformed() or not all(t is None or plain(t) for t in call.tensors):
            return run(call)
        return graphed(run, call)

    return flushed


def _triton(call: Call) -> Result:
    from unroll.ops.triton import backend as triton_backend  # imports Triton

    return triton_backend.run(call)


BACKENDS: dict[str, Backend] = {
    b.name: b
    for b in (
        Backend(
            name="cpu",
            about=extension.about,
            missing=extension.missing,
            lacks=cpu_support.lacks,
            refuse=cpu_support.refuse,
            slower=cpu_support.slower,
            run=cpu_backend.run,
        ),
        Backend(
            name="triton",
            about=gpu.about,
            missing=gpu.missing,
            lacks=gpu_support.lacks,
            refuse=gpu_support.refuse,
            slower=heuristics.slower,
            run=_triton,
        ),
        Backend(
            name="torch",
            about=lambda: "PyTorch's own kernels: oneDNN on CPU, cuDNN on CUDA",
            missing=_nothing,
            lacks=torch_backend.lacks,
            refuse=torch_backend.refuse,
            slower=_nothing,
            run=torch_backend.run,
        ),
        Backend(
            name="scan",
            about=lambda: "all steps at once in plain PyTorch, for recurrences that have such a form",
            missing=_nothing,
            lacks=scan.lacks,
            refuse=scan.refuse,
            slower=_nothing,
            run=_flushed(scan.run),
        ),
        Backend(
            name="naive",
            about=lambda: "the definition, step by step in plain PyTorch",
            missing=_nothing,
            lacks=_nothing,
            refuse=naive.refuse,
            slower=_nothing,
            run=_flushed(naive.run),
        ),
    )
}
"""Fastest first: the order in which `auto` asks. The last one serves every call outside of a trace."""


def choose(call: Call, wanted: str = "auto") -> Choice:
    """The backend for `call`: the one named, or the fastest that can serve.

    Raises:
        OptionError: there is no backend of that name, or it cannot serve the call.
    """
    if wanted != "auto":
        backend = named(wanted)
        reason = backend.missing() or backend.refuse(call)
        if reason is not None:
            raise OptionError(f"backend '{wanted}' cannot serve this call: {reason}")
        return Choice(backend, {})
    passed_over: dict[str, str] = {}
    for backend in BACKENDS.values():
        reason = backend.missing() or backend.refuse(call) or backend.slower(call)
        if reason is None:
            return Choice(backend, passed_over)
        passed_over[backend.name] = reason
    raise OptionError("no backend can serve this call: " + "; ".join(f"{n}: {r}" for n, r in passed_over.items()))


def run(call: Call, wanted: str = "auto") -> tuple[Choice, Result]:
    """What `call` gets, and what that makes of it.

    A backend that finds out at work that it cannot serve the call refuses its like from then on: the next one serves.

    Raises:
        OptionError: there is no backend of that name, or it cannot serve the call.
    """
    choice = choose(call, wanted)
    try:
        result = choice.backend.run(call)
    except NotServedError:
        if choice.backend.refuse(call) is None:
            raise
        return run(call, wanted)
    if half.concerns(call.x):  # the same dtypes, whoever served
        result = half.narrowed(*result, half.dtypes(call.recurrence, "weight_hr" in call.weights, call.x, call.state))
    return choice, result


def step(
    recurrence: Recurrence,
    sizes: tuple[int, int, int, int],
    x: Tensor,
    state: Sequence[Tensor],
    weights: list[Tensor | None],
    wanted: str = "auto",
) -> tuple[Tensor, State] | None:
    """One step of a stack of layers by the one backend that has a kernel for it, `cpu`: the output and the state.

    None: it cannot serve, or another one is wanted. See `cpu.step.step` for the arguments.
    """
    return cpu_step.step(recurrence, sizes, x, state, weights) if wanted in ("auto", "cpu") else None


def require(wanted: str, recurrence: Recurrence, recurrent_dropout: bool) -> None:
    """Refuse a backend by name that could serve no training of such a layer; `auto` always can.

    Raises:
        OptionError: there is no backend of that name, it is not available, or it lacks what the layer needs.
    """
    if wanted == "auto":
        return
    backend = named(wanted)
    reason = backend.missing() or backend.lacks(recurrence, recurrent_dropout)
    if reason is not None:
        raise OptionError(f"backend '{wanted}' cannot serve this layer: {reason}; take 'auto'")


def named(name: str) -> Backend:
    """The backend of that name, available or not.

    Raises:
        OptionError: there is none.
    """
    if name not in BACKENDS:
        raise OptionError(f"there is no backend '{name}'{nearest(name, ['auto', *BACKENDS])}")
    return BACKENDS[name]


def available() -> list[tuple[str, str | None, str]]:
    """Every backend, fastest first: its name, why it is not available (or None) and what it is."""
    return [(b.name, b.missing(), b.about()) for b in BACKENDS.values()]
