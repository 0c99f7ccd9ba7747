"""Functions whose numbers for a row do not depend on the other rows, bit for bit, nor on how many there are.

PyTorch's matrix products choose their order of summation by the size of the whole. These do not, where nothing is
recorded for a gradient and the tensors are float32 or float64 on the CPU: by the compiled kernels, or row by row where
those are missing. Elsewhere they are PyTorch's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unroll.ops.cpu import packed
from unroll.ops.torch_state import transformed


class RowLinear:
    """Compute x W^T + b, or tanh of it, for rows x (N, K), with the weights laid out once.

    Args:
        weight: W (M, K); a later change of it may have no effect.
        bias: b (M,), if there is one.
        tanh: whether to take tanh of the sum.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, tanh: bool = False) -> None:
        self._weight, self._bias, self._tanh = weight, bias, tanh
        self._packed = packed.PackedLinear(weight, bias, tanh=tanh) if packed.servable(weight, bias) else None

    def __call__(self, x: Tensor) -> Tensor:
        """Compute (N, M) from (N, K)."""
        if self._packed is not None and packed.servable(x, self._weight):
            return self._packed(x)
        if x.is_cpu and not torch.is_grad_enabled():
            y = x.new_empty(len(x), len(self._weight))
            for i, row in enumerate(x):
                y[i] = functional.linear(row, self._weight, self._bias)
        else:
            y = functional.linear(x, self._weight, self._bias)
        return y.tanh() if self._tanh else y


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute x W^T + b over the last axis of x, as `torch.nn.functional.linear`."""
    if torch.is_grad_enabled() or not x.is_cpu or transformed() is not None:
        return functional.linear(x, weight, bias)
    return RowLinear(weight, bias)(x.reshape(-1, x.shape[-1])).view(*x.shape[:-1], len(weight))


def top(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest numbers of each row, as `torch.topk`: values and places, each (N, k), largest first.

    Of equal numbers the first comes first. NaN is never among them; where a row has fewer numbers above -infinity, the
    rest is -infinity, at places that mean nothing.

    Args:
        x: (N, M).
        k: from 1 to M.
    """
    if packed.servable(x):
        return packed.top(x, k)
    values, places = x.masked_fill(x.isnan(), -torch.inf).sort(dim=1, descending=True, stable=True)
    return values[:, :k], places[:, :k]


def mean(x: Tensor, lengths: Tensor) -> Tensor:
    """Compute the mean over the first `lengths` steps of each row of x (B, S, E); zero for a length of zero."""
    total = torch.zeros_like(x[:, 0])
    for s in range(x.shape[1]):
        total = total + x[:, s].masked_fill((s >= lengths).unsqueeze(1), 0.0)
    return total / lengths.clamp(min=1).unsqueeze(1).to(x.dtype)
