"""Dropout with one mask for all steps of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout


def locked_mask(like: Tensor, width: int, p: float) -> Tensor:
    """(B, width): 0 with probability `p`, else 1 / (1 - p), one for each row and feature of `like` (T, B, D).

    Paper: Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural
    networks". `torch.nn` has only masks that change from step to step.
    """
    return dropout(torch.ones(like.shape[1], width, dtype=like.dtype, device=like.device), p)


def locked(x: Tensor, p: float, training: bool) -> Tensor:
    """(T, B, D): `x` with the same features of a row dropped at every step; unchanged out of training."""
    if p == 0 or not training:
        return x
    return x * locked_mask(x, x.shape[-1], p)
