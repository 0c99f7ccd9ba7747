"""One step of the LSTM, as its papers write it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from unroll.ops.call import State, Step, Weights


def step(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    """One step of the long short-term memory with a forget gate.

        i = sigmoid(W_i x + U_i h + b_i)        input gate
        f = sigmoid(W_f x + U_f h + b_f)        forget gate
        g = tanh   (W_g x + U_g h + b_g)        candidate
        o = sigmoid(W_o x + U_o h + b_o)        output gate
        c' = f * c + i * g
        h' = o * tanh(c')                       with a projection: h' = P (o * tanh(c'))

    The four blocks lie in this order in the weights, as in `torch.nn.LSTM`; b is the sum of both biases.

    Papers: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (the forget gate);
    Sak, Senior & Beaufays 2014 (the projection). There are no peepholes.
    """
    h, c = state
    recurrent = h if mask is None else h * mask
    a = linear(x, weights["weight_ih"], weights.get("bias_ih"))
    a = a + linear(recurrent, weights["weight_hh"], weights.get("bias_hh"))
    i, f, g, o = a.chunk(4, dim=-1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    c = f * c + i * g
    h = o * torch.tanh(c)
    if "weight_hr" in weights:
        h = linear(h, weights["weight_hr"])
    return Step(h, (h, c), {"i": i, "f": f, "g": g, "o": o})
