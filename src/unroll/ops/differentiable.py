"""A fast function with a hand on its backward pass, and the exact one where the fast cannot differentiate."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from unroll.ops.subnormals import flush_subnormals
from unroll.ops.transforms import graph_is_kept

Tensors = tuple[Tensor | None, ...]
Function = Callable[[Tensors], tuple[Tensor, ...]]

_MUCH = 1 << 18  # multiplications; some hundreds of microseconds with their gradient


def differentiable(fast: Function, exact: Function, tensors: Tensors, *, work: int) -> tuple[Tensor, ...]:
    """`fast(tensors)`, differentiable any number of times.

    The gradient is that of `fast`, computed with subnormal numbers flushed to zero; a gradient that is
    itself to be differentiated is that of `exact`, which must be the same function. oneDNN and cuDNN have
    no second derivative, and PyTorch's many small operations drown in subnormal numbers when a long
    sequence makes the gradient vanish. `work` is about how many multiplications there are: little work is
    not worth waking every thread to flush.
    """
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return _Differentiable.apply(fast, exact, work >= _MUCH, *tensors)  # type: ignore[return-value]  # untyped in torch
    with _flushed(tensors, work >= _MUCH):
        return fast(tensors)


class _Differentiable(torch.autograd.Function):
    """Keeps `fast`'s own graph from forward to backward, out of the outer graph's sight."""

    @staticmethod
    def forward(ctx: Any, fast: Function, exact: Function, much: bool, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.fast, ctx.exact, ctx.much = fast, exact, much
        ctx.autocast = _autocast(tensors)
        ctx.inner = _run(fast, tensors, ctx.needs_input_grad[3:], much)
        return tuple(y.detach() for y in ctx.inner[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors  # read even if unused: this is what notices a change in place
        needed = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():
            with ctx.autocast():
                # Aliases, so that the gradient stops here even where one tensor was made from another.
                inputs = tuple(None if t is None else t.view_as(t) for t in tensors)
                outputs = ctx.exact(inputs)
            return (None, None, None, *_gradients(outputs, inputs, needed, grads, create=True))
        inner, keep = ctx.inner, graph_is_kept()
        if inner is None:
            with ctx.autocast():
                inner = _run(ctx.fast, tensors, needed, ctx.much)
        ctx.inner = inner if keep else None
        inputs, outputs = inner
        with _flushed(inputs, ctx.much):
            return (None, None, None, *_gradients(outputs, inputs, needed, grads, keep=keep))


def _run(fast: Function, tensors: Tensors, needed: tuple[bool, ...], much: bool) -> tuple[Tensors, tuple[Tensor, ...]]:
    """The inputs cut off from their graph, and the outputs with a graph that ends there."""
    inputs = tuple(None if t is None else t.detach().requires_grad_(n) for t, n in zip(tensors, needed, strict=True))
    with torch.enable_grad(), _flushed(inputs, much):
        return inputs, fast(inputs)


def _gradients(
    outputs: tuple[Tensor, ...],
    inputs: Tensors,
    needed: tuple[bool, ...],
    grads: tuple[Tensor | None, ...],
    *,
    keep: bool = False,
    create: bool = False,
) -> tuple[Tensor | None, ...]:
    given = [(y, g) for y, g in zip(outputs, grads, strict=True) if g is not None and y.requires_grad]
    wanted = [t for t, n in zip(inputs, needed, strict=True) if n and t is not None]
    if not given or not wanted:
        return (None,) * len(inputs)
    found = iter(
        torch.autograd.grad(
            [y for y, _ in given],
            wanted,
            [g for _, g in given],
            retain_graph=keep or create,
            create_graph=create,
            allow_unused=True,
        )
    )
    return tuple(next(found) if n and t is not None else None for t, n in zip(inputs, needed, strict=True))


def _autocast(tensors: Tensors) -> Callable[[], AbstractContextManager[object]]:
    """What puts autocast back as it is now: PyTorch leaves it off in the backward pass."""
    device = next(t.device.type for t in tensors if t is not None)
    if not torch.is_autocast_enabled(device):
        return nullcontext
    dtype = torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype=dtype)


def _flushed(tensors: Tensors, much: bool) -> AbstractContextManager[object]:
    on_cpu = any(t is not None and t.device.type == "cpu" for t in tensors)
    return flush_subnormals() if much and on_cpu else nullcontext()
