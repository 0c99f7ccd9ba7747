"""Cross-entropy of a softmax over many classes, with its linear map: less memory and fewer passes than apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, log_softmax

from unroll.ops.cpu.extension import kernels
from unroll.ops.torch_state import autocasting, graph_is_kept, in_memory, plain, transformed


def linear_cross_entropy(
    h: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute -log softmax(h W^T + b)_target, and the same with label smoothing.

    The second is (1 - smoothing) of the first + smoothing times the mean over all classes of -log p. By the compiled
    kernels the scores are read once, and once more for the gradient, which takes their place. Differentiable any
    number of times: a gradient of the gradient is PyTorch's.

    Args:
        h: (N, E).
        target: (N,) int64, from 0 to V - 1.
        weight: W (V, E).
        bias: b (V,), if there is one.
        smoothing: from 0 to 1.
    """
    given = [t for t in (h, weight, bias) if t is not None]
    dtype = h.dtype
    fits = all(t.is_cpu and t.dtype is dtype and plain(t) and in_memory(t) for t in given) and plain(target)
    usual = kernels is not None and dtype in (torch.float32, torch.float64) and target.dtype is torch.int64
    if not fits or not usual or transformed() is not None or autocasting() or not len(h):
        return _defined(h, target, weight, bias, smoothing)
    if len(weight) <= int(target.max()) or int(target.min()) < 0:
        raise IndexError(f"a target is out of bounds: it must be from 0 to {len(weight) - 1}")
    return _LinearCrossEntropy.apply(h, target.contiguous(), weight, bias, smoothing)  # type: ignore[return-value]


def _defined(h: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None, smoothing: float) -> tuple[Tensor, Tensor]:
    # Not cross_entropy, which silently ignores a target of -100.
    log_p = log_softmax(linear(h, weight, bias), -1)
    nll = -log_p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return nll, (1 - smoothing) * nll - smoothing * log_p.mean(-1) if smoothing else nll


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        scores = linear(h, weight, bias)
        nll, smoothed, log_total = (scores.new_empty(len(h)) for _ in range(3))
        kernels.cross_entropy(
            *_sizes(scores),
            smoothing,
            scores.data_ptr(),
            target.data_ptr(),
            nll.data_ptr(),
            smoothed.data_ptr(),
            log_total.data_ptr(),
        )
        kept = (scores, log_total) if any(ctx.needs_input_grad) else ()
        ctx.save_for_backward(h, target, weight, bias, *kept)
        ctx.smoothing = smoothing
        return nll, smoothed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        h, target, weight, bias, scores, log_total = ctx.saved_tensors
        needed = ctx.needs_input_grad
        inside = all(g is None or (plain(g) and in_memory(g)) for g in grads)
        if torch.is_grad_enabled() or transformed() is not None or not inside:
            return _again(ctx, (h, target, weight, bias), grads)
        d_nll, d_smoothed = (None if g is None else g.contiguous() for g in grads)
        gradient = torch.empty_like(scores) if graph_is_kept() else scores
        kernels.cross_entropy_backward(
            *_sizes(scores),
            ctx.smoothing,
            scores.data_ptr(),
            target.data_ptr(),
            log_total.data_ptr(),
            0 if d_nll is None else d_nll.data_ptr(),
            0 if d_smoothed is None else d_smoothed.data_ptr(),
            gradient.data_ptr(),
        )
        d_h = gradient @ weight if needed[0] else None
        d_weight = gradient.t() @ h if needed[2] else None
        return d_h, None, d_weight, gradient.sum(0) if needed[3] else None, None


def _again(ctx: Any, saved: tuple[Any, ...], grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """The gradient by PyTorch's own operations, which can be differentiated."""
    create = torch.is_grad_enabled()
    with torch.enable_grad():
        h, target, weight, bias = (None if t is None else t.view_as(t) for t in saved)
        outputs = _defined(h, target, weight, bias, ctx.smoothing)  # type: ignore[arg-type]
        inputs = (h, None, weight, bias, None)
        wanted = [t for t, needed in zip(inputs, ctx.needs_input_grad, strict=True) if needed and t is not None]
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if g is not None]
        if not pairs:
            return (None,) * len(inputs)
        given = [o for o, _ in pairs], wanted, [g for _, g in pairs]
        found = iter(torch.autograd.grad(*given, create_graph=create))
    return tuple(next(found) if any(t is w for w in wanted) else None for t in inputs)


def _sizes(scores: Tensor) -> tuple[bool, int, int, int]:
    rows, classes = scores.shape
    return scores.dtype is torch.float64, torch.get_num_threads(), rows, classes
