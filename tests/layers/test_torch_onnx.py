"""The exporter to ONNX built on `torch.jit.trace`: recurrent nodes, right for every number of steps and rows."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from torch.utils._pytree import tree_leaves
from traced_toy import MAKERS, SIZES, D, Ragged, Whole, batch, ragged, shapes

pytestmark = pytest.mark.slow

pytest.importorskip("onnx", reason="PyTorch's exporter needs onnx")


def exported(model, example, names, axes):
    """The bytes of the ONNX file."""
    kept = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter says much, of itself and of every recurrent layer
        torch.onnx.export(model.eval(), example, kept, dynamo=False, input_names=names, dynamic_axes=axes)
    return kept.getvalue()


def nodes(data, operator):
    """How many nodes of that operator there are: field 4 of a node is its name."""
    return data.count(bytes([0x22, len(operator)]) + operator.encode())


def onnx_values(data, names, values):
    runtime = pytest.importorskip("onnxruntime", reason="the numbers of an ONNX file need onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(v) for v in session.run(None, {n: v.numpy() for n, v in zip(names, values, strict=True)})]


OPERATORS = {"tanh": "RNN", "relu": "RNN", "gru": "GRU", "lstm": "LSTM", "no bias": "LSTM", "more": "LSTM"}


@pytest.mark.parametrize("name", OPERATORS)
@shapes
@pytest.mark.parametrize("how", ["whole", "state", "lengths"])
def test_onnx_has_recurrent_nodes(name, options, how):
    module = MAKERS[name](**options)
    passes = module.num_layers * (1 + module.bidirectional)
    rows, steps = (0, 1) if module.batch_first else (1, 0)
    example: tuple[torch.Tensor, ...] = (batch(module, 5, 2),)
    names, axes = ["x"], {"x": {rows: "B", steps: "T"}}
    if how == "state":
        example += tuple(t.detach() for t in tree_leaves(module(*example)[1]))
        names += ["h", "c"][: len(example) - 1]
        axes |= {n: {1: "B"} for n in names[1:]}
    elif how == "lengths":
        example += (torch.tensor([5, 3]),)
        names, axes = ["x", "lengths"], {**axes, "lengths": {0: "B"}}
    model = Ragged(module) if how == "lengths" else Whole(module)
    data = exported(model, example, names, axes)
    assert nodes(data, OPERATORS[name]) == passes
    assert sum(nodes(data, o) for o in ("MatMul", "Gemm", "Tanh", "Sigmoid", "Loop", "Scan")) == 0


@pytest.mark.parametrize("name", OPERATORS)
@shapes
@pytest.mark.parametrize("how", ["whole", "state", "lengths"])
def test_onnx_gives_the_numbers_at_other_sizes(close, name, options, how):
    pytest.importorskip("onnxruntime", reason="the numbers of an ONNX file need onnxruntime")
    module = MAKERS[name](**options)

    def example(steps, rows):
        if how == "lengths":
            return ragged(module, steps, rows)
        x = batch(module, steps, rows)
        with torch.no_grad():
            return (x, *map(torch.randn_like, tree_leaves(module(x)[1]))) if how == "state" else (x,)

    model = Ragged(module) if how == "lengths" else Whole(module)
    rows, steps = (0, 1) if module.batch_first else (1, 0)
    names = {"whole": ["x"], "lengths": ["x", "lengths"], "state": ["x", "h", "c"][: len(example(5, 2))]}[how]
    axes = {n: {1: "B"} for n in ("h", "c")} | {"x": {rows: "B", steps: "T"}, "lengths": {0: "B"}}
    data = exported(model, example(5, 2), names, {n: axes[n] for n in names})
    for size in SIZES:
        given = example(*size)
        with torch.no_grad():
            close(onnx_values(data, names, given), tree_leaves(model(*given)))


def test_onnx_has_no_projection():
    model = Whole(MAKERS["projected"]())
    with pytest.raises(torch.onnx.errors.SymbolicValueError, match="projections"):
        exported(model, (torch.randn(5, 2, D),), ["x"], {})
