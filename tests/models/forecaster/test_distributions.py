from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from unroll.errors import OptionError
from unroll.layers.revin import LocScale
from unroll.models.forecaster.distributions import (
    NegativeBinomial,
    Normal,
    Output,
    Point,
    Quantiles,
    StudentT,
    make_output,
)

N, F, K = 4, 3, 2
LEVELS = (0.05, 0.5, 0.9)


def place(location: float = 0.0, scale: float = 1.0) -> LocScale:
    return LocScale(torch.full((N, 1, K), location).double(), torch.full((N, 1, K), scale).double())


def parameters(output: Output, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    raw = torch.randn(N, F, K, output.size, dtype=torch.float64)
    return output.parameters(raw, lambda v: v, lambda s: s)


def target(seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(N, F, K, dtype=torch.float64)


def test_normal_is_scipys() -> None:
    output = Normal()
    p, t = parameters(output), target()
    mean, spread = p.unbind(-1)
    law = stats.norm(mean.numpy(), spread.numpy())
    np.testing.assert_allclose(output.loss(p, t, place()).numpy(), -law.logpdf(t.numpy()), atol=1e-12)
    closed = 0.5 * ((t - mean) / spread) ** 2 + spread.log() + 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(output.loss(p, t, place()).numpy(), closed.numpy(), atol=1e-12)
    for i, level in enumerate(LEVELS):
        np.testing.assert_allclose(output.quantiles(p, LEVELS, place())[..., i].numpy(), law.ppf(level), atol=1e-10)


def test_student_t_is_scipys() -> None:
    output = StudentT()
    p, t = parameters(output), target()
    mean, spread, freedom = p.numpy().transpose(3, 0, 1, 2)
    assert freedom.min() > 2
    law = stats.t(freedom, mean, spread)
    np.testing.assert_allclose(output.loss(p, t, place()).numpy(), -law.logpdf(t.numpy()), atol=1e-12)
    for i, level in enumerate(LEVELS):
        np.testing.assert_allclose(output.quantiles(p, LEVELS, place())[..., i].numpy(), law.ppf(level), rtol=1e-9)


def test_negative_binomial_is_scipys_in_the_datas_own_units() -> None:
    output, units = NegativeBinomial(), place(location=20.0, scale=8.0)
    p = parameters(output)
    counts = torch.randint(0, 60, (N, F, K)).double()
    scaled = (counts - 20.0) / 8.0
    m, alpha = p.numpy().transpose(3, 0, 1, 2)
    mean = 8.0 * np.log1p(np.exp(m + 20.0 / 8.0))
    law = stats.nbinom(1 / alpha, 1 / (1 + alpha * mean))
    np.testing.assert_allclose(law.mean(), mean, rtol=1e-10)
    np.testing.assert_allclose(law.var(), mean + alpha * mean**2, rtol=1e-10)
    np.testing.assert_allclose(output.loss(p, scaled, units).numpy(), -law.logpmf(counts.numpy()), rtol=1e-9)
    np.testing.assert_allclose(output.point(p, units).numpy() * 8 + 20, mean, rtol=1e-12)
    for i, level in enumerate(LEVELS):
        found = output.quantiles(p, LEVELS, units)[..., i].numpy() * 8 + 20
        np.testing.assert_allclose(found, law.ppf(level), atol=1e-9)


@pytest.mark.parametrize("output", [Normal(), StudentT(), NegativeBinomial(), Quantiles((0.1, 0.3, 0.5, 0.8, 0.9))])
def test_draws_follow_the_quantiles(output: Output) -> None:
    units = place(location=20.0, scale=8.0)
    p = parameters(output)[:1, :1, :1]
    one = LocScale(units.location[:1, :, :1], units.scale[:1, :, :1])
    torch.manual_seed(3)
    many = output.sample(p.expand(20000, -1, -1, -1), one).flatten()
    for level, value in zip((0.1, 0.5, 0.9), output.quantiles(p, (0.1, 0.5, 0.9), one).flatten(), strict=True):
        # of a count, the share below and the share up to it stand on either side of the level
        low, high = (many < value - 1e-6).double().mean(), (many <= value + 1e-6).double().mean()
        assert low - 0.015 <= level <= high + 0.015


def test_pinball() -> None:
    output = Quantiles((0.2, 0.5))
    p = torch.tensor([[1.0, 3.0]])
    assert output.loss(p, torch.tensor([2.0]), place()).item() == pytest.approx((0.2 * 1.0 + 0.5 * 1.0) / 2)
    assert output.loss(p, torch.tensor([0.0]), place()).item() == pytest.approx((0.8 * 1.0 + 0.5 * 3.0) / 2)


def test_crossed_quantiles_are_put_in_order_and_that_never_costs() -> None:
    output = Quantiles((0.1, 0.5, 0.9))
    crossed = torch.tensor([3.0, 1.0, 2.0]).double()
    found = output.quantiles(crossed, (0.1, 0.5, 0.9), place())
    assert found.tolist() == [1.0, 2.0, 3.0]
    assert output.point(crossed, place()).item() == 2.0
    torch.manual_seed(0)
    many, truth = torch.randn(500, 3).double(), torch.randn(500).double()
    in_order = output.quantiles(many, output.levels, place())
    assert bool((in_order.diff(dim=-1) >= 0).all())
    assert bool((output.loss(in_order, truth, place()) <= output.loss(many, truth, place()) + 1e-12).all())


def test_levels_between_the_trained_ones_are_interpolated() -> None:
    output = Quantiles((0.1, 0.5, 0.9))
    p = torch.tensor([0.0, 4.0, 5.0]).double()
    found = output.quantiles(p, (0.01, 0.1, 0.2, 0.5, 0.7, 0.9, 0.99), place())
    below, above = 4 * np.log(0.1) / np.log(5), np.log(0.1) / np.log(0.2)
    np.testing.assert_allclose(found.numpy(), [below, 0, 1, 4, 4.5, 5, 5 + above], rtol=1e-6, atol=1e-12)
    assert Quantiles((0.5,)).quantiles(p[:1], (0.1, 0.5), place()).tolist() == [0.0, 0.0]


def test_point_losses() -> None:
    p, t = torch.tensor([[3.0]]), torch.tensor([1.0])
    for loss, wanted in (("mse", 4.0), ("mae", 2.0), ("huber", 1.5)):
        output = make_output("point", (0.5,), loss)
        assert output.loss(p, t, place()).item() == wanted
        assert output.point(p, place()).item() == 3.0
    with pytest.raises(OptionError, match="has no intervals"):
        Point().quantiles(p, (0.5,), place())
    with pytest.raises(OptionError, match="has no sample paths"):
        Point().sample(p, place())


@pytest.mark.parametrize("kind", ["quantile", "normal", "student_t", "negative_binomial"])
def test_the_normalisation_moves_values_and_stretches_widths(kind: str) -> None:
    output = make_output(kind, (0.1, 0.5, 0.9), "mse")
    raw = torch.randn(N, F, K, output.size).double()
    plain = output.parameters(raw, lambda v: v, lambda s: s)
    moved = output.parameters(raw, lambda v: 2 * v + 5, lambda s: 2 * s)
    if kind == "negative_binomial":
        torch.testing.assert_close(moved[..., 0], 2 * plain[..., 0] + 5)
        torch.testing.assert_close(moved[..., 1], plain[..., 1])
    else:
        at = output.quantiles(plain, LEVELS, place())
        torch.testing.assert_close(output.quantiles(moved, LEVELS, place()), 2 * at + 5, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["point", "quantile", "normal", "student_t", "negative_binomial"])
def test_losses_and_gradients_are_finite_far_out(kind: str) -> None:
    output = make_output(kind, (0.1, 0.5, 0.9), "mse")
    raw = torch.tensor([-60.0, 0.0, 60.0])[:, None].repeat(1, output.size)
    raw.requires_grad_()
    units = LocScale(torch.zeros(3), torch.ones(3))
    p = output.parameters(raw, lambda v: v, lambda s: s)
    loss = output.loss(p, torch.tensor([3.0, 0.0, 9.0]), units).sum()
    loss.backward()
    assert loss.isfinite()
    assert raw.grad is not None
    assert bool(raw.grad.isfinite().all())
