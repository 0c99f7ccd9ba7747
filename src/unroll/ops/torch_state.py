"""What PyTorch does with the present call besides computing it: the one place that asks its private names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

_Found = TypeVar("_Found")
_Function = TypeVar("_Function", bound=Callable[..., int])


def compiling() -> bool:
    """Whether `torch.compile` or `torch.export` is tracing."""
    return torch.compiler.is_compiling()


def transformed() -> str | None:
    """Which transform or trace the call is inside of, or None if it is just computed."""
    if compiling():
        return "torch.compile or torch.export"
    inside = differentiated()
    if inside is not None:
        return inside
    if tracing():
        return "torch.jit.trace"
    if torch._C._len_torch_dispatch_stack() > 0:
        return "a dispatch mode"
    return None


def tracing() -> bool:
    """Whether `torch.jit.trace` is recording, for itself or for the exporter to ONNX that is built on it."""
    return not compiling() and torch._C._get_tracing_state() is not None


def unrecorded(function: Callable[..., _Found], *arguments: Any) -> _Found:
    """`function(*arguments)` out of sight of `torch.jit.trace`, where a shape is plain numbers: for what only looks."""
    if not tracing():
        return function(*arguments)
    state = torch._C._get_tracing_state()
    torch._C._set_tracing_state(None)  # type: ignore[attr-defined]  # not in the stubs
    try:
        return function(*arguments)
    finally:
        torch._C._set_tracing_state(state)  # type: ignore[attr-defined]


def differentiated() -> str | None:
    """Which transform the call is inside of, compiled or not, or None. `torch.compile` can trace this."""
    if torch._C._functorch.get_dynamic_layer_stack_depth() > 0:  # type: ignore[attr-defined]  # not in the stubs
        return "a transform of torch.func"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation"
    return None


def constant_when_compiled(function: _Function) -> _Function:
    """As `torch.compiler.assume_constant_result`, which would import the compiler to mark it so."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def plain(tensor: Tensor) -> bool:
    """Whether the tensor is PyTorch's own kind: not a subclass, which may stand for anything."""
    # What torch.export traces with are subclasses, whatever they stand for.
    return type(tensor) is Tensor or type(tensor) is Parameter or torch.compiler.is_exporting()


def in_memory(tensor: Tensor) -> bool:
    """Whether the tensor's numbers are what its memory holds: it is no negated view, batch of `vmap` or the like."""
    return torch._C._has_storage(tensor) and not tensor.is_neg()


def graph_is_kept() -> bool:
    """Within a backward pass: whether it was asked to keep the graph (`retain_graph`)."""
    return torch._C._autograd._get_current_graph_task_keep_graph()  # type: ignore[attr-defined]


def autocasting() -> bool:
    """Whether autocast is on for any device."""
    return torch._C._is_any_autocast_enabled()
