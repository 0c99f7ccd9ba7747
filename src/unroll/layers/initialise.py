"""How recurrent weights start."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import init


def uniform(weights: Iterable[Tensor], hidden: int) -> None:
    """All from U(-1/sqrt(H), 1/sqrt(H)), in the order of `torch.nn`: the same seed gives the same weights."""
    bound = 1.0 / math.sqrt(hidden)
    for weight in weights:
        init.uniform_(weight, -bound, bound)


def orthogonal(weights: Iterable[tuple[str, Tensor]], gates: int) -> None:
    """Recurrent matrices and projections orthogonal, input matrices Glorot-uniform, biases zero.

    Each gate's block is drawn by itself. Papers: Saxe, McClelland & Ganguli 2014; Glorot & Bengio 2010.
    """
    for name, weight in weights:
        if name.startswith("bias"):
            init.zeros_(weight)
        elif name.startswith("weight_hr"):
            init.orthogonal_(weight)
        else:
            for block in weight.chunk(gates):
                (init.orthogonal_ if name.startswith("weight_hh") else init.xavier_uniform_)(block)


def forget(bias_ih: Tensor, bias_hh: Tensor, value: float) -> None:
    """The forget gate's bias, the second block of an LSTM's, becomes `value` in all.

    Paper: Jozefowicz, Zaremba & Sutskever 2015 (value 1: the cell remembers before it has learnt what to).
    """
    H = len(bias_ih) // 4
    with torch.no_grad():
        bias_ih[H : 2 * H] = value
        bias_hh[H : 2 * H] = 0.0
