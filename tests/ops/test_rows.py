from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from unroll.ops import rows
from unroll.ops.cpu import packed
from unroll.ops.cpu.extension import kernels
from unroll.ops.lstm import LSTM

DTYPES = (torch.float32, torch.float64)
SETS = kernels.instruction_sets() if kernels is not None else [""]


@pytest.fixture(params=SETS)
def each_instruction_set(request: pytest.FixtureRequest) -> Iterator[None]:
    if kernels is None:
        pytest.skip("the compiled kernels are not here")
    before = kernels.instruction_set()
    kernels.use(request.param)
    yield
    kernels.use(before)


def close(found: Tensor, wanted: Tensor) -> None:
    bound = 1e-10 if found.dtype is torch.float64 else 1e-5
    assert float((found - wanted).abs().max()) <= bound * max(1.0, float(wanted.abs().max()))


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("K", "M"), [(1, 1), (7, 63), (100, 33), (63, 129), (200, 7)])
@torch.no_grad()
def test_a_linear_map_is_pytorchs_and_a_row_is_the_same_alone(dtype: torch.dtype, K: int, M: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(105, K, dtype=dtype), torch.randn(M, K, dtype=dtype), torch.randn(M, dtype=dtype)
    every = rows.linear(x, weight, bias)
    close(every, functional.linear(x, weight, bias))
    close(rows.RowLinear(weight, bias, tanh=True)(x), functional.linear(x, weight, bias).tanh())
    close(rows.linear(x.view(5, 21, K), weight), functional.linear(x.view(5, 21, K), weight))
    for some in (slice(0, 1), slice(3, 5), slice(50, 105), slice(104, 105)):
        assert torch.equal(rows.linear(x[some], weight, bias), every[some])
    assert torch.equal(rows.linear(x[::7], weight, bias), every[::7])
    assert rows.linear(x[:0], weight, bias).shape == (0, M)


def test_a_linear_map_has_gradients() -> None:
    x, weight = torch.randn(4, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    rows.linear(x, weight).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weight.detach().sum(0).expand(4, 3))


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("M", "k"), [(1, 1), (5, 5), (63, 4), (1000, 1), (1001, 9)])
def test_the_largest_are_those_of_a_stable_sort(dtype: torch.dtype, M: int, k: int) -> None:
    torch.manual_seed(0)
    x = torch.randint(-40, 40, (33, M)).to(dtype)  # many are equal
    with torch.no_grad():
        values, places = rows.top(x, k)
    wanted, order = x.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, wanted[:, :k])
    assert torch.equal(places, order[:, :k])


@torch.no_grad()
def test_nan_is_never_among_the_largest() -> None:
    x = torch.tensor([[1.0, math.nan, 3.0, -math.inf, 2.0]])
    values, places = rows.top(x, 4)
    assert values.tolist() == [[3.0, 2.0, 1.0, -math.inf]]
    assert places[0, :3].tolist() == [2, 4, 0]


def attended(
    query: Tensor, keys: Tensor, values: Tensor, owner: Tensor, lengths: Tensor, scale: float, v: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The definition, row by row."""
    contexts, weights = torch.zeros(len(query), values.shape[2]), torch.zeros(len(query), keys.shape[1])
    contexts, weights = contexts.to(query.dtype), weights.to(query.dtype)
    for i, b in enumerate(owner.tolist()):
        n = int(lengths[b])
        k = keys[b, :n]
        scores = (k @ query[i] if v is None else torch.tanh(query[i] + k) @ v) * scale
        if n:
            weights[i, :n] = scores.softmax(0)
            contexts[i] = weights[i, :n] @ values[b, :n]
    return contexts, weights


@pytest.mark.usefixtures("each_instruction_set")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("additive", [True, False])
@pytest.mark.parametrize(("A", "E"), [(1, 1), (7, 63), (64, 100)])
@torch.no_grad()
def test_attention_is_its_definition_and_a_row_is_the_same_alone(
    dtype: torch.dtype, additive: bool, A: int, E: int
) -> None:
    torch.manual_seed(0)
    lengths, owner = torch.tensor([9, 0, 4, 1]), torch.tensor([0, 0, 3, 2, 1, 0, 2, 2])
    keys, values = torch.randn(4, 9, A, dtype=dtype), torch.randn(4, 9, E, dtype=dtype)
    for b, n in enumerate(lengths.tolist()):
        keys[b, n:], values[b, n:] = math.nan, math.nan  # what stands in the padding has no effect
    query = torch.randn(8, A, dtype=dtype)
    v = torch.randn(A, dtype=dtype) if additive else None
    context, weights = packed.attend(query, keys, values, owner, lengths, v=v, scale=0.7)
    for found, wanted in zip((context, weights), attended(query, keys, values, owner, lengths, 0.7, v), strict=True):
        close(found, wanted)
    for i in (0, 3, 7):
        b = int(owner[i])
        short = max(1, int(lengths[b]))
        alone = packed.attend(
            query[i : i + 1],
            keys[b : b + 1, :short],
            values[b : b + 1, :short],
            owner[:1] * 0,
            lengths[b : b + 1],
            v=v,
            scale=0.7,
        )
        assert torch.equal(alone[0][0], context[i])
        assert torch.equal(alone[1][0], weights[i, :short])


@pytest.mark.usefixtures("each_instruction_set")
@torch.no_grad()
def test_heads_stand_side_by_side() -> None:
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 10), torch.randn(2, 4, 10), torch.randn(2, 4, 6)
    owner, lengths = torch.tensor([1, 0, 1]), torch.tensor([4, 3])
    context, weights = packed.attend(query, keys, values, owner, lengths, heads=2)
    halves = [
        packed.attend(q.contiguous(), k.contiguous(), m.contiguous(), owner, lengths)
        for q, k, m in zip(query.chunk(2, 1), keys.chunk(2, 2), values.chunk(2, 2), strict=True)
    ]
    torch.testing.assert_close(context, torch.cat([c for c, _ in halves], 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights, (halves[0][1] + halves[1][1]) / 2, rtol=0, atol=1e-7)


@pytest.mark.skipif(kernels is None, reason="the compiled kernels are not here")
@torch.no_grad()
def test_packed_weights_give_the_step_of_the_definition() -> None:
    torch.manual_seed(0)
    shapes = {"weight_ih": (28, 5), "weight_hh": (28, 7), "bias_ih": (28,), "bias_hh": (28,)}
    weights = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    x, state = torch.randn(9, 5, dtype=torch.float64), tuple(torch.randn(2, 9, 7, dtype=torch.float64))
    step = packed.PackedStep(LSTM, weights)
    after = step(x, state)
    for found, wanted in zip(after, LSTM.step(x, state, weights).state, strict=True):
        close(found, wanted)
    for i in range(9):
        alone = step(x[i : i + 1], tuple(s[i : i + 1] for s in state))
        assert all(torch.equal(a[0], b[i]) for a, b in zip(alone, after, strict=True))


def test_the_mean_over_a_rows_steps_does_not_depend_on_the_padding() -> None:
    torch.manual_seed(0)
    x, lengths = torch.randn(3, 30, 4), torch.tensor([30, 0, 11])
    found = rows.mean(x, lengths)
    torch.testing.assert_close(found[2], x[2, :11].mean(0), rtol=0, atol=1e-6)
    assert not found[1].any()
    assert torch.equal(rows.mean(x[2:, :11], lengths[2:])[0], found[2])
