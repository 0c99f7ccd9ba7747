"""How recurrent weights start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import init

from unroll.errors import OptionError, nearest
from unroll.ops.call import Recurrence

Init = Literal["torch", "orthogonal"]


def check_start(recurrence: Recurrence, start: str, bias: bool, forget_bias: float | None, chrono_init: int) -> None:
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
        if given and recurrence.forget_gate is None:
            raise OptionError(f"{name} starts the gate that keeps the state, and '{recurrence.name}' has none")


def uniform(weights: Iterable[Tensor], hidden: int) -> None:
    """All from U(-1/sqrt(H), 1/sqrt(H)), in the order of `torch.nn`: the same seed gives the same weights."""
    bound = 1.0 / math.sqrt(hidden)
    for weight in weights:
        init.uniform_(weight, -bound, bound)


def orthogonal(weights: Iterable[tuple[str, Tensor]], recurrence: Recurrence) -> None:
    """Recurrent matrices and projections orthogonal, input matrices Glorot-uniform, biases zero.

    Each gate's block is drawn by itself. Papers: Saxe, McClelland & Ganguli 2014; Glorot & Bengio 2010.
    """
    for name, weight in weights:
        if name.startswith("bias"):
            init.zeros_(weight)
        elif name.startswith("weight_hr"):
            init.orthogonal_(weight)
        elif weight.dim() < 2:
            uniform([weight], len(weight))
        else:
            for block in weight.chunk(recurrence.gates):
                (init.orthogonal_ if name.startswith(recurrence.recurrent) else init.xavier_uniform_)(block)


def forget(biases: Sequence[Tensor], recurrence: Recurrence, value: float) -> None:
    """The bias of the gate that keeps the state, an LSTM's forget gate, becomes `value` in all.

    Paper: Jozefowicz, Zaremba & Sutskever 2015 (value 1: the cell remembers before it has learnt what to).
    """
    assert recurrence.forget_gate is not None  # noqa: S101  # `check_start` has seen to it
    first, *others = (bias.chunk(recurrence.gates)[recurrence.forget_gate] for bias in biases)
    with torch.no_grad():
        first.fill_(value)
        for bias in others:
            bias.zero_()


def chrono(biases: Sequence[Tensor], recurrence: Recurrence, steps: int) -> None:
    """The gate that keeps the state starts with the bias log(u), u from U(1, steps - 1), in all.

    A gate of sigmoid(log u) = u / (1 + u) at every step forgets a share 1 / (1 + u) of the state: the units start
    with memories of 2 to `steps` steps. The keeping gate is an LSTM's f and a GRU's z (h' = (1 - z) * n + z * h). An
    LSTM's input gate gets -log(u), so that i = 1 - f; in a GRU that is so by its equations.

    Paper: Tallec & Ollivier 2018, "Can recurrent neural networks warp time?".
    """
    blocks = [bias.chunk(recurrence.gates) for bias in biases]
    keeping = torch.empty_like(blocks[0][0]).uniform_(1.0, max(1.0, steps - 1.0)).log_()
    with torch.no_grad():
        for gate, value in ((recurrence.input_gate, -keeping), (recurrence.forget_gate, keeping)):
            if gate is None:
                continue
            blocks[0][gate].copy_(value)
            for others in blocks[1:]:
                others[gate].zero_()
