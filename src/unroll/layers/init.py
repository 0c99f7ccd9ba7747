"""How recurrent weights start."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import init

from unroll.errors import OptionError, nearest

Init = Literal["torch", "orthogonal"]
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""The parameters of one layer and direction, as `torch.nn` names them, in the order of `Weights`."""


def check_start(start: str, bias: bool, forget_bias: float | None, chrono_init: int) -> None:
    """The options that say how a layer starts.

    Raises:
        OptionError: there is no such start, or two options ask for different ones.
    """
    if start not in get_args(Init):
        raise OptionError(f"init is {start!r}{nearest(str(start), get_args(Init))}")
    if isinstance(chrono_init, bool) or not isinstance(chrono_init, int) or chrono_init < 0 or chrono_init == 1:
        raise OptionError(f"chrono_init is {chrono_init!r}; give the number of steps to remember for, at least 2, or 0")
    if chrono_init and forget_bias is not None:
        raise OptionError("forget_bias and chrono_init both set the forget gate's bias: give one of them")
    for name, given in (("forget_bias", forget_bias is not None), ("chrono_init", chrono_init > 0)):
        if given and not bias:
            raise OptionError(f"{name} needs bias=True")


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


def chrono(bias_ih: Tensor, bias_hh: Tensor, gates: int, steps: int) -> None:
    """The gate that keeps the state starts with the bias log(u), u from U(1, steps - 1), in all.

    A gate of sigmoid(log u) = u / (1 + u) at every step forgets a share 1 / (1 + u) of the state: the units start
    with memories of 2 to `steps` steps. The keeping gate is the second block of both, an LSTM's f and a GRU's z
    (h' = (1 - z) * n + z * h). An LSTM's input gate, its first block, gets -log(u), so that i = 1 - f; in a GRU that
    is so by its equations.

    Paper: Tallec & Ollivier 2018, "Can recurrent neural networks warp time?".
    """
    keeping = torch.empty_like(bias_ih[: len(bias_ih) // gates]).uniform_(1.0, max(1.0, steps - 1.0)).log_()
    blocks = {1: keeping} if gates == 3 else {0: -keeping, 1: keeping}
    with torch.no_grad():
        for block, value in blocks.items():
            bias_ih.chunk(gates)[block].copy_(value)
            bias_hh.chunk(gates)[block].zero_()
