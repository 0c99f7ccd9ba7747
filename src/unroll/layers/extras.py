"""Arguments of the recurrent layers that `torch.nn` does not have: types, meanings, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from unroll.errors import OptionError, nearest
from unroll.layers.dropout import check_shares
from unroll.layers.init import Init
from unroll.ops.call import Recurrence


class LayerExtras(TypedDict, total=False):
    """Keyword arguments of `unroll.RNN`, `LSTM` and `GRU` in addition to those of `torch.nn`."""

    init: Init
    """`"torch"`: all weights uniform, the same seed giving `torch.nn`'s weights; `"orthogonal"`: recurrent matrices
    orthogonal, input matrices Glorot-uniform, biases zero."""
    learn_initial_state: bool
    """Learn `initial_h` (and an LSTM's `initial_c`), (layers * directions, H), as parameters; they are used if no state
    is given and after a reset."""
    input_dropout: float
    """Locked dropout of the input: the same features are dropped at every step."""
    hidden_dropout: float
    """Locked dropout between layers: of every layer's output but the last one's."""
    output_dropout: float
    """Locked dropout of every layer's output."""
    recurrent_dropout: float
    """Locked dropout of h in the recurrent product; only the backend `naive` has it."""
    weight_dropout: float
    """DropConnect: share of the recurrent matrices' entries set to zero for a whole call in training, the others
    scaled up; on every backend."""
    residual: bool
    """Add each layer's input to its output, except in the first layer."""
    layer_norm: bool
    """Normalise every layer's output, not its state (parameters `norm_l0.weight`, ...)."""
    recompute: bool
    """Recompute the gates in the backward pass instead of saving them: half the memory or less, for about a third
    more time."""
    backend: str
    """`"auto"`, or the name of a backend; a call that it cannot serve is an error. `used` names the backends of the
    last call."""


DEFAULTS: Mapping[str, Any] = {
    "init": "torch", "learn_initial_state": False, "input_dropout": 0.0, "hidden_dropout": 0.0, "output_dropout": 0.0,
    "recurrent_dropout": 0.0, "weight_dropout": 0.0, "residual": False, "layer_norm": False, "recompute": False,
    "backend": "auto",
}  # fmt: skip


def complete_extras(layer: str, recurrence: Recurrence, num_layers: int, extras: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments given to a layer, and add the defaults of the others.

    Raises:
        TypeError: an unknown argument.
        OptionError: a dropout is not from 0 to below 1, or has no effect on this layer.
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
