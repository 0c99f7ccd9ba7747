"""Trace a recurrent layer with `torch.fx` as one node of the graph, like `torch.nn`'s layers."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Proxy
from torch.fx.proxy import TracerBase

from unroll.errors import OptionError


def symbolic(*arguments: Any) -> TracerBase | None:
    """Find the `torch.fx` tracer of the proxies among the arguments, or None if there is no proxy."""
    for argument in arguments:
        if isinstance(argument, Proxy):
            return argument.tracer
        if isinstance(argument, (tuple, list)):
            for part in argument:
                if isinstance(part, Proxy):
                    return part.tracer
    return None


def leaf(tracer: TracerBase, layer: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Record the call of the layer as a node.

    Raises:
        OptionError: the layer is the traced root module, so that the graph could not call it.
    """
    path = tracer.path_of_module(layer)  # type: ignore[attr-defined]  # every tracer of modules has it
    if not path:
        name = type(layer).__name__
        raise OptionError(f"torch.fx takes {name} as one node and cannot look inside: trace a module that holds it")
    given = tuple(a for a in arguments if a is not None)
    return tracer.create_proxy("call_module", path, given, {k: v for k, v in keywords.items() if v is not None})
