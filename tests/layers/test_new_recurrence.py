"""A recurrence that no file of the package knows has all that a layer has, from its description."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_leaves

from helpers.recurrences import MINIMAL, THREE_STATES, TOYS, layer
from unroll.errors import OptionError
from unroll.layers.recurrent import RecurrentLayer
from unroll.ops import backends

T, B, D, H = 6, 4, 3, 5
F64 = torch.float64
every_toy = pytest.mark.parametrize("name", TOYS)


def test_parameters_and_states_are_as_described():
    module = RecurrentLayer(THREE_STATES, D, H, num_layers=2, bidirectional=True, learn_initial_state=True)
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert {n: s for n, s in shapes.items() if n.endswith("_l1_reverse")} == {
        "weight_ih_l1_reverse": (3 * H, 2 * H),
        "weight_hh_l1_reverse": (3 * H, H),
        "mix_l1_reverse": (2,),
        "bias_l1_reverse": (3 * H,),
    }
    assert shapes["initial_m"] == (4, H, 2)
    assert module.initial_m.eq(0.5).all()
    assert module.initial_c.eq(0.0).all()
    y, (h, c, m) = module(torch.randn(T, B, D))
    assert (y.shape, h.shape, c.shape, m.shape) == ((T, B, 2 * H), (4, B, H), (4, B, H), (4, B, H, 2))
    assert not any(n.startswith("bias") for n, _ in RecurrentLayer(THREE_STATES, D, H, bias=False).named_parameters())


def test_the_first_step_starts_from_the_reset_values_and_so_does_a_reset(close):
    module = layer("three states", D, H, dtype=F64)
    x = torch.randn(T, B, D, dtype=F64)
    y, state = module(x)
    zeros, half = torch.zeros(1, B, H, dtype=F64), torch.full((1, B, H, 2), 0.5, dtype=F64)
    close(tree_leaves(module(x, (zeros, zeros, half))), tree_leaves((y, state)))
    resets = torch.zeros(B, T, dtype=torch.bool)
    resets[:, 3] = True
    close(module(x, resets=resets)[0][3:], module(x[3:])[0])


@every_toy
def test_derivatives(name):
    module = layer(name, D, 2, bidirectional=True, learn_initial_state=True, dtype=F64)
    names = [n for n, _ in module.named_parameters()]
    resets = torch.rand(2, 4) < 0.4

    def run(x, *parameters):
        call = {"lengths": [4, 2], "resets": resets}
        return tuple(tree_leaves(functional_call(module, dict(zip(names, parameters, strict=True)), (x,), call)))

    x = torch.randn(4, 2, D, dtype=F64).requires_grad_()
    inputs = x, *(p.detach().clone().requires_grad_() for p in module.parameters())
    assert gradcheck(run, inputs, fast_mode=True)
    assert gradgradcheck(run, inputs, fast_mode=True)


@every_toy
def test_trace(close, name):
    module = layer(name, D, H, bidirectional=True, dtype=F64)
    x = torch.randn(T, B, D, dtype=F64)
    lengths = [6, 2, 0, 5]
    seen = module.trace(x, lengths=lengths)
    y, state = module(x, lengths=lengths)
    close([seen.output, *tree_leaves(seen.state)], [y, *tree_leaves(state)])
    assert [part.direction for part in seen.parts] == ["forward", "reverse"]
    ends = tree_leaves(state)
    for k, values in enumerate(seen.parts[0].states.values()):
        assert values.shape[:2] == (T, B)
        assert not values[2:, 1].any()
        close(values[5, 0], ends[k][0, 0])
    assert set(seen.parts[0].gates) == set("ifo" if name == "three states" else "zn")


@every_toy
def test_steps_and_copies(close, name):
    module = layer(name, D, H, num_layers=2, dtype=F64)
    x = torch.randn(T, B, D, dtype=F64)
    y, end = module(x)
    again = pickle.loads(pickle.dumps(copy.deepcopy(module)))  # noqa: S301  # just written
    state, outputs = None, []
    for x_t in x:
        y_t, state = again.step(x_t, state)
        outputs.append(y_t)
    close([torch.stack(outputs), *tree_leaves(state)], [y, *tree_leaves(end)])
    assert repr(again) == f"RecurrentLayer({D}, {H}, num_layers=2)"


@every_toy
def test_beside_other_parts(close, name):
    """Options of the layers around it, one row alone, `vmap`, a state that does not fit."""
    options = {"residual": True, "layer_norm": True, "num_layers": 3, "batch_first": True, "init": "orthogonal"}
    module = layer(name, D, H, **options, dtype=F64)
    x = torch.randn(B, T, D, dtype=F64)
    y, end = module(x)
    close(torch.stack([module(row)[0] for row in x]), y)
    close(vmap(lambda row: module(row)[0])(x), y)
    states = tree_leaves(end)
    assert isinstance(end, tuple) == (len(states) > 1)
    wrong = [s[..., :-1] for s in states]
    with pytest.raises(RuntimeError, match="Expected hidden"):
        module(x, tuple(wrong) if len(wrong) > 1 else wrong[0])
    module.train()
    module.input_dropout = 0.5
    assert not torch.equal(module(x)[0], module(x)[0])


def test_what_a_recurrence_lacks_is_refused():
    for name in ("weight_dropout", "recurrent_dropout"):
        with pytest.raises(OptionError, match=f"{name} acts on recurrent weights, and .* 'minimal' has none"):
            RecurrentLayer(MINIMAL, D, H, **{name: 0.5})
    for options in ({"forget_bias": 1.0}, {"chrono_init": 9}):
        with pytest.raises(OptionError, match="the gate that keeps the state, and 'minimal' has none"):
            RecurrentLayer(MINIMAL, D, H, **options)
    with pytest.raises(OptionError, match="'minimal' has no projection"):
        RecurrentLayer(MINIMAL, D, H, proj_size=2)
    with pytest.raises(OptionError, match="no compiled kernel for the recurrence 'minimal'"):
        RecurrentLayer(MINIMAL, D, H, backend="cpu")
    with pytest.raises(OptionError, match="'three_states' has no form for all steps at once"):
        RecurrentLayer(THREE_STATES, D, H, backend="scan")
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'residuals'; did you mean 'residual'\?"):
        RecurrentLayer(MINIMAL, D, H, residuals=True)


def test_the_scan_is_taken_where_there_is_one():
    module, x = layer("minimal", D, H), torch.randn(T, B, D)
    module(x, lengths=[6, 1, 0, 3])
    assert module.used[0].backend == "scan"
    module = layer("three states", D, H)
    module(x)
    assert module.used[0].backend == "naive"
    assert "scan" in module.used[0].passed_over
    assert "scan" in backends.BACKENDS


@every_toy
def test_compiles_whole(close, name):
    module = layer(name, D, H, dtype=F64)
    x = torch.randn(T, B, D, dtype=F64)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    close(tree_leaves(compiled(x, lengths=torch.tensor([6, 2, 0, 5]))), tree_leaves(module(x, lengths=[6, 2, 0, 5])))
    torch.compiler.reset()


def test_it_learns():
    """To remember the first input to the last step, which the mean of the steps does not show."""
    torch.manual_seed(0)
    module = layer("minimal", 2, 8)
    head = nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=0.02)
    x = torch.randn(12, 64, 2)
    x[1:, :, 1] = 0.0
    for _ in range(300):
        optimizer.zero_grad()
        loss = (head(module(x)[1][0]).squeeze(-1) - x[0, :, 1]).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
