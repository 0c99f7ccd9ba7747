"""Skip connections of forecasters: a simple forecast that the network's output is added to."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Skip = Literal["none", "last", "seasonal", "linear"]


class SkipForecast(nn.Module):
    """Forecast the horizon from a normalised look-back, each channel by itself with the same weights.

        last      y_f = x_L
        seasonal  y_f = x_(L - m + (f - 1) mod m + 1), the value one season m before; the last value if m > L
        linear    y = W x + b, with W (F, L) learnt; it starts at seasonal

    Papers: linear, Lai et al. 2018, "Modeling long- and short-term temporal patterns with deep neural networks" (the
    autoregressive component of LSTNet); Zeng et al. 2023, "Are transformers effective for time series forecasting?".
    """

    def __init__(self, kind: Skip, lookback: int, horizon: int, season: int) -> None:
        super().__init__()
        weight = naive_weight(lookback, horizon, 1 if kind == "last" else season)
        self.weight: Tensor
        self.bias: nn.Parameter | None = None
        if kind == "linear":
            self.weight = nn.Parameter(weight)
            self.bias = nn.Parameter(torch.zeros(horizon))
        else:
            self.register_buffer("weight", weight, persistent=False)

    def forward(self, x: Float[Tensor, "B L K"]) -> Float[Tensor, "B F K"]:
        """Forecast from the look-back."""
        y = torch.einsum("fl,blk->bfk", self.weight.to(x.dtype), x)
        return y if self.bias is None else y + self.bias.to(x.dtype).unsqueeze(1)


def naive_weight(lookback: int, horizon: int, season: int) -> Float[Tensor, "F L"]:
    """Return the linear map of a look-back that repeats its last season; a season beyond it counts as 1."""
    season = season if season <= lookback else 1
    steps = torch.arange(horizon)
    weight = torch.zeros(horizon, lookback)
    weight[steps, lookback - season + steps % season] = 1.0
    return weight
