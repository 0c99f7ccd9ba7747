"""The recurrent layers that options describe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.rnn import RNN
from unroll.layers.sequential import RecurrentSequential
from unroll.models.options import RecurrentOptions


def recurrent_width(options: RecurrentOptions) -> int:
    """Features that the last layer gives at each step, both directions together."""
    width = options.last_hidden_size or options.proj_size or options.hidden_size
    return 2 * width if options.bidirectional else width


def recurrent_stack(options: RecurrentOptions, width: int) -> RecurrentLayer | RecurrentSequential:
    """The layers over steps of `width` features, batch first; a chain of two if the last layer has a width of its own.

    Raises:
        OptionError: an option that cannot be honoured beside another.
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


def _stack(options: RecurrentOptions, width: int) -> RecurrentLayer:
    shared: dict[str, Any] = {
        "num_layers": options.num_layers,
        "batch_first": True,
        "dropout": options.dropout,
        "bidirectional": options.bidirectional,
        "init": options.init,
        "learn_initial_state": options.learn_initial_state,
        "input_dropout": options.input_dropout,
        "hidden_dropout": options.hidden_dropout,
        "output_dropout": options.output_dropout,
        "recurrent_dropout": options.recurrent_dropout,
        "weight_dropout": options.weight_dropout,
        "residual": options.residual,
        "layer_norm": options.layer_norm,
        "recompute": options.recompute,
        "backend": options.backend,
    }
    if options.recurrence == "rnn":
        return RNN(width, options.hidden_size, nonlinearity=options.nonlinearity, **shared)
    shared["chrono_init"] = options.chrono_init
    if options.recurrence == "gru":
        return GRU(width, options.hidden_size, reset_after=options.reset_after, **shared)
    return LSTM(width, options.hidden_size, proj_size=options.proj_size, forget_bias=options.forget_bias, **shared)
