"""Compute the weights of the classes in the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unroll.data.labels import label_name
from unroll.errors import OptionError, nearest


def balanced_weights(targets: Tensor, classes: int) -> Float[Tensor, " K"]:
    """Compute balanced class weights from the training part's targets.

    Single label: w_k = N / (K n_k). Multi-label: (N - n_k) / n_k for the positive rows of label k.
    """
    if targets.ndim == 1:
        counts = torch.bincount(targets, minlength=classes).float()
        return len(targets) / (classes * counts.clamp(min=1.0))
    positive = targets.float().sum(0)
    return (len(targets) - positive).clamp(min=1.0) / positive.clamp(min=1.0)


def named_weights(weights: Mapping[str, float], names: Sequence[str]) -> Float[Tensor, " K"]:
    """Order the weights given by class; classes that are not named have weight 1.

    Args:
        weights: class -> weight.
        names: of the K classes.

    Raises:
        OptionError: a class that is not in the training data, or that is there twice.
    """
    found: dict[str, float] = {}
    for given, weight in weights.items():
        name = label_name(given) or given
        if name not in names:
            where = f"class_weights has the class '{given:.60}'"
            raise OptionError(f"{where}, which the training data does not have{nearest(name, names)}")
        if name in found:
            raise OptionError(f"class_weights has the class '{name:.60}' twice")
        found[name] = weight
    return torch.tensor([found.get(name, 1.0) for name in names])


def class_weights(
    option: Literal["none", "balanced"] | Mapping[str, float], names: Sequence[str], targets: Tensor | None
) -> Float[Tensor, " K"] | None:
    """Compute the weights that the option `class_weights` asks for; None if all classes count the same.

    Args:
        option: its value.
        names: of the K classes.
        targets: of the training part; None: there is none, and "balanced" gives no weights.

    Raises:
        OptionError: see `named_weights`.
    """
    if isinstance(option, Mapping):
        return named_weights(option, names)
    return balanced_weights(targets, len(names)) if option == "balanced" and targets is not None else None
