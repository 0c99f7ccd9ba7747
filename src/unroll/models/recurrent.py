"""Build recurrent layers from options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unroll.errors import OptionError
from unroll.layers.extras import DEFAULTS
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.rnn import RNN
from unroll.layers.sequential import RecurrentSequential
from unroll.models.options import RecurrentOptions

LOCKED = ("input_dropout", "hidden_dropout", "output_dropout", "recurrent_dropout", "weight_dropout")
"""Options of dropout whose mask is the same at every step of a sequence."""


def state_widths(options: RecurrentOptions) -> tuple[int, ...]:
    """Return the widths of a layer's states in one direction: h, and an LSTM's c."""
    h = options.proj_size or options.hidden_size
    return (h, options.hidden_size) if options.recurrence == "lstm" else (h,)


def recurrent_width(options: RecurrentOptions) -> int:
    """Return the output features of the last layer, both directions together."""
    width = options.last_hidden_size or options.proj_size or options.hidden_size
    return 2 * width if options.bidirectional else width


def recurrent_stack(options: RecurrentOptions, width: int) -> RecurrentLayer | RecurrentSequential:
    """Build the layers for `width` input features, batch first; two in sequence if the last has its own width.

    Raises:
        OptionError: options that cannot be combined.
    """
    if not options.last_hidden_size:
        return _stack(options, width)
    for name in ("dropout", "residual"):
        if getattr(options, name):
            raise OptionError(f"{name} cannot be set beside last_hidden_size; hidden_dropout can")
    below = replace(options, num_layers=options.num_layers - 1, last_hidden_size=0, hidden_dropout=0.0)
    if options.num_layers > 2:
        below = replace(below, hidden_dropout=options.hidden_dropout)
    last = replace(
        below,
        num_layers=1,
        hidden_size=options.last_hidden_size,
        input_dropout=options.hidden_dropout,
        hidden_dropout=0.0,
    )
    return RecurrentSequential([_stack(below, width), _stack(last, recurrent_width(below))])


_LAYERS: dict[str, tuple[type[RecurrentLayer], tuple[str, ...]]] = {
    "rnn": (RNN, ("nonlinearity",)),
    "gru": (GRU, ("reset_after", "forget_bias", "chrono_init")),
    "lstm": (LSTM, ("proj_size", "forget_bias", "chrono_init")),
}
"""The layer class of each recurrence, and its specific options."""


def _stack(options: RecurrentOptions, width: int) -> RecurrentLayer:
    layer, own = _LAYERS[options.recurrence]
    given = {name: getattr(options, name) for name in ("num_layers", "dropout", "bidirectional", *DEFAULTS, *own)}
    make: Any = layer  # whose constructors differ
    return make(width, options.hidden_size, batch_first=True, **given)
