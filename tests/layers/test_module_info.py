"""PyTorch's own samples of its recurrent modules (`ModuleInfo`), for our classes beside PyTorch's."""

from __future__ import annotations

import importlib
import itertools
import re
import warnings
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_map

import unroll

pytest.importorskip("expecttest", reason="PyTorch's module for tests needs expecttest")


def samples():
    """The list of modules, without what its import does to the process."""
    with warnings.catch_warnings(), mock.patch.object(torch.backends, "disable_global_flags"):
        warnings.simplefilter("ignore")
        database = importlib.import_module("torch.testing._internal.common_modules")
    return {info.module_cls: info for info in database.module_db}, database.ModuleErrorEnum


INFOS, ERROR_ON = samples()
NAMES = ["RNN", "GRU", "LSTM"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("name", NAMES),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
]
modes = pytest.mark.parametrize("training", [True, False])


def inputs(name, dtype, training, *, packed=False):
    info = INFOS[getattr(nn, name)]
    options = {"with_packed_sequence": True} if packed and name != "LSTM" else {}
    return info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training, **options)


def pair(name, sample, dtype, training):
    """PyTorch's module of the sample, ours with its weights, and the forward arguments."""
    made = sample.constructor_input
    theirs = getattr(nn, name)(*made.args, **made.kwargs, dtype=dtype).train(training)
    ours = getattr(unroll, name)(*made.args, **made.kwargs, dtype=dtype).train(training)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours, sample.forward_input.args, sample.forward_input.kwargs


def floats(values):
    """The tensors that there can be gradients of, a packed sequence's data too."""
    values = [
        v.data if isinstance(v, PackedSequence) else v
        for v in tree_leaves(values, lambda v: isinstance(v, PackedSequence))
    ]
    return [v for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()]


@modes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("packed", [False, True])
def test_forward_and_gradients(close, name, training, dtype, packed):
    given = inputs(name, dtype, training, packed=packed)
    assert len(given) >= 16
    for sample in given:
        theirs, ours, args, keywords = pair(name, sample, dtype, training)
        found, wanted = ours(*args, **keywords), theirs(*args, **keywords)
        assert type(found[0]) is type(wanted[0])
        close(floats(found), floats(wanted))
        gradients = []
        for module, outputs in ((ours, found), (theirs, wanted)):
            loss = sum((y * torch.linspace(-1, 2, y.numel(), dtype=dtype).view_as(y)).sum() for y in floats(outputs))
            gradients.append(torch.autograd.grad(loss, [*floats(args), *module.parameters()]))
        close(*gradients)


@modes
def test_samples_against_their_references(close, name, training):
    for sample in inputs(name, torch.float64, training):
        _, ours, args, keywords = pair(name, sample, torch.float64, training)
        close(
            tree_leaves(ours(*args, **keywords)),
            tree_leaves(sample.reference_fn(ours, *args, **keywords)),
        )


@modes
def test_gradcheck(name, training):
    for sample in inputs(name, torch.float64, training):
        _, ours, args, keywords = pair(name, sample, torch.float64, training)
        parameters = dict(ours.named_parameters())

        def run(*values, ours=ours, names=tuple(parameters), args=args, keywords=keywords):
            weights, rest = dict(zip(names, values, strict=False)), iter(values[len(names) :])
            called = tree_map(lambda _: next(rest), args)
            return tuple(tree_leaves(torch.func.functional_call(ours, weights, called, keywords)))

        assert torch.autograd.gradcheck(run, (*parameters.values(), *tree_leaves(args)), fast_mode=not training)


@modes
def test_refuses_what_torch_refuses(name, training):
    info = INFOS[getattr(nn, name)]
    bad = info.module_error_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=training)
    assert len(bad) > 5
    for error in bad:
        made, called = error.module_error_input.constructor_input, error.module_error_input.forward_input
        if error.error_on == ERROR_ON.CONSTRUCTION_ERROR:
            with pytest.raises(error.error_type, match=error.error_regex):
                getattr(unroll, name)(*made.args, **made.kwargs)
        else:
            module = getattr(unroll, name)(*made.args, **made.kwargs)
            with pytest.raises(error.error_type, match=re.compile(error.error_regex)):
                module(*called.args, **called.kwargs)


@modes
def test_non_contiguous_inputs(close, name, training):
    def spread(tensor):
        return torch.stack([tensor.detach(), torch.zeros_like(tensor)], -1)[..., 0]

    for sample in itertools.islice(inputs(name, torch.float64, training), 8):
        _, ours, args, keywords = pair(name, sample, torch.float64, training)
        close(tree_leaves(ours(*tree_map(spread, args), **keywords)), tree_leaves(ours(*args, **keywords)))
