"""`torch.fx`: a recurrent layer is one node of the graph."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN

D, H = 3, 4


class Model(nn.Module):
    """An embedding, a recurrent layer called in every way, a head."""

    def __init__(self, cls, **options):
        super().__init__()
        self.embedding = nn.Embedding(10, D)
        self.stack = nn.ModuleDict({"recurrent": cls(D, H, batch_first=True, **options)})
        self.head = nn.Linear(H, 2)

    def forward(self, tokens, lengths):
        recurrent = self.stack["recurrent"]
        x = self.embedding(tokens)
        _, state = recurrent(x)
        y, _ = recurrent(x, state, lengths=lengths)
        return self.head(y)


@pytest.mark.parametrize("cls", [RNN, GRU, LSTM])
def test_a_layer_is_one_node(close, cls):
    model = Model(cls, num_layers=2, layer_norm=True)
    traced = fx.symbolic_trace(model)
    calls = [n for n in traced.graph.nodes if n.op == "call_module"]
    assert [n.target for n in calls] == ["embedding", "stack.recurrent", "stack.recurrent", "head"]
    assert [(len(n.args), list(n.kwargs)) for n in calls[1:3]] == [(1, []), (2, ["lengths"])]
    for rows, steps in ((2, 5), (4, 9)):
        tokens, lengths = torch.randint(10, (rows, steps)), torch.randint(0, steps + 1, (rows,))
        close(traced(tokens, lengths), model(tokens, lengths))
    assert traced.get_submodule("stack.recurrent") is model.stack["recurrent"]


def test_a_state_of_symbols_makes_a_node_too():
    class Start(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = LSTM(D, H)

        def forward(self, h, c):
            return self.lstm(torch.ones(5, 2, D), (h, c))[0]

    model = Start()
    h, c = torch.randn(2, 1, 2, H)
    assert torch.equal(fx.symbolic_trace(model)(h, c), model(h, c))


def test_the_layer_itself_cannot_be_traced():
    with pytest.raises(OptionError, match="trace a module that holds it"):
        fx.symbolic_trace(LSTM(D, H), concrete_args={"hx": None, "lengths": None, "resets": None})
