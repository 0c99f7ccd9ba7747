from __future__ import annotations

import pytest
import torch

import unroll

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch lets cuDNN round the factors of float32 products to 10 bits, if it is not told otherwise."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


LAYERS = {"lstm": unroll.LSTM, "gru": unroll.GRU, "rnn": unroll.RNN}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("given", ["equal", "lengths", "resets"])
@pytest.mark.parametrize("chosen", ["torch", "triton"])
def test_cuda_gives_the_numbers_of_the_definition_in_float64(
    name: str, dtype: torch.dtype, given: str, chosen: str
) -> None:
    if chosen == "triton" and dtype == torch.float64:
        pytest.skip("the GPU kernels have no float64")
    layer = LAYERS[name](5, 7, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(4, 9, 5)
    more = {"equal": {}, "lengths": {"lengths": [9, 0, 4, 1]}, "resets": {"resets": torch.rand(4, 9) < 0.2}}[given]
    results = []
    for device, kind, backend in (("cpu", torch.float64, "naive"), ("cuda", dtype, chosen)):
        own = LAYERS[name](5, 7, num_layers=2, bidirectional=True, batch_first=True, backend=backend)
        own.load_state_dict(layer.state_dict())
        own = own.to(device, kind)
        data = x.to(device, kind).requires_grad_()
        there = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in more.items()}
        y, state = own(data, **there)
        ends = state if isinstance(state, tuple) else (state,)
        (y.square().sum() + sum(s.sum() for s in ends)).backward()
        results.append([t.detach().double().cpu() for t in (y, *ends, data.grad, *(p.grad for p in own.parameters()))])
    for one, other in zip(*results, strict=True):
        scale = max(1.0, one.abs().max().item())
        assert (one - other).abs().max().item() <= (1e-10 if dtype == torch.float64 else 1e-4) * scale


@pytest.mark.parametrize("name", LAYERS)
def test_cuda_differentiates_twice(name: str) -> None:
    layer = LAYERS[name](3, 4).to("cuda", torch.float64)
    x = torch.randn(5, 2, 3, device="cuda", dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, lengths=[5, 3])[0], (x,), nondet_tol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("more", [{}, {"bias": False}, {"proj_size": 3}])
def test_weights_on_a_gpu_lie_in_one_block_for_each_direction(dtype: torch.dtype, more: dict) -> None:
    layer = unroll.LSTM(5, 7, num_layers=2, bidirectional=True, backend="torch", **more)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer = layer.to("cuda", dtype)
    assert len({p.untyped_storage().data_ptr() for p in layer.parameters()}) == 4
    for name, value in layer.state_dict().items():
        assert torch.equal(value.cpu(), before[name].to(dtype))
    layer(torch.randn(9, 4, 5, device="cuda", dtype=dtype))  # a warning would be an error: cuDNN copies nothing
    assert all(p.untyped_storage().nbytes() == p.nbytes for p in layer.cpu().parameters())


def test_weights_that_are_computed_or_shared_stay_where_they_are() -> None:
    layer = unroll.GRU(5, 7).cuda()
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    layer.flatten_parameters()
    assert layer(torch.randn(3, 2, 5, device="cuda"), lengths=[3, 1])[0].shape == (3, 2, 7)
