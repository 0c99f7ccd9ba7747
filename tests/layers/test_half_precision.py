"""bfloat16, float16 and autocast on the CPU: right on every processor, and nearer to float64 than `torch.nn`."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils.rnn import pack_padded_sequence

from helpers.recurrences import every_recurrence, every_twin, layer, twin
from unroll.layers.lstm import LSTM
from unroll.ops.cpu import extension

BF16, F16, F32, F64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
T, B, D, H = 6, 5, 3, 4
LENGTHS = [3, 6, 0, 1, 5]
FORMS = {"bfloat16": (BF16, False), "float16": (F16, False), "autocast": (BF16, True), "autocast float16": (F16, True)}
every_form = pytest.mark.parametrize("form", FORMS)
needs_kernels = pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing()))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated"),
]


def states(end):
    return end if isinstance(end, tuple) else (end,)


class Half:
    """A module, the same in float64, and how a call of it is made in 16 bits."""

    def __init__(self, name, form, sizes=(D, H), **options):
        self.low, self.autocast = FORMS[form]
        self.dtype = F32 if self.autocast else self.low
        self.module = layer(name, *sizes, **options, dtype=self.dtype)
        self.exact = copy.deepcopy(self.module).double()

    def draw(self, *shape):
        return torch.randn(*shape, dtype=self.dtype).requires_grad_()

    def call(self, module, *arguments, **named):
        with torch.autocast("cpu", dtype=self.low, enabled=self.autocast and module is not self.exact):
            return module(*arguments, **named)

    def results(self, module, x, *arguments, data=lambda y: y, **named):
        """The outputs, the final state, and the gradients of the input and the parameters."""
        y, end = self.call(module, x, *arguments, **named)
        generator = torch.Generator().manual_seed(1)
        outputs = [data(y), *states(end)]
        loss = sum((o.double() * torch.randn(o.shape, generator=generator, dtype=F64)).sum() for o in outputs)
        inputs = [x, *module.parameters()]
        return outputs, torch.autograd.grad(loss, inputs, allow_unused=True)

    def low_numbers(self, *nests):
        """Brought to 16 bits, in which they are compared."""
        return [[None if t is None else t.to(self.low) for t in nest] for nest in nests]


@every_form
@every_recurrence
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize("backend", ["cpu", "auto"])
def test_is_float64_to_the_precision_of_16_bits(close, name, form, ragged, backend):
    layers = 1 if name == "relu" else 2  # rounded between layers, an argument may cross zero, where a rectifier jumps
    for recompute, start in itertools.product((False, True), (False, True)):
        more = {"bidirectional": ragged, "recompute": recompute, "learn_initial_state": start, "backend": backend}
        half = Half(name, form, num_layers=layers, **more)
        x = half.draw(T, B, D)
        call = {}
        if ragged:
            call = {"lengths": LENGTHS, "resets": torch.rand(B, T) < 0.3}
            padding = torch.arange(T).unsqueeze(1) >= torch.tensor(LENGTHS)
            x = x.detach().masked_fill(padding.unsqueeze(2), float("nan")).requires_grad_()
        outputs, found = half.results(half.module, x, **call)
        wanted, right = half.results(half.exact, x.detach().double().requires_grad_(), **call)
        close(*half.low_numbers(outputs, wanted))
        close(*half.low_numbers(found, right))
        assert [g.dtype for g in found] == [half.dtype] * len(found)
        if extension.missing() is None:
            assert half.module.used == (("cpu", {}),)


def rms(found, right):
    return float((found.detach().double() - right.detach()).square().mean().sqrt())


@needs_kernels
@every_form
@every_twin
def test_nearer_to_float64_than_torch(name, form):
    half = Half(name, form, (24, 32), num_layers=2)
    theirs = twin(name, 24, 32, num_layers=2, dtype=half.dtype)
    theirs.load_state_dict(half.module.state_dict())
    x = half.draw(30, 8, 24)
    try:
        outputs, gradients = half.results(theirs, x)
    except RuntimeError as error:
        if name != "lstm" or not half.autocast or "could not create a primitive" not in str(error):
            raise
        return  # oneDNN has no such LSTM on this processor
    wanted, right = half.results(half.exact, x.detach().double().requires_grad_())
    found = half.results(half.module, x)
    assert [t.dtype for t in found[0]] == [t.dtype for t in outputs]
    for ours, other, exact in zip((*found[0], *found[1]), (*outputs, *gradients), (*wanted, *right), strict=True):
        assert rms(ours, exact) <= rms(other, exact)


@every_form
@every_recurrence
def test_state_packed_sequences_and_layers_between(close, name, form):
    half = Half(name, form, num_layers=2, residual=True, layer_norm=True, bidirectional=True)
    x, lengths = half.draw(T, 3, D), torch.tensor([4, 6, 1])
    widths = [s.shape[-1] for s in states(half.call(half.module, x)[1])]
    given = tuple(half.draw(4, 3, w) for w in widths)
    pairs = []
    for module, dtype in ((half.module, half.dtype), (half.exact, F64)):
        inputs = [t.detach().to(dtype).requires_grad_() for t in (x, *given)]
        hx = tuple(inputs[1:]) if len(given) > 1 else inputs[1]
        packed = pack_padded_sequence(inputs[0], lengths, enforce_sorted=False)
        y, end = half.call(module, packed, hx)
        loss = y.data.double().square().sum() + sum(s.double().sum() for s in states(end))
        pairs.append(half.low_numbers([y.data, *states(end)], torch.autograd.grad(loss, inputs)))
    close(*pairs)


@every_form
@every_recurrence
def test_second_derivatives(close, name, form):
    half = Half(name, form)
    x = half.draw(T, 2, D)
    found = []
    for module, v in ((half.module, x), (half.exact, x.detach().double().requires_grad_())):
        y, end = half.call(module, v, lengths=[6, 4])
        loss = y.double().square().sum() + sum(s.double().square().sum() for s in states(end))
        first = torch.autograd.grad(loss, [v, *module.parameters()], create_graph=True)
        again = sum(g.double().square().sum() for g in first)
        second = torch.autograd.grad(again, [v, *module.parameters()])
        found.append(half.low_numbers(first, second))
    close(*found)


@needs_kernels
@every_form
@pytest.mark.parametrize("again", [False, True])
def test_a_backward_pass_inside_autocast_is_computed_in_float32(close, form, again):
    half = Half("gru", form, backend="cpu")
    x = half.draw(T, B, D)
    found = []
    for inside in (False, True):
        y, _ = half.call(half.module, x)
        with torch.autocast("cpu", dtype=BF16, enabled=inside):
            found.append(torch.autograd.grad(y.square().sum(), [x, *half.module.parameters()], create_graph=again))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@every_form
@every_recurrence
def test_transforms(close, name, form):
    half = Half(name, form)
    x, lengths = half.draw(T, 3, D).detach(), torch.tensor([4, 6, 1])
    found = []
    for module, v in ((half.module, x), (half.exact, x.double())):
        parameters = dict(module.named_parameters())

        def loss(parameters, row, length, module=module):
            y, _ = functional_call(module, parameters, (row.unsqueeze(1),), {"lengths": length.unsqueeze(0)})
            return y.double().square().sum()

        with torch.autocast("cpu", dtype=half.low, enabled=half.autocast and module is half.module):
            each = vmap(grad(loss), (None, 1, 0))(parameters, v, lengths)
            assert "torch.func" in module.used[0].passed_over["torch"]
            y, tangent = jvp(lambda u, m=module: m(u)[0], (v,), (torch.ones_like(v),))
        rows = [each[n].sum(0) for n in parameters]
        found.append(half.low_numbers([y, tangent], rows))
    close(*found)
    y, _ = half.call(half.module, x)
    assert y.dtype == (F32 if half.autocast and name.startswith("gru") else half.low)
    rows = [half.call(half.module, x, lengths=lengths)[0][:, b].double().square().sum() for b in range(3)]
    wanted = torch.autograd.grad(sum(rows), list(half.module.parameters()))
    close(*half.low_numbers(found[0][1], wanted))


@pytest.fixture
def compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@needs_kernels
@pytest.mark.parametrize(
    ("form", "where"),
    [("bfloat16", "outside"), ("float16", "outside"), ("autocast", "outside"), ("autocast float16", "inside")],
)
@pytest.mark.parametrize("name", ["gru", "projected"])
def test_compiles_to_the_kernels(compiler, close, name, form, where):
    half = Half(name, form, num_layers=2)
    graphs = []

    def look(graph, inputs):
        graphs.append([str(n.target) for n in graph.graph.nodes])
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    def inside(x, **call):
        return half.call(half.module, x, **call)

    run = torch.compile(inside if where == "inside" else half.module, fullgraph=True, dynamic=True, backend=look)
    counts = []
    for steps, rows in ((7, 8), (9, 11)):
        x = half.draw(steps, rows, D)
        call = {"lengths": torch.randint(1, steps + 1, (rows,)), "resets": torch.rand(rows, steps) < 0.3}
        y, end = half.call(run, x, **call) if where == "outside" else run(x, **call)
        wanted, ends = half.call(half.module, x, **call)
        assert [t.dtype for t in (y, *states(end))] == [t.dtype for t in (wanted, *states(ends))]
        close(*half.low_numbers((y, *states(end)), (wanted, *states(ends))))
        inputs = [x, *half.module.parameters()]
        found, right = (torch.autograd.grad(o.double().square().sum(), inputs) for o in (y, wanted))
        close(*half.low_numbers(found, right))
        counts.append(len(graphs))
    assert counts[0] == counts[1]
    assert graphs[0].count("unroll.cpu_forward.default") == 2


@needs_kernels
def test_exports(close):
    module = LSTM(D, 128, batch_first=True).bfloat16().eval()  # so wide that sizes would decide who serves
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    x = torch.randn(B, T, D, dtype=BF16)
    program = torch.export.export(module, (x,), dynamic_shapes={"input": any_size}, strict=False)
    assert "unroll.cpu_forward.default" in [str(n.target) for n in program.graph.nodes]
    module.backend = "cpu"
    for rows in (1, 2, 30):
        x = torch.randn(rows, 9, D, dtype=BF16)
        assert torch.equal(program.module()(x)[0], module(x)[0])


@every_form
@pytest.mark.parametrize("backend", ["naive", "cpu"])
def test_float64_under_autocast_is_float64(form, backend):
    low, autocast = FORMS[form]
    module = LSTM(D, H, dtype=F64, backend=backend)
    x = torch.randn(T, B, D, dtype=F64)
    wanted, _ = module(x)
    with torch.autocast("cpu", dtype=low, enabled=autocast):
        y, (h, c) = module(x)
    assert torch.equal(y, wanted)
    assert {t.dtype for t in (y, h, c)} == {F64}


@needs_kernels
@every_form
@every_recurrence
def test_bits_do_not_depend_on_memory_threads_or_other_rows(name, form):
    half = Half(name, form, (24, 40), backend="cpu")
    x = half.draw(9, 7, 24)
    call = {"lengths": [9, 2, 0, 5, 7, 1, 9]}
    wanted = half.results(half.module, x, **call)
    threads = torch.get_num_threads()
    for other in ("recompute", "threads"):
        half.module.recompute = other == "recompute"
        torch.set_num_threads(2 if other == "threads" else threads)
        try:
            found = half.results(half.module, x, **call)
        finally:
            torch.set_num_threads(threads)
        for one, two in zip((*found[0], *found[1]), (*wanted[0], *wanted[1]), strict=True):
            assert torch.equal(one, two)
    alone, _ = half.call(half.module, x[:, 3:4], lengths=[5])
    assert torch.equal(alone, wanted[0][0][:, 3:4])


def test_gradient_scaler(close):
    """float16 under autocast as a training loop uses it, beside the same loop in float32."""
    ends = []
    for low in (False, True):
        torch.manual_seed(0)
        module, head = LSTM(D, H, num_layers=2), nn.Linear(H, 1)
        parameters = [*module.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=low)
        x, target = torch.randn(T, B, D), torch.randn(T, B, 1)
        for _ in range(5):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=F16, enabled=low):
                y, _ = module(x)
                assert y.dtype == (F16 if low else F32)
                loss = (head(y).float() - target).square().mean()
            scaler.scale(loss).backward()
            assert {p.grad.dtype for p in parameters} == {F32}
            scaler.step(optimizer)
            scaler.update()
        ends.append([p.detach().to(F16) for p in module.parameters()])
    close(*ends)
    assert scaler.get_scale() == 1024.0

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)  # beyond float16: the step must be left out
    before = [p.detach().clone() for p in parameters]
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=F16):
        loss = module(x)[0].sum()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
    assert scaler.get_scale() == 2.0**39
