"""Reversible instance normalization (RevIN): normalise each series by its look-back, and undo it afterwards."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

Normalise = Literal["none", "last", "revin"]


class LocScale(NamedTuple):
    """Location and scale of a window's values, for each row and channel: x = scale * x' + location."""

    location: Float[Tensor, "B 1 K"]
    scale: Float[Tensor, "B 1 K"]


class RevIN(nn.Module):
    """Normalise the values (B, T, K) of K channels, and convert the model's outputs back.

        none    x'_t = x_t
        last    x'_t = x_t - x_T
        revin   x'_t = gamma (x_t - mean) / sqrt(var + eps) + beta

    mean and var are over the row's own T steps; gamma and beta are learnt, one for each channel (`affine`). The same
    numbers convert an output back, so no value after the look-back is ever used.

    Papers: revin, Kim et al. 2022, "Reversible instance normalization for accurate time-series forecasting against
    distribution shift"; last, Zeng et al. 2023, "Are transformers effective for time series forecasting?" (NLinear).
    """

    def __init__(self, channels: int, kind: Normalise, *, affine: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.kind: Normalise = kind
        self.eps = eps
        learns = affine and kind == "revin"
        self.gain = nn.Parameter(torch.ones(channels)) if learns else None
        self.bias = nn.Parameter(torch.zeros(channels)) if learns else None

    def forward(self, x: Float[Tensor, "B T K"]) -> tuple[Float[Tensor, "B T K"], LocScale]:
        """Normalise the values; return them and their location and scale."""
        location, scale = torch.zeros_like(x[:, :1]), torch.ones_like(x[:, :1])
        if self.kind == "none":
            return x, LocScale(location, scale)
        if self.kind == "last":
            location = x[:, -1:]
            return x - location, LocScale(location, scale)
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        place = LocScale(mean, torch.sqrt(variance + self.eps))
        return self.again(x, place), place

    def again(self, x: Float[Tensor, "B T K"], place: LocScale) -> Float[Tensor, "B T K"]:
        """Normalise other values of the same rows by the same numbers, e.g. the true future in teacher forcing."""
        x = (x - place.location) / place.scale
        if self.gain is not None and self.bias is not None:
            x = x * self.gain + self.bias
        return x

    def inverse(self, y: Float[Tensor, "B F K M"], place: LocScale) -> Float[Tensor, "B F K M"]:
        """Convert outputs to the units of the input."""
        if self.gain is not None and self.bias is not None:
            # eps keeps the answer finite should the gain be learnt away
            y = (y - self.bias[:, None]) / (self.gain[:, None] + self.eps**2)
        return y * place.scale.unsqueeze(3) + place.location.unsqueeze(3)

    def inverse_scale(self, s: Float[Tensor, "B F K M"], place: LocScale) -> Float[Tensor, "B F K M"]:
        """Convert widths, such as standard deviations, to the units of the input; they stay positive."""
        if self.gain is not None:
            s = s / (self.gain[:, None] + self.eps**2).abs()
        return s * place.scale.unsqueeze(3)
