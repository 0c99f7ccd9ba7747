"""Whether numbers are finite, asked of many tensors at once."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def first_unfinite(named: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor that holds a NaN or an infinite number; one wait for the device for all."""
    seen = [(name, t.detach()) for name, t in named if t.is_floating_point() and t.numel()]
    if not seen:
        return None
    tensors = [t for _, t in seen]
    # the largest magnitude: infinite or NaN exactly if some number is, where a sum of squares could overflow
    sizes = torch._foreach_norm(tensors, math.inf)  # pyright: ignore[reportPrivateImportUsage]
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32
    values = torch.stack([s.to(dtype) for s in sizes]).tolist()
    return next((name for (name, _), v in zip(seen, values, strict=True) if not math.isfinite(v)), None)
