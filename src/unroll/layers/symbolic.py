"""A recurrent layer under `torch.fx`: one node of the graph, as `torch.nn`'s layers are."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.fx import Proxy
from torch.fx.proxy import TracerBase

from unroll.errors import OptionError


def symbolic(*arguments: Any) -> TracerBase | None:
    """The tracer of `torch.fx` that these stand for values of, or None if they are values."""
    for argument in arguments:
        if isinstance(argument, Proxy):
            return argument.tracer
        if isinstance(argument, (tuple, list)):
            for part in argument:
                if isinstance(part, Proxy):
                    return part.tracer
    return None


def leaf(tracer: TracerBase, layer: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """The call of the layer as a node.

    Raises:
        OptionError: the layer itself is what is traced, of which nothing would be left.
    """
    path = tracer.path_of_module(layer)  # type: ignore[attr-defined]  # every tracer of modules has it
    if not path:
        name = type(layer).__name__
        raise OptionError(f"torch.fx takes {name} as one node and cannot look inside: trace a module that holds it")
    given = tuple(a for a in arguments if a is not None)
    return tracer.create_proxy("call_module", path, given, {k: v for k, v in keywords.items() if v is not None})
