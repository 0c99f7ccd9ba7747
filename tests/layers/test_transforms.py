"""What else PyTorch does with a module: transforms, compilation, autocast, copies, parametrizations."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch._dynamo import lookup_backend
from torch.func import functional_call, grad, jacfwd, jacrev, vmap
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from helpers.recurrences import every_class
from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN
from unroll.ops.cpu.extension import missing

T, B, D, H = 4, 3, 2, 3
pytestmark = [pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated"), pytest.mark.slow]
needs_kernels = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def compiler():
    """Nothing compiled before, which would count against the limit of recompilations."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


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
    assert missing() or "torch.func" in module.used[0].passed_over["cpu"]
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
@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_compiles_whole(compiler, close, cls, ragged, backend):
    module = cls(D, H, num_layers=2, bidirectional=True, backend=backend)
    x = torch.randn(T, B, D)
    call = {"lengths": torch.tensor([2, 4, 0]), "resets": torch.rand(B, T) < 0.4} if ragged else {}
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    close(compiled(x, **call), module(x, **call))


def gradients(module, x, **call):
    y, state = module(x, **call)
    ends = state if isinstance(state, tuple) else (state,)
    loss = y.square().sum() + sum(s.sum() for s in ends)
    inputs = [x, *(p for p in module.parameters() if p.requires_grad)]
    return [y, *ends, *torch.autograd.grad(loss, inputs)]


MAKERS = {
    "relu": lambda **o: RNN(D, H, nonlinearity="relu", **o),
    "gru": lambda **o: GRU(D, H, reset_after=False, bidirectional=True, batch_first=True, **o),
    "lstm": lambda **o: LSTM(D, H, num_layers=2, learn_initial_state=True, **o),
    "projected": lambda **o: LSTM(D, H, proj_size=2, bidirectional=True, **o),
}


@needs_kernels
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", MAKERS)
def test_one_compilation_serves_every_number_of_rows_and_steps(compiler, close, name, recompute):
    module = MAKERS[name](recompute=recompute)
    inner, graphs = lookup_backend("eager" if recompute else "aot_eager"), []

    def compile_(graph, inputs):
        graphs.append([str(n.target) for n in graph.graph.nodes])
        return inner(graph, inputs)

    compiled = torch.compile(module, fullgraph=True, dynamic=True, backend=compile_)
    counts = []
    for steps, rows in ((5, 7), (9, 8), (4, 9), (40, 5)):
        x = torch.randn(*((rows, steps) if module.batch_first else (steps, rows)), D).requires_grad_()
        call = {"lengths": torch.randint(0, steps + 1, (rows,)), "resets": torch.rand(rows, steps) < 0.3}
        close(gradients(compiled, x, **call), gradients(module, x, **call))
        assert module.used[0].backend == "cpu"
        counts.append(len(graphs))
    assert counts == counts[:1] * 4
    layers = module.num_layers * (1 + module.bidirectional)
    assert graphs[0].count("unroll.cpu_forward.default") == layers
    assert len(graphs[0]) < 60 + 30 * layers


@needs_kernels
@torch._functorch.config.patch(donated_buffer=False)  # else PyTorch itself refuses a second backward pass
def test_a_compiled_module_differentiates_again_and_twice(compiler, close):
    module = LSTM(D, H)
    x = torch.randn(T, B, D).requires_grad_()
    wanted = gradients(module, x)
    for backend in ("aot_eager", "eager"):
        y, (h, c) = torch.compile(module, fullgraph=True, backend=backend)(x)
        loss = y.square().sum() + h.sum() + c.sum()
        for _ in range(2):
            close(torch.autograd.grad(loss, [x, *module.parameters()], retain_graph=True), wanted[3:])
    found = []
    for run in (module, torch.compile(module, fullgraph=True, backend="eager")):
        (g,) = torch.autograd.grad(run(x)[0].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(g.square().sum(), [x, module.weight_hh_l0]))
    close(*found)


