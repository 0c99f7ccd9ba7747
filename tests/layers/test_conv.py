from __future__ import annotations

import pytest
import torch
from torch import nn

from unroll.layers.conv import ConvFrontEnd


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("kernels", [(1,), (2,), (3, 4, 5)])
def test_a_row_in_a_batch_equals_the_row_alone_without_padding(pool: int, kernels: tuple[int, ...]) -> None:
    front = ConvFrontEnd(4, 5, kernels, "tanh", pool).double()
    lengths = torch.tensor([7, 1, 0, 4])
    x = torch.full((4, 7, 4), float("nan"), dtype=torch.float64)
    for row, length in enumerate(lengths.tolist()):
        x[row, :length] = torch.randn(length, 4, dtype=torch.float64)
    y, after = front(x, lengths)
    assert after.tolist() == [-(-n // pool) for n in lengths.tolist()]
    assert y.shape == (4, -(-7 // pool), front.features)
    for row, length in enumerate(lengths.tolist()):
        assert y[row, after[row] :].abs().sum() == 0
        if length:
            alone, _ = front(x[row : row + 1, :length], lengths[row : row + 1])
            torch.testing.assert_close(y[row, : after[row]], alone[0], rtol=0, atol=1e-12)


def test_equals_a_plain_convolution_and_pooling_on_full_rows() -> None:
    front = ConvFrontEnd(3, 2, (3,), "relu", 2).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    plain = nn.functional.conv1d(x.transpose(1, 2), front.convs[0].weight, front.convs[0].bias, padding=1).relu()
    wanted = nn.functional.max_pool1d(plain, 2).transpose(1, 2)
    torch.testing.assert_close(front(x, torch.tensor([6, 6]))[0], wanted)


def test_a_partly_filled_last_window_takes_the_maximum_of_the_own_steps_only() -> None:
    front = ConvFrontEnd(1, 1, (1,), "tanh", 2).double()
    with torch.no_grad():
        front.convs[0].weight.fill_(1.0)
        front.convs[0].bias.zero_()
    x = torch.tensor([[[-1.0], [-2.0], [-3.0], [9.0]]], dtype=torch.float64)
    y, lengths = front(x, torch.tensor([3]))
    assert lengths.tolist() == [2]
    torch.testing.assert_close(y[0, :, 0], torch.tanh(torch.tensor([-1.0, -3.0], dtype=torch.float64)))


def test_padding_gets_no_gradient() -> None:
    front = ConvFrontEnd(2, 3, (3,), "relu", 2)
    x = torch.randn(1, 5, 2, requires_grad=True)
    front(x, torch.tensor([3]))[0].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 3:].abs().sum() == 0
    assert x.grad[0, :3].abs().sum() > 0
