"""Calls for the compiled kernels, and what comes out of them."""

from __future__ import annotations

import torch

from helpers.recurrences import KINDS, weights
from unroll.ops.backends import BACKENDS
from unroll.ops.call import Call, Sizes
from unroll.ops.cpu import extension

F32, F64 = torch.float32, torch.float64
CPU = BACKENDS["cpu"]
SETS = extension.kernels.instruction_sets() if extension.kernels is not None else []


def make(name, T, B, D, H, dtype=F64, *, ragged=False, cut=False, back=False, bias=True, leaves=True, **more):
    """A call of random numbers; what stands in its padding is NaN."""
    recurrence, projected = KINDS[name].recurrence, KINDS[name].projected
    sizes = Sizes(D, H, max(1, H // 2) if projected else 0, bias)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype).requires_grad_(leaves)

    shapes = recurrence.state_shapes(sizes).values()
    made = weights(recurrence, sizes, leaves=leaves, dtype=dtype)
    x = draw(T, B, D)
    lengths = None
    if ragged:
        lengths = torch.randint(0, T + 1, (B,))
        padding = torch.arange(T).unsqueeze(1) >= lengths
        x = x.detach().masked_fill(padding.unsqueeze(2), float("nan")).requires_grad_(leaves)
    return Call(
        recurrence,
        x,
        tuple(draw(B, *shape) for shape in shapes),
        made,
        lengths,
        torch.rand(T, B) < 0.3 if cut else None,
        tuple(draw(*shape) for shape in shapes) if back else None,
        **more,
    )


def results(call, run, grads=None):
    """The outputs, the final state and the gradients of all that can have one."""
    y, state = run(call)
    leaves = [t for t in call.tensors if t is not None and t.requires_grad]
    if not leaves:
        return [y, *state]
    generator = torch.Generator().manual_seed(1)
    loss = torch.zeros((), dtype=y.dtype)
    for i, out in enumerate((y, *state)):
        weight = torch.randn(out.shape, generator=generator, dtype=out.dtype)
        if grads is None or i in grads:
            loss = loss + (out * weight).sum()
    if not loss.requires_grad:
        return [y, *state, *[None] * len(leaves)]
    return [y, *state, *torch.autograd.grad(loss, leaves, allow_unused=True)]


def run_cpu(call):
    assert CPU.refuse(call) is None
    return CPU.run(call)


def same(one, other):
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        assert (a is None) == (b is None), i
        assert a is None or torch.equal(a, b), f"result {i} differs by {(a - b).abs().max()}"
