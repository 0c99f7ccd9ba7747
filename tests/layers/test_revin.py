from __future__ import annotations

from typing import get_args

import pytest
import torch

from unroll.layers.revin import Normalise, RevIN

B, T, K = 4, 7, 3


def series() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(B, T, K, dtype=torch.float64) * torch.tensor([1.0, 50.0, 0.01]) + torch.tensor(
        [0.0, -300.0, 7.0]
    )


@pytest.mark.parametrize("kind", get_args(Normalise))
def test_there_and_back(kind: Normalise) -> None:
    x = series()
    norm = RevIN(K, kind).double()
    for p in norm.parameters():
        torch.nn.init.normal_(p, mean=1.0, std=0.3)
    y, place = norm(x)
    torch.testing.assert_close(norm.inverse(y.unsqueeze(3), place).squeeze(3), x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(norm.again(x, place), y, rtol=0, atol=0)


def test_what_the_kinds_do() -> None:
    x = series()
    y, place = RevIN(K, "last")(x)
    assert torch.equal(y, x - x[:, -1:])
    assert torch.equal(place.location, x[:, -1:])
    y, _ = RevIN(K, "revin", eps=0.0).double()(x)
    torch.testing.assert_close(y.mean(1), torch.zeros(B, K, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(B, K, dtype=torch.float64), rtol=0, atol=1e-12)
    y, _ = RevIN(K, "none")(x)
    assert torch.equal(y, x)


def test_gain_and_bias_are_learnt_by_revin_alone() -> None:
    assert [n for n, _ in RevIN(K, "revin").named_parameters()] == ["gain", "bias"]
    assert not list(RevIN(K, "revin", affine=False).parameters())
    assert not list(RevIN(K, "last").parameters())


def test_widths_lose_the_location_and_stay_positive() -> None:
    x = series()
    norm = RevIN(K, "revin").double()
    with torch.no_grad():
        norm.gain.copy_(torch.tensor([2.0, -0.5, 1.0]))
    _, place = norm(x)
    widths = norm.inverse_scale(torch.ones(B, 2, K, 1, dtype=torch.float64), place)
    wanted = (place.scale / norm.gain.abs()).expand(B, 2, K)
    torch.testing.assert_close(widths.squeeze(3), wanted, rtol=1e-8, atol=0)


def test_a_constant_look_back_stays_finite() -> None:
    norm = RevIN(1, "revin")
    y, place = norm(torch.full((1, 5, 1), 3.0))
    assert not y.any()
    torch.testing.assert_close(norm.inverse(torch.zeros(1, 2, 1, 1), place), torch.full((1, 2, 1, 1), 3.0))
