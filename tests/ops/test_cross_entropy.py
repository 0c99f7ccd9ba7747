from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import linear

from unroll.ops.cpu.extension import kernels
from unroll.ops.cross_entropy import linear_cross_entropy

SETS = kernels.instruction_sets() if kernels is not None else [""]


@pytest.fixture(params=SETS)
def each_instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    if kernels is None:
        pytest.skip("the compiled kernels are not here")
    before = kernels.instruction_set()
    kernels.use(request.param)
    yield
    kernels.use(before)


def wanted(scores: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    log_p = scores.log_softmax(1)
    nll = -log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return nll, (1 - smoothing) * nll - smoothing * log_p.mean(1)


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [1, 7, 63, 1024, 1025, 5003])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_values_and_gradients_are_the_definitions(dtype: torch.dtype, classes: int, smoothing: float) -> None:
    torch.manual_seed(0)
    h = (3 * torch.randn(9, 5, dtype=dtype)).requires_grad_()
    weight, bias = torch.randn(classes, 5, dtype=dtype).requires_grad_(), torch.randn(classes, dtype=dtype)
    bias.requires_grad_()
    target = torch.randint(classes, (9,))
    factors = torch.randn(2, 9, dtype=dtype)
    bound = 1e-10 if dtype is torch.float64 else 1e-5
    found, want = (
        linear_cross_entropy(h, target, weight, bias, smoothing),
        wanted(linear(h, weight, bias), target, smoothing),
    )
    for a, b in zip(found, want, strict=True):
        assert float((a - b).detach().abs().max()) <= bound * max(1.0, float(b.detach().abs().max()))
    ours, theirs = (
        torch.autograd.grad((factors[0] * nll + factors[1] * loss).sum(), (h, weight, bias))
        for nll, loss in (found, want)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).abs().max()) <= bound * max(1.0, float(b.abs().max()))


def test_the_second_derivative_is_exact() -> None:
    torch.manual_seed(0)
    h, weight, bias = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((4, 3), (6, 3), (6,)))
    target = torch.tensor([0, 5, 2, 2])

    def function(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return linear_cross_entropy(tensors[0], target, tensors[1], tensors[2], 0.2)

    assert gradcheck(function, (h, weight, bias))
    assert gradgradcheck(function, (h, weight, bias))


def test_the_gradient_can_be_taken_twice() -> None:
    torch.manual_seed(0)
    h = torch.randn(4, 3, requires_grad=True)
    weight = torch.randn(6, 3, requires_grad=True)
    nll, _ = linear_cross_entropy(h, torch.tensor([0, 5, 2, 2]), weight, None)
    first = torch.autograd.grad(nll.sum(), (h, weight), retain_graph=True)
    second = torch.autograd.grad(nll.sum(), (h, weight))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@torch.no_grad()
def test_extremes() -> None:
    identity = torch.eye(3)
    h = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0], [-1e4, -1e4, 0.0]])
    nll, _ = linear_cross_entropy(h, torch.tensor([1, 2, 2]), identity, None)
    torch.testing.assert_close(nll, torch.tensor([1e4, 1.0986123, 0.0]))
    nll, _ = linear_cross_entropy(torch.full((1, 3), torch.nan), torch.tensor([0]), identity, None)
    assert bool(nll.isnan().all())
    with pytest.raises(IndexError, match="out of bounds: it must be from 0 to 2"):
        linear_cross_entropy(torch.zeros(1, 3), torch.tensor([3]), identity, None)
