from __future__ import annotations

import torch

from unroll.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling, Pooling

LENGTHS = torch.tensor([3, 0, 5, 1])


def example() -> torch.Tensor:
    y = torch.randn(4, 5, 6, dtype=torch.float64)
    for row, length in enumerate(LENGTHS.tolist()):
        y[row, length:] = float("nan")
    return y


def test_each_pooling_equals_its_definition_on_every_row_alone() -> None:
    y = example()
    attention = AttentionPooling(6).double()
    for row, length in enumerate(LENGTHS.tolist()):
        own = y[row, :length]
        zero = torch.zeros(6, dtype=torch.float64)
        mean = own.mean(0) if length else zero
        most = own.amax(0) if length else zero
        last = own[-1] if length else zero
        both = torch.cat([own[-1, :3], own[0, 3:]]) if length else zero
        u = torch.tanh(own @ attention.project.weight.T + attention.project.bias)
        a = (u @ attention.score.weight.T).softmax(0)
        attended = (a * own).sum(0)
        for pool, wanted in (
            (MeanPooling(), mean),
            (MaxPooling(), most),
            (LastPooling(), last),
            (LastPooling(directions=2), both),
            (attention, attended),
        ):
            torch.testing.assert_close(pool(y, LENGTHS)[row], wanted, rtol=0, atol=1e-12)


def test_attention_weights_sum_to_one_over_the_own_steps() -> None:
    weights = AttentionPooling(6).double().weights(example().nan_to_num(), LENGTHS)
    torch.testing.assert_close(weights.sum(1), (LENGTHS > 0).double())
    assert weights[0, 3:].tolist() == [0.0, 0.0]


def test_padding_has_no_gradient_and_never_makes_nan() -> None:
    y = example().requires_grad_()
    Pooling("last+mean+max+attention", 6).double()(y, LENGTHS).sum().backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
    for row, length in enumerate(LENGTHS.tolist()):
        assert y.grad[row, length:].abs().sum() == 0


def test_several_poolings_stand_side_by_side() -> None:
    y = example()
    pool = Pooling("mean+max", 6)
    assert pool.features == 12
    wanted = torch.cat([MeanPooling()(y, LENGTHS), MaxPooling()(y, LENGTHS)], 1)
    assert torch.equal(pool(y, LENGTHS), wanted)
