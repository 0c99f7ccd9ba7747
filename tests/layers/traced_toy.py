"""What is traced and exported: layers of every kind, and models that call them in the ways there are."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from helpers.recurrences import TWINS, layer
from unroll.layers.lstm import LSTM

D, H = 3, 4
SIZES = [(9, 3), (1, 1), (4, 7)]
MAKERS = {
    **{name: functools.partial(layer, name, D, H) for name in TWINS if name != "projected"},
    "no bias": lambda **o: LSTM(D, H, bias=False, **o),
    "projected": lambda **o: LSTM(D, H, proj_size=2, **o),
    "more": lambda **o: LSTM(D, H, layer_norm=True, residual=True, learn_initial_state=True, **o),
}
shapes = pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"bidirectional": True}, {"batch_first": True}],
    ids=["one way", "deep both ways", "both ways", "batch first"],
)


class Ragged(nn.Module):
    """A model that takes lengths."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        return self.layer(x, lengths=lengths)


class Whole(nn.Module):
    """A model that takes a state, tensor by tensor."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, *state):
        return self.layer(x, None if not state else state if len(state) > 1 else state[0])


def batch(module, steps, rows):
    return torch.randn(*((rows, steps) if module.batch_first else (steps, rows)), D)


def ragged(module, steps, rows):
    """A batch with NaN in its padding, and its lengths, of which one is zero where there are several."""
    x, lengths = batch(module, steps, rows), torch.randint(1, steps + 1, (rows,))
    lengths[1:2] = 0
    padding = torch.arange(steps) >= lengths.unsqueeze(1)
    return x.masked_fill((padding if module.batch_first else padding.t()).unsqueeze(-1), float("nan")), lengths
