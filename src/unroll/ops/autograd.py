"""Autograd for backend kernels. Second derivatives and `torch.func` fall back to the naive implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from unroll.ops import naive
from unroll.ops.call import Call, CallSpec, Result, Tensors
from unroll.ops.denormals import flush_subnormals
from unroll.ops.torch_state import graph_is_kept, in_memory, plain, transformed

Outputs = tuple[Tensor, ...]
"""`y` and the final state."""
Needed = tuple[bool, ...]
"""For each tensor, whether its gradient is wanted."""
Autocast = Callable[[], AbstractContextManager[object]]


class Rule(Protocol):
    """How one call is computed, and how its first derivative is. It may keep things from `forward` to `backward`."""

    form: CallSpec
    autocast: Autocast
    """What puts autocast back as it was in `forward`: in the backward pass it is as it happens to be there."""

    def value(self, tensors: Tensors) -> Outputs:
        """The outputs; nobody will ask for a gradient."""
        ...

    def forward(self, tensors: Tensors, needed: Needed) -> tuple[Outputs, Tensors]:
        """The outputs, cut off from any graph, and tensors to be kept for `backward` by autograd."""
        ...

    def backward(self, tensors: Tensors, kept: tuple[Any, ...], grads: Tensors, needed: Needed, again: bool) -> Tensors:
        """The tensors' gradients from the outputs' (None is zeros); `again`: this may not be the last time."""
        ...


def differentiable(rule: Rule, call: Call) -> Result:
    """The call as `rule` computes it, differentiable any number of times.

    A gradient that is itself to be differentiated or transformed is that of the definition: the fast kernels
    have no second derivative.
    """
    tensors = call.tensors
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        y, *state = _Differentiable.apply(rule, *tensors)  # type: ignore[misc]  # untyped in torch
    else:
        y, *state = rule.value(tensors)
    return Result(y, tuple(state))


_MUCH = 1 << 18  # multiplications; some hundreds of microseconds with their gradient


def graphed(function: Callable[[Call], Result], call: Call) -> Result:
    """`function(call)`, made of PyTorch's own operations, likewise; its gradient with subnormal numbers flushed."""
    return differentiable(_Graph(function, call), call)


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rule: Rule, *tensors: Tensor | None) -> Outputs:
        ctx.set_materialize_grads(False)
        outputs, kept = rule.forward(tensors, ctx.needs_input_grad[1:])
        ctx.save_for_backward(*tensors, *kept)
        ctx.rule, ctx.count = rule, len(tensors)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # read even if unused: this is what notices a change in place
        tensors, kept = saved[: ctx.count], saved[ctx.count :]
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            return (None, *exact_gradients(ctx.rule.form, tensors, needed, grads, ctx.rule.autocast))
        return (None, *ctx.rule.backward(tensors, kept, grads, needed, graph_is_kept()))


class KernelFunction(ABC):
    """What the rules of all kernels do before their gradients: kernels read memory, so a gradient must lie in some."""

    form: CallSpec
    autocast: Autocast

    def backward(self, tensors: Tensors, kept: tuple[Any, ...], grads: Tensors, needed: Needed, again: bool) -> Tensors:
        """The kernels' gradients; the definition's where a gradient is being transformed or is no plain tensor."""
        grads = tuple(None if g is None else g.resolve_neg() for g in grads)
        if transformed() or not all(g is None or (plain(g) and in_memory(g)) for g in grads):
            return exact_gradients(self.form, tensors, needed, grads, self.autocast)
        if all(g is None for g in grads):
            return (None,) * len(tensors)
        return self.gradients(tensors, kept, grads, needed)

    @abstractmethod
    def gradients(self, tensors: Tensors, kept: tuple[Any, ...], grads: Tensors, needed: Needed) -> Tensors:
        """The tensors' gradients from the outputs', not all of which are None."""


def exact_gradients(form: CallSpec, tensors: Tensors, needed: Needed, grads: Tensors, autocast: Autocast) -> Tensors:
    """The gradients of the definition, which can be differentiated."""
    create = torch.is_grad_enabled()
    with autocast(), torch.enable_grad():
        # Aliases, so that the gradient stops here even where one tensor was made from another.
        inputs = tuple(None if t is None else t.view_as(t) for t in tensors)
        y, state = naive.run(form.call(inputs))
        return _gradients((y, *state), inputs, needed, grads, create=create)


class _Graph:
    """The rule of a function of PyTorch's own operations: their graph is kept, out of the outer one's sight.

    Subnormal numbers are flushed: PyTorch's many small operations drown in them when a long sequence makes
    the gradient vanish.
    """

    def __init__(self, function: Callable[[Call], Result], call: Call) -> None:
        self.form = call.form
        self.autocast: Autocast = nullcontext
        self.inner: tuple[Tensors, Outputs] | None = None
        self._function = function
        # Little work is not worth waking every thread to flush.
        self._flush = call.x.device.type == "cpu" and call.work >= _MUCH

    def value(self, tensors: Tensors) -> Outputs:
        with self._flushed():
            y, state = self._function(self.form.call(tensors))
        return (y, *state)

    def forward(self, tensors: Tensors, needed: Needed) -> tuple[Outputs, Tensors]:
        self.autocast = _autocast(tensors)
        if self.form.recompute:
            return self.value(tensors), ()
        self.inner = self._run(tensors, needed)
        return tuple(y.detach() for y in self.inner[1]), ()

    def backward(self, tensors: Tensors, kept: tuple[Any, ...], grads: Tensors, needed: Needed, again: bool) -> Tensors:
        inner, self.inner = self.inner, None  # taken: another thread may come for the same graph
        if inner is None:
            with self.autocast():
                inner = self._run(tensors, needed)
        again = again and not self.form.recompute
        with self.autocast(), self._flushed():
            found = _gradients(inner[1], inner[0], needed, grads, keep=again)
        self.inner = inner if again else None
        return found

    def _run(self, tensors: Tensors, needed: Needed) -> tuple[Tensors, Outputs]:
        """The inputs cut off from their graph, and the outputs with a graph that ends there."""
        inputs = tuple(
            None if t is None else t.detach().requires_grad_(n) for t, n in zip(tensors, needed, strict=True)
        )
        with torch.enable_grad():
            return inputs, self.value(inputs)

    def _flushed(self) -> AbstractContextManager[object]:
        return flush_subnormals() if self._flush else nullcontext()


def _gradients(
    outputs: Outputs,
    inputs: Tensors,
    needed: Needed,
    grads: Tensors,
    *,
    keep: bool = False,
    create: bool = False,
) -> Tensors:
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


def no_autocast() -> AbstractContextManager[object]:
    """What puts autocast back where it was off on the CPU."""
    return torch.autocast("cpu", enabled=False)


def _autocast(tensors: Tensors) -> Autocast:
    device = next(t.device.type for t in tensors if t is not None)
    on, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype=dtype, enabled=on)
