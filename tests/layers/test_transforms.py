"""What else PyTorch does with a module: transforms, compilation, autocast, copies, parametrizations."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacfwd, jacrev, vmap
from torch.nn.utils import parametrize

from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN

T, B, D, H = 4, 3, 2, 3
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
every_class = pytest.mark.parametrize("cls", [RNN, GRU, LSTM])


@every_class
def test_gradient_of_each_row(close, cls):
    module = cls(D, H, bidirectional=True, dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64)
    lengths = torch.tensor([2, 4, 1])
    parameters = dict(module.named_parameters())

    def loss(parameters, row, length):
        y, _ = functional_call(module, parameters, (row.unsqueeze(1),), {"lengths": length.unsqueeze(0)})
        return y.square().sum()

    each = vmap(grad(loss), (None, 1, 0))(parameters, x, lengths)
    assert module.used[0].backend == "naive"
    assert "torch.func" in module.used[0].passed_over["torch"]
    for b in range(B):
        y, _ = module(x[:, b : b + 1], lengths=lengths[b : b + 1])
        wanted = torch.autograd.grad(y.square().sum(), list(parameters.values()))
        close([each[n][b] for n in parameters], wanted)


@every_class
def test_jacobians_agree(close, cls):
    module = cls(D, H, dtype=torch.float64)
    x = torch.randn(T, D, dtype=torch.float64)
    forward, reverse = (jac(lambda v: module(v)[0])(x) for jac in (jacfwd, jacrev))
    close(forward, reverse)
    close(torch.autograd.functional.jacobian(lambda v: module(v)[0], x), reverse)


def test_forward_mode(close):
    module = GRU(D, H, dtype=torch.float64)
    x, v = torch.randn(2, T, B, D, dtype=torch.float64)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, v)
        tangent = torch.autograd.forward_ad.unpack_dual(module(dual)[0]).tangent
    assert "forward-mode" in module.used[0].passed_over["torch"]
    _, wanted = torch.autograd.functional.jvp(lambda u: module(u)[0], x, v)
    close(tangent, wanted)


@every_class
@pytest.mark.parametrize("ragged", [False, True])
def test_compiles_whole(close, cls, ragged):
    module = cls(D, H, num_layers=2, bidirectional=True)
    x = torch.randn(T, B, D)
    call = {"lengths": torch.tensor([2, 4, 0]), "resets": torch.rand(B, T) < 0.4} if ragged else {}
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    close(compiled(x, **call), module(x, **call))


def test_exports():
    module = LSTM(D, H, batch_first=True).eval()
    x = torch.randn(B, T, D)
    program = torch.export.export(module, (x,), strict=False)
    torch.testing.assert_close(program.module()(x)[0], module(x)[0])


@every_class
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("backend", ["naive", "torch"])
def test_autocast(cls, backend, ragged):
    module = cls(D, H, num_layers=2, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    call = {"lengths": [2, 4, 0], "resets": torch.rand(B, T) < 0.4} if ragged else {}
    y, _ = module(x, **call)
    wanted = torch.autograd.grad(y.sum(), [x, *module.parameters()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low, _ = module(x, **call)
    torch.testing.assert_close(low.float(), y, atol=0.02, rtol=0.02)
    found = torch.autograd.grad(low.float().sum(), [x, *module.parameters()])
    assert [g.dtype for g in found] == [torch.float32] * len(found)
    for f, w in zip(found, wanted, strict=True):
        torch.testing.assert_close(f, w, atol=0.05 * max(1.0, float(w.abs().max())), rtol=0)


@every_class
def test_half_precision_weights(close, cls):
    module = cls(D, H).to(torch.bfloat16)
    x = torch.randn(T, B, D, dtype=torch.bfloat16).requires_grad_()
    y, _ = module(x, lengths=[2, 4, 1])
    y.sum().backward()
    other = copy.deepcopy(module).to(torch.float64)
    close(y, other(x.double(), lengths=[2, 4, 1])[0].to(torch.bfloat16))


@every_class
def test_copies(close, cls):
    module = cls(D, H, num_layers=2, learn_initial_state=True, layer_norm=True)
    x = torch.randn(T, B, D)
    wanted = module(x)
    for other in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):  # noqa: S301  # our own bytes
        close(other(x), wanted)
        assert repr(other) == repr(module)


def test_tied_and_parametrized_weights(close):
    module = GRU(D, H, bidirectional=True)
    module.bias_ih_l0_reverse = module.bias_ih_l0
    x = torch.randn(T, B, D)
    plain = nn.GRU(D, H, bidirectional=True)
    plain.load_state_dict(module.state_dict())
    close(module(x), plain(x))
    assert len(list(module.parameters())) == 7

    class Half(nn.Module):
        def forward(self, w):
            return w / 2

    parametrize.register_parametrization(module, "weight_hh_l0", Half())
    with torch.no_grad():
        plain.weight_hh_l0.div_(2)
    close(module(x), plain(x))
    module(x)[0].sum().backward()
    assert module.parametrizations.weight_hh_l0.original.grad is not None


def test_inference_mode(close):
    module = LSTM(D, H)
    x = torch.randn(T, B, D)
    with torch.inference_mode():
        y, _ = module(x, lengths=[2, 4, 1])
    close(y.clone(), module(x, lengths=[2, 4, 1])[0].detach())
