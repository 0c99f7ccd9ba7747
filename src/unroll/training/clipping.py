"""Gradient clipping, and the loss and gradient norms of a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unroll.training.options import TrainingOptions


def step_numbers(loss: Tensor, weight: float | Tensor, gradients: list[Tensor]) -> tuple[float, float, list[float]]:
    """Copy the loss, its weight and each gradient's norm to the CPU, in the step's only device synchronization."""
    norms = torch._foreach_norm(gradients) if gradients else ()  # pyright: ignore[reportPrivateImportUsage]
    dtype = torch.promote_types(loss.dtype, torch.float32)
    weights = [weight.to(loss.device)] if isinstance(weight, Tensor) else []
    value, *values = torch.stack([t.to(dtype) for t in (loss, *weights, *norms)]).tolist()
    return value, (values.pop(0) if isinstance(weight, Tensor) else weight), values


def clip(gradients: list[Tensor], norm: float, options: TrainingOptions) -> None:
    """Clip `gradients` of global norm `norm` in place: by value to max_grad_value, then by norm to max_grad_norm."""
    limit = options.max_grad_norm
    if not gradients:
        return
    if options.max_grad_value:
        torch._foreach_clamp_min_(gradients, -options.max_grad_value)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_clamp_max_(gradients, options.max_grad_value)  # pyright: ignore[reportPrivateImportUsage]
        if limit:
            norm = float(nn.utils.get_total_norm(gradients))
    if limit and norm > limit:
        torch._foreach_mul_(gradients, limit / (norm + 1e-6))  # pyright: ignore[reportPrivateImportUsage]
