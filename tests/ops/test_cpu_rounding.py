"""Rounding errors in float32 of the compiled kernels, beside those of PyTorch's."""

from __future__ import annotations

import pytest
import torch
from cpu_calls import SETS
from torch import nn

import unroll
from unroll.ops.cpu import extension

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing())),
]

MOST = 1.25
"""Times the error of `torch.nn`."""


def results(layer, x, gradient):
    x = x.detach().clone().requires_grad_()
    layer.zero_grad()
    y, _ = layer(x)
    y.backward(gradient)
    return {"y": y.detach(), "dx": x.grad, **{n: p.grad for n, p in layer.named_parameters()}}


@pytest.mark.parametrize("H", [64, 500])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_errors_are_at_most_those_of_pytorch(name, H):
    T, B = (60, 32) if H == 64 else (20, 16)
    theirs, exact = getattr(nn, name)(H, H), getattr(nn, name)(H, H).double()
    exact.load_state_dict(theirs.state_dict())
    ours = getattr(unroll, name)(H, H, backend="cpu")
    ours.load_state_dict(theirs.state_dict())
    x, gradient = torch.randn(T, B, H), torch.randn(T, B, H)
    wanted = results(exact, x.double(), gradient.double())

    def errors(layer):
        return {k: float((v - wanted[k]).square().mean().sqrt()) for k, v in results(layer, x, gradient).items()}

    reference = errors(theirs)
    for isa in SETS:
        extension.kernels.use(isa)
        for k, error in errors(ours).items():
            most = 1.5 if "bias" in k else MOST  # of so few numbers the mean scatters
            assert error <= most * reference[k], f"{isa}, {k}: {error / reference[k]:.2f} times the error of torch.nn"
