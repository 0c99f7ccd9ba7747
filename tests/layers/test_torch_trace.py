"""`torch.jit.trace`: right for every number of steps and rows, or refused."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils._pytree import tree_leaves, tree_map
from traced_toy import MAKERS, SIZES, D, H, Ragged, batch, ragged, shapes

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.ops.cpu.extension import missing

needs_kernels = pytest.mark.skipif(missing() is not None, reason=str(missing()))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit.(trace|save|load)", "ignore:LSTM with projections"),
]
every_module = pytest.mark.parametrize("name", MAKERS)
KERNELS = {f"aten::{name}" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")}


@every_module
@shapes
def test_a_trace_holds_for_every_number_of_steps_and_rows(close, name, options):
    module = MAKERS[name](**options)
    traced = torch.jit.trace(module, (batch(module, 5, 2),))
    kernels = [n.kind() for n in traced.inlined_graph.nodes() if n.kind() in KERNELS]
    assert len(kernels) == module.num_layers * (1 + module.bidirectional)
    state = tree_map(torch.detach, module(batch(module, 5, 2))[1])
    with_state = torch.jit.trace(module, (batch(module, 5, 2), state))
    for steps, rows in SIZES:
        x = batch(module, steps, rows)
        close(tree_leaves(traced(x)), tree_leaves(module(x)))
        state = tree_map(torch.randn_like, module(x)[1])
        close(tree_leaves(with_state(x, state)), tree_leaves(module(x, state)))


@every_module
@shapes
def test_a_trace_with_lengths_holds_for_other_lengths(close, name, options):
    module = MAKERS[name](**options)
    traced = torch.jit.trace(Ragged(module), (batch(module, 5, 2), torch.tensor([5, 3])))
    kept = io.BytesIO()
    torch.jit.save(traced, kept)
    kept.seek(0)
    for run in (traced, torch.jit.load(kept)):
        for steps, rows in SIZES:
            x, lengths = ragged(module, steps, rows)
            close(tree_leaves(run(x, lengths)), tree_leaves(module(x, lengths=lengths)))
        with pytest.raises(RuntimeError, match="index out of range"):
            run(x, lengths + 9)


@every_module
def test_a_trace_has_the_gradients_of_the_module(close, name):
    module = MAKERS[name](num_layers=2, bidirectional=True).double()
    with torch.no_grad():  # where it is traced does not matter
        traced = torch.jit.trace(Ragged(module), (batch(module, 5, 2).double(), torch.tensor([5, 3])))
    x, lengths = ragged(module, 9, 4)
    x = x.double().requires_grad_()
    found, wanted = (
        torch.autograd.grad(run(x, lengths)[0].square().sum(), [x, *module.parameters()], allow_unused=True)
        for run in (traced, Ragged(module))
    )
    close(found, wanted)


def test_dropout_in_a_trace_follows_the_rows(close):
    module = GRU(D, H, num_layers=2, input_dropout=0.5, output_dropout=0.5, weight_dropout=0.3)
    traced = torch.jit.trace(module, (batch(module, 5, 2),), check_trace=False)
    x = torch.ones(9, 3, D)
    torch.manual_seed(1)
    found = traced(x)
    torch.manual_seed(1)
    close(tree_leaves(found), tree_leaves(module(x)))


def test_a_step_can_be_traced(close):
    module = LSTM(D, H, num_layers=2).eval()

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = module

        def forward(self, x, h, c):
            return self.layer.step(x, (h, c))

    state = torch.randn(2, 2, 3, H).unbind()
    with torch.no_grad():
        traced = torch.jit.trace(Step(), (torch.randn(2, D), *(s[:, :2] for s in state)))
        x = torch.randn(3, D)
        close(tree_leaves(traced(x, *state)), tree_leaves(module.step(x, state)))


@pytest.mark.parametrize(
    ("make", "call", "reason"),
    [
        (lambda: GRU(D, H, reset_after=False), {}, "no kernel for the recurrence 'gru_reset_before'"),
        (lambda: GRU(D, H, recurrent_dropout=0.5), {}, "no recurrent dropout"),
        (lambda: LSTM(D, H), {"resets": torch.zeros(2, 5, dtype=torch.bool)}, "the number of segments"),
        (lambda: LSTM(D, H, backend="naive"), {}, "the number of steps of its example"),
        pytest.param(
            lambda: LSTM(D, H, backend="cpu"), {}, "cannot be used inside torch.jit.trace", marks=needs_kernels
        ),
        (lambda: LSTM(D, H), {"lengths": [5, 3]}, "make them a tensor"),
    ],
    ids=["form", "recurrent dropout", "resets", "naive", "cpu", "lengths as a list"],
)
def test_what_would_be_frozen_is_refused(make, call, reason):
    module = make()

    class Model(nn.Module):
        def forward(self, x):
            return module(x, **call)

    with pytest.raises(OptionError, match=reason):
        torch.jit.trace(Model(), (torch.randn(5, 2, D),))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of pack_sequence
def test_the_inside_and_packed_sequences_are_refused():
    module = LSTM(D, H)

    class Inside(nn.Module):
        def forward(self, x):
            return module.trace(x).output

    class Packed(nn.Module):
        def forward(self, x):
            return module(pack_sequence([x]))[1]

    with pytest.raises(OptionError, match="number of steps"):
        torch.jit.trace(Inside(), (torch.randn(5, 2, D),))
    with pytest.raises(OptionError, match="give the padded input"):
        torch.jit.trace(Packed(), (torch.randn(5, D),))


def test_wrong_calls_are_refused_in_a_trace_too():
    module = LSTM(D, H)
    with pytest.raises(RuntimeError, match="must be equal to input_size"):
        torch.jit.trace(module, (torch.randn(5, 2, D + 1),))
    with pytest.raises(RuntimeError, match="Expected hidden"):
        torch.jit.trace(module, (torch.randn(5, 2, D), (torch.zeros(1, 3, H), torch.zeros(1, 3, H))))
    with pytest.raises(OptionError, match="one for each row"):
        torch.jit.trace(Ragged(module), (torch.randn(5, 2, D), torch.tensor([5, 3, 1])))


def test_lengths_of_another_number_of_rows_are_an_error_in_a_trace():
    module = LSTM(D, H)
    traced = torch.jit.trace(Ragged(module), (batch(module, 5, 2), torch.tensor([5, 3])))
    with pytest.raises(RuntimeError, match="invalid for input of size 1"):
        traced(batch(module, 5, 3), torch.tensor([4]))
