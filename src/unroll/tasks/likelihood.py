"""Metrics of the likelihood of tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric


class _Likelihood(Metric):
    """Accumulate the sum and the number of negative log-likelihoods."""

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.nats: Tensor
        self.tokens: Tensor

    def update(self, nll: Tensor, counted: Tensor) -> None:
        self.nats += (nll.detach().double() * counted).sum()
        self.tokens += counted.sum()


class Perplexity(_Likelihood):
    """Perplexity: exp of the mean negative log-likelihood of a token."""

    def compute(self) -> Tensor:
        """The value so far."""
        return torch.exp(self.nats / self.tokens)


class Bits(_Likelihood):
    """Bits per token: the mean negative log-likelihood of a token in bits."""

    def compute(self) -> Tensor:
        """The value so far."""
        return self.nats / self.tokens / math.log(2)
