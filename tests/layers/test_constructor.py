"""Odd arguments of the constructor and of the call, beside what `torch.nn` does with them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from helpers.recurrences import every_class
from unroll.layers.rnn import RNN

D, H = 2, 3


def said(call):
    """The kind and the words of the error, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except Exception as error:
        return type(error), str(error)
    return None


def made(cls, arguments):
    return said(lambda: cls(**{"input_size": D, "hidden_size": H, **arguments}))


ODD = [
    {"num_layers": 1.5}, {"num_layers": "2"}, {"num_layers": None}, {"num_layers": 2.0}, {"num_layers": -1},
    {"num_layers": np.int64(2)}, {"input_size": True}, {"input_size": 2.0}, {"input_size": np.int64(2)},
    {"input_size": None}, {"hidden_size": "3"}, {"hidden_size": 3.0},
    {"proj_size": -1}, {"proj_size": 1.0}, {"proj_size": None}, {"proj_size": 3}, {"proj_size": True},
    {"proj_size": "1"}, {"proj_size": 0}, {"proj_size": 2}, {"dropout": "a"}, {"dropout": "0.5"}, {"dropout": None},
    {"dropout": 1}, {"dropout": np.float32(0.5)}, {"dropout": float("nan")}, {"dropout": 1j},
    {"dropout": torch.tensor(0.5)}, {"bias": None}, {"bias": 0}, {"batch_first": None}, {"batch_first": "yes"},
    {"device": "nonsense"}, {"device": 5.5}, {"dtype": torch.int64}, {"dtype": "float32"},
]  # fmt: skip


@pytest.mark.parametrize("arguments", ODD, ids=str)
@every_class
def test_odd_arguments_are_taken_or_refused_as_torch_does(cls, arguments):
    assert made(cls, arguments) == made(getattr(nn, cls.__name__), arguments)


@every_class
def test_a_width_of_true_is_refused(cls):
    """`torch.nn.LSTM` and `GRU` take it for 1, `RNN` fails where it makes its weights."""
    with pytest.raises(TypeError, match=r"^hidden_size should be of type int, got: bool$"):
        cls(D, True)


@pytest.mark.parametrize("nonlinearity", ["sigmoid", None, "TANH"])
def test_odd_nonlinearities(nonlinearity):
    assert made(RNN, {"nonlinearity": nonlinearity}) == made(nn.RNN, {"nonlinearity": nonlinearity})


@pytest.mark.parametrize("arguments", [{"bidirectional": v} for v in (1, 0, None, "yes")] + [{"num_layers": True}])
@every_class
def test_what_torch_refuses_at_each_call_is_refused_at_once(cls, arguments):
    theirs = getattr(nn, cls.__name__)(D, H, **arguments)
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        theirs(torch.randn(4, 2, D))
    name, value = next(iter(arguments.items()))
    kind = "int" if name == "num_layers" else "bool"
    with pytest.raises(TypeError, match=f"^{name} should be of type {kind}, got: {type(value).__name__}$"):
        cls(D, H, **arguments)


@every_class
def test_the_wrong_number_of_arguments(cls):
    name = cls.__name__
    with pytest.raises(TypeError, match=rf"^{name}.__init__\(\) missing 1 required positional argument: 'hidden_size'"):
        cls(D)
    with pytest.raises(TypeError, match=rf"^{name}.__init__\(\) got an unexpected keyword argument 'hidden'"):
        cls(D, H, hidden=3)


CALLS = {
    "too many": lambda m, x: m(x, None, None),
    "none": lambda m, x: m(),
    "unknown": lambda m, x: m(x, hidden=None),
    "twice": lambda m, x: m(x, input=x),
}


@pytest.mark.parametrize("call", CALLS)
@every_class
def test_a_wrong_call_is_told_in_the_words_of_torch(cls, call):
    x = torch.randn(4, 2, D)
    ours, theirs = (said(lambda m=m: CALLS[call](m, x)) for m in (cls(D, H), getattr(nn, cls.__name__)(D, H)))
    assert ours is not None
    assert theirs is not None
    assert ours == theirs
    assert ours[1].startswith(f"{cls.__name__}.forward()")
