"""`torch.nn.LSTM` and its sisters with ours in their place, compiled."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import nn
from torch._dynamo.exc import Unsupported
from torch._dynamo.testing import CompileCounter

import unroll
from unroll.ops.cpu.extension import missing

pytestmark = pytest.mark.slow

NAMES = ["RNN", "GRU", "LSTM"]


@pytest.fixture(autouse=True)
def compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def patched(monkeypatch):
    for name in NAMES:
        monkeypatch.setattr(torch.nn, name, getattr(unroll, name))


class Model(nn.Module):
    """What a person has written for torch.nn."""

    def __init__(self, name):
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.recurrent = getattr(torch.nn, name)(4, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, tokens, state=None):
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.head(y), state


def gradients(run, model, tokens):
    y, state = run(tokens)
    ends = state if isinstance(state, tuple) else (state,)
    loss = y.square().sum() + sum(s.sum() for s in ends)
    return [y, *ends, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("patched")
def test_compiles_whole_once_the_compiler_is_let_in(close, name):
    model = Model(name)
    assert type(model.recurrent) is getattr(unroll, name)
    counter = CompileCounter()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counter)
    with torch._dynamo.config.patch(allow_rnn=True):
        for rows, steps in ((2, 7), (5, 4)):
            tokens = torch.randint(11, (rows, steps))
            close(gradients(compiled, model, tokens), gradients(model, model, tokens))
    assert counter.frame_count == 1


@pytest.mark.skipif(shutil.which("c++") is None, reason="the compiler of torch.compile needs one of C++")
@pytest.mark.filterwarnings("ignore:`torch.jit")  # of the compiler's own
@pytest.mark.usefixtures("patched")
def test_compiles_whole_by_the_compiler_itself(close, monkeypatch, tmp_path):
    # PyTorch reads code compiled for another instruction set out of a folder that processes share.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    model = nn.Sequential(nn.Linear(3, 4), torch.nn.LSTM(4, 5))
    assert type(model[1]) is unroll.LSTM
    compiled = torch.compile(model, fullgraph=True)
    x = torch.randn(7, 2, 3)
    with torch._dynamo.config.patch(allow_rnn=True):
        close(gradients(compiled, model, x), gradients(model, model, x))


@pytest.mark.usefixtures("patched")
def test_the_compiler_names_its_setting_where_it_takes_ours_for_its_own(close):
    model, tokens = Model("LSTM"), torch.randint(11, (2, 7))
    with pytest.raises(Unsupported, match=r"torch\._dynamo\.config\.allow_rnn=True"):
        torch.compile(model, fullgraph=True, backend="eager")(tokens)
    with torch.no_grad():  # in parts, with the same numbers
        close(torch.compile(model, backend="eager")(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("name", NAMES)
def test_unpatched_needs_no_setting(close, name):
    model = Model(name)
    model.recurrent = getattr(unroll, name)(4, 5, num_layers=2, batch_first=True, bidirectional=True)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    tokens = torch.randint(11, (2, 7))
    close(gradients(compiled, model, tokens), gradients(model, model, tokens))


def test_a_subclass_of_torchs_own_would_be_refused():
    class Subclass(nn.LSTM):
        """Why ours are none."""

    with pytest.raises(Unsupported, match="does not support RNN, GRU, or LSTM"):
        torch.compile(Subclass(4, 5), fullgraph=True, backend="eager")(torch.randn(7, 2, 4))
