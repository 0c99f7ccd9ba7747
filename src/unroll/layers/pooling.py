"""Pooling over time: many steps to one vector, with lengths.

Shapes: y (B, T, H), lengths (B,). A row of length zero pools to zeros.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


def step_mask(lengths: Int[Tensor, " B"], steps: int) -> Bool[Tensor, "B T"]:
    """Make a mask that is True at the steps inside each row: t < length."""
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(1)


class LastPooling(nn.Module):
    """Take the output at each row's last step; of a reverse direction, at its first step.

    With `directions=2` the last axis holds the forward half and then the reverse half, as in the
    output of bidirectional layers.
    """

    def __init__(self, directions: int = 1) -> None:
        super().__init__()
        self.directions = directions

    def forward(self, y: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
        """Select y at step length - 1 (forward half) and at step 0 (reverse half)."""
        last = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, y.size(2))
        pooled = y.gather(1, last).squeeze(1)
        if self.directions == 2:
            half = y.size(2) // 2
            pooled = torch.cat([pooled[:, :half], y[:, 0, half:]], dim=1)
        return pooled.masked_fill((lengths == 0).unsqueeze(1), 0.0)


class MeanPooling(nn.Module):
    """Average over the steps of each row."""

    def forward(self, y: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
        """Compute sum_t y_t / length, over t < length."""
        mask = step_mask(lengths, y.size(1)).unsqueeze(2)
        return y.masked_fill(~mask, 0.0).sum(1) / lengths.clamp(min=1).unsqueeze(1).to(y.dtype)


class MaxPooling(nn.Module):
    """Take the maximum of each unit over the steps of each row."""

    def forward(self, y: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
        """Compute max_t y_t over t < length."""
        mask = step_mask(lengths, y.size(1)).unsqueeze(2)
        pooled = y.masked_fill(~mask, -torch.inf).amax(1)
        return pooled.masked_fill((lengths == 0).unsqueeze(1), 0.0)


class AttentionPooling(nn.Module):
    """Average with learnt attention weights: u_t = tanh(W y_t + b), a = softmax_t(v . u_t), sum_t a_t y_t.

    Yang et al. 2016, "Hierarchical Attention Networks for Document Classification".
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)

    def weights(self, y: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T"]:
        """Compute the weight of each step; they sum to one over each row's steps, and are zero beyond them."""
        mask = step_mask(lengths, y.size(1))
        scores = self.score(torch.tanh(self.project(y))).squeeze(2)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.softmax(1).masked_fill(~mask, 0.0)

    def forward(self, y: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B H"]:
        """Compute sum_t a_t y_t."""
        y = y.masked_fill(~step_mask(lengths, y.size(1)).unsqueeze(2), 0.0)
        return torch.einsum("bt,bth->bh", self.weights(y, lengths), y)


class Pooling(nn.Module):
    """Concatenate one or several poolings: `"last"`, `"mean"`, `"max"`, `"attention"`, or e.g. `"mean+max"`."""

    def __init__(self, names: str, features: int, directions: int = 1) -> None:
        super().__init__()
        kinds = {
            "last": lambda: LastPooling(directions),
            "mean": MeanPooling,
            "max": MaxPooling,
            "attention": lambda: AttentionPooling(features),
        }
        self.parts = nn.ModuleDict({name: kinds[name]() for name in names.split("+")})
        self.features = features * len(self.parts)

    def forward(self, y: Float[Tensor, "B T H"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B P"]:
        """Concatenate the poolings' results: P = H times the number of poolings."""
        return torch.cat([part(y, lengths) for part in self.parts.values()], dim=1)