@needs_kernels
@pytest.mark.parametrize("strict", [False, True])
def test_exports_for_any_number_of_rows_and_steps(close, strict):
    module = LSTM(D, H, num_layers=2, batch_first=True, bidirectional=True).eval()
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = {"input": any_size, "lengths": {0: torch.export.Dim.DYNAMIC}}
    given = {"lengths": torch.tensor([3, 9, 0, 5, 1])}
    program = torch.export.export(module, (torch.randn(5, 9, D),), given, dynamic_shapes=shapes, strict=strict)
    targets = [str(n.target) for n in program.graph.nodes]
    assert targets.count("unroll.cpu_forward.default") == 4
    back = io.BytesIO()
    torch.export.save(program, back)
    back.seek(0)
    loaded = torch.export.load(back).module()
    for rows, steps in ((2, 3), (7, 20)):
        x = torch.randn(rows, steps, D)
        lengths = torch.randint(0, steps + 1, (rows,))
        close(loaded(x, lengths=lengths), module(x, lengths=lengths))
    x.requires_grad_()
    found, wanted = (torch.autograd.grad(m(x, lengths=lengths)[0].sum(), x) for m in (loaded, module))
    close(found, wanted)
    with pytest.raises(OptionError, match="from 0 to 20"):
        loaded(x, lengths=lengths + 21)


def test_the_definition_is_compiled_where_the_kernels_cannot_serve(compiler, close):
    module = GRU(D, H, recurrent_dropout=0.5)
    targets = []

    def look(graph, _):
        targets.extend(str(n.target) for n in graph.graph.nodes)
        return graph.forward

    torch.compile(module, fullgraph=True, backend=look)(torch.randn(T, B, D))
    other = LSTM(D, H)
    x = torch.randn(B, T, D)
    run = torch.compile(vmap(lambda row: other(row)[0]), fullgraph=True, backend=look)
    close(run(x), other(x.transpose(0, 1))[0].transpose(0, 1))
    assert targets
    assert not any("cpu_forward" in t for t in targets)


def test_what_goes_to_onnx_is_of_pytorchs_operators(monkeypatch):
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    program = torch.export.export(LSTM(D, H).eval(), (torch.randn(T, B, D),), strict=False)
    assert not any("unroll" in str(n.target) for n in program.graph.nodes)


def test_a_dispatch_mode_gets_the_definition(close):
    module, x = GRU(D, H), torch.randn(T, B, D)
    wanted = module(x)
    with FlopCounterMode(display=False) as counter:
        close(module(x), wanted)
    assert counter.get_total_flops() == 2 * T * B * (D + H) * 3 * H
    assert "a dispatch mode" in module.used[0].passed_over["torch"]


@needs_kernels
def test_exports_resets(close):
    module = GRU(D, H, batch_first=True, reset_after=False).eval()
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    given = {"resets": torch.rand(5, 9) < 0.3}
    program = torch.export.export(
        module, (torch.randn(5, 9, D),), given, dynamic_shapes={"input": sizes, "resets": sizes}, strict=False
    )
    x, resets = torch.randn(3, 20, D), torch.rand(3, 20) < 0.3
    close(program.module()(x, resets=resets), module(x, resets=resets))


def test_exports():
    module = LSTM(D, H, batch_first=True).eval()
    x = torch.randn(B, T, D)
    program = torch.export.export(module, (x,), strict=False)
    torch.testing.assert_close(program.module()(x)[0], module(x)[0])


@every_class
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("recompute", [False, True])
def test_autocast(cls, backend, ragged, recompute):
    module = cls(D, H, num_layers=2, backend=backend, recompute=recompute)
    x = torch.randn(T, B, D).requires_grad_()
    call = {"lengths": [2, 4, 0], "resets": torch.rand(B, T) < 0.4} if ragged else {}
    y, _ = module(x, **call)
    wanted = torch.autograd.grad(y.sum(), [x, *module.parameters()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        if cls is LSTM and backend == "torch" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            with pytest.raises(OptionError, match="'torch' cannot serve this call: oneDNN has no bfloat16 LSTM"):
                module(x, **call)
            return
        low, _ = module(x, **call)
    assert low.dtype == (torch.float32 if cls is GRU else torch.bfloat16)
    torch.testing.assert_close(low.float(), y, atol=0.02, rtol=0.02)
    found = torch.autograd.grad(low.float().sum(), [x, *module.parameters()])
    assert [g.dtype for g in found] == [torch.float32] * len(found)
    for f, w in zip(found, wanted, strict=True):
        torch.testing.assert_close(f, w, atol=0.05 * max(1.0, float(w.abs().max())), rtol=0)


@every_class
@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("again", [False, True])
def test_a_backward_pass_inside_autocast_has_the_precision_of_the_forward_pass(cls, backend, again):
    module = cls(D, H, backend=backend)
    x = torch.randn(T, B, D).requires_grad_()
    inputs = [x, *module.parameters()]
    wanted = torch.autograd.grad(module(x)[0].square().sum(), inputs)
    loss = module(x)[0].square().sum()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(loss, inputs, create_graph=again)
    for f, w in zip(found, wanted, strict=True):
        torch.testing.assert_close(f, w, atol=1e-5, rtol=1e-5)


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
