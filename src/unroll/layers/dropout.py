"""Dropout with one mask for all steps of a sequence."""

from __future__ import annotations

import numbers

import torch
from torch import Tensor
from torch.nn.functional import dropout

from unroll.errors import OptionError


def check_shares(**shares: float) -> None:
    """Shares to be dropped, by the options' names.

    Raises:
        OptionError: one is no probability, or is 1, which would leave nothing.
    """
    for name, p in shares.items():
        if not isinstance(p, numbers.Real) or isinstance(p, bool) or not 0 <= p < 1:
            raise OptionError(f"{name} must be a probability from 0 to below 1, got {p!r}")


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


def dropped_weight(weight: Tensor, p: float, training: bool) -> Tensor:
    """`weight` with each entry set to zero with probability `p`, the others times 1 / (1 - p): DropConnect.

    Since the matrix is the same at every step, what it forgets it forgets for the whole sequence, and for all rows.
    Papers: Wan et al. 2013, "Regularization of neural networks using DropConnect"; of recurrent matrices: Merity,
    Keskar & Socher 2018, "Regularizing and optimizing LSTM language models".
    """
    return dropout(weight, p) if p > 0 and training else weight
