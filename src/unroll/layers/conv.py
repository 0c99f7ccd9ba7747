"""Convolution front end over time, with exact lengths through pooling."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unroll.layers.pooling import step_mask

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class ConvFrontEnd(nn.Module):
    """Parallel 1-d convolutions over time, activation and max pooling: the front end of a CNN-RNN.

    For each kernel size k:  c_t = act(W_k [x_{t-(k-1)//2} ... x_{t+k//2}] + b_k), where steps outside
    the row are zero, so that the output has one step per input step. The outputs of all kernel sizes are
    concatenated. Pooling takes the maximum of `pool` steps that belong to the row; a last window that is
    only partly inside the row counts.

    Shapes: x (B, T, D), lengths (B,) -> y (B, ceil(T / pool), filters * number of kernels), and the
    lengths after pooling, ceil(length / pool). Beyond its length a row's output is zero, and x there
    (NaN included) has no effect.

    Kim 2014, "Convolutional Neural Networks for Sentence Classification"; in front of a recurrence as in
    Zhou et al. 2015, "A C-LSTM Neural Network for Text Classification".
    """

    def __init__(
        self,
        features: int,
        filters: int,
        kernels: tuple[int, ...] = (3,),
        activation: str = "relu",
        pool: int = 1,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(features, filters, k) for k in kernels)
        self.kernels = tuple(kernels)
        self.activation = _ACTIVATIONS[activation]()
        self.pool = pool
        self.features = filters * len(self.kernels)

    def forward(
        self, x: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B U F"], Int[Tensor, " B"]]:
        """Compute the front end's output and its lengths."""
        T = x.size(1)
        outside = ~step_mask(lengths, T)
        x = x.masked_fill(outside.unsqueeze(2), 0.0).transpose(1, 2)  # (B, D, T)
        parts = [
            conv(nn.functional.pad(x, ((k - 1) // 2, k // 2))) for conv, k in zip(self.convs, self.kernels, strict=True)
        ]
        y = self.activation(torch.cat(parts, dim=1))  # (B, F, T)
        if self.pool > 1:
            y = y.masked_fill(outside.unsqueeze(1), torch.finfo(y.dtype).min)
            y = nn.functional.max_pool1d(y, self.pool, ceil_mode=True)
            lengths = (lengths + self.pool - 1) // self.pool
        y = y.transpose(1, 2)
        return y.masked_fill(~step_mask(lengths, y.size(1)).unsqueeze(2), 0.0), lengths
