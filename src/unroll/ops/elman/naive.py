"""One step of the Elman network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from unroll.ops.call import State, Step, Weights


def _preactivation(x: Tensor, state: State, weights: Weights, mask: Tensor | None) -> Tensor:
    """`W x + U h + b`, where b is the sum of both biases."""
    (h,) = state
    recurrent = h if mask is None else h * mask
    given = linear(x, weights["weight_ih"], weights.get("bias_ih"))
    return given + linear(recurrent, weights["weight_hh"], weights.get("bias_hh"))


def tanh(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    """One step of the simple recurrent network.

        h' = tanh(W x + U h + b)

    Paper: Elman 1990.
    """
    h = torch.tanh(_preactivation(x, state, weights, mask))
    return Step(h, (h,), {})


def relu(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    """One step of the simple recurrent network, rectified.

        h' = max(0, W x + U h + b)

    Paper: Le, Jaitly & Hinton 2015 (there with `U` the identity at the start, which is not done here).
    """
    h = torch.relu(_preactivation(x, state, weights, mask))
    return Step(h, (h,), {})
