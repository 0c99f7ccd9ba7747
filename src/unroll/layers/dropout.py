"""Locked (variational) dropout, with one mask for all steps of a sequence, and DropConnect."""

from __future__ import annotations

import numbers

import torch
from torch import Tensor
from torch.nn.functional import dropout

from unroll.errors import OptionError


def check_shares(**shares: float) -> None:
    """Check dropout probabilities, given by the options' names.

    Raises:
        OptionError: one is not a number from 0 to below 1.
    """
    for name, p in shares.items():
        if not isinstance(p, numbers.Real) or isinstance(p, bool) or not 0 <= p < 1:
            raise OptionError(f"{name} must be a probability from 0 to below 1, got {p!r}")


def locked_mask(like: Tensor, width: int, p: float) -> Tensor:
    """Draw a dropout mask (B, width) for `like` (T, B, D): 0 with probability `p`, else 1 / (1 - p).

    Paper: Gal & Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural
    networks". `torch.nn` has only masks that change from step to step.
    """
    return dropout(torch.ones(like.shape[1], width, dtype=like.dtype, device=like.device), p)


def locked(x: Tensor, p: float, training: bool) -> Tensor:
    """Apply locked dropout to `x` (T, B, D): the same features of a row at every step; only in training."""
    if p == 0 or not training:
        return x
    return x * locked_mask(x, x.shape[-1], p)


def dropped_weight(weight: Tensor, p: float, training: bool) -> Tensor:
    """Apply DropConnect to `weight`: set each entry to zero with probability `p`, scale the others by 1 / (1 - p).

    The matrix is the same at every step, so an entry is dropped for the whole sequence and for all rows.
    Papers: Wan et al. 2013, "Regularization of neural networks using DropConnect"; of recurrent matrices: Merity,
    Keskar & Socher 2018, "Regularizing and optimizing LSTM language models".
    """
    return dropout(weight, p) if p > 0 and training else weight
