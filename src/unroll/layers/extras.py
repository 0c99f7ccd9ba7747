"""The arguments of the recurrent layers that `torch.nn` does not have: their types, what they do, their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from unroll.errors import OptionError, nearest
from unroll.layers.dropout import check_shares
from unroll.layers.init import Init
from unroll.ops.call import Recurrence


class LayerExtras(TypedDict, total=False):
    """What `unroll.RNN`, `LSTM` and `GRU` take beside the arguments of `torch.nn`, by keyword."""

    init: Init
    """`"torch"`: all weights uniform, the same seed giving `torch.nn`'s weights; `"orthogonal"`: recurrent matrices
    orthogonal, input matrices Glorot-uniform, biases zero."""
    learn_initial_state: bool
    """`initial_h` (an LSTM's `initial_c` too), (layers * directions, H), are parameters, used where no state is given
    and after a reset."""
    input_dropout: float
    """Share of the input's features dropped, the same at every step (locked)."""
    hidden_dropout: float
    """Likewise, of what goes from layer to layer: every output but the last layer's."""
    output_dropout: float
    """Likewise, of every layer's output."""
    recurrent_dropout: float
    """Likewise, of h on its way into the recurrent product; only the backend `naive` has it."""
    weight_dropout: float
    """Share of the recurrent matrices' entries that are zero throughout a call in training, the others scaled up
    (DropConnect); on every backend."""
    residual: bool
    """Every layer but the first adds its input to its output."""
    layer_norm: bool
    """Every layer's output, not its state, is normalised (parameters `norm_l0.weight`, ...)."""
    recompute: bool
    """Keep for the gradient only what the gates can be computed from again in the backward pass: half the memory or
    less, for about a third more time. Otherwise every gate is kept."""
    backend: str
    """`"auto"`, or the name of the one to use, an error at a call that it cannot serve. `used` tells what served the
    last call."""


DEFAULTS: Mapping[str, Any] = {
    "init": "torch", "learn_initial_state": False, "input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.0,
    "recurrent_dropout": 0.0, "weight_dropout": 0.0, "residual": False, "layer_norm": False, "recompute": False,
    "backend": "auto",
}  # fmt: skip


def complete_extras(layer: str, recurrence: Recurrence, num_layers: int, extras: Mapping[str, Any]) -> dict[str, Any]:
    """Check what is given to a layer, and add the defaults of the rest.

    Raises:
        TypeError: there is no such argument.
        OptionError: a dropout is no probability, or has nothing to act on.
    """
    for name in extras:
        if name not in DEFAULTS:
            raise TypeError(f"{layer}.__init__() got an unexpected keyword argument '{name}'{nearest(name, DEFAULTS)}")
    given = {**DEFAULTS, **extras}
    check_shares(**{name: p for name, p in given.items() if name.endswith("_dropout")})
    if given["hidden_dropout"] and num_layers == 1:
        raise OptionError("hidden_dropout acts between layers and there is one; set output_dropout")
    for name in ("recurrent_dropout", "weight_dropout"):
        if given[name] and not recurrence.recurrent:
            raise OptionError(f"{name} acts on recurrent weights, and the recurrence '{recurrence.name}' has none")
    return given
