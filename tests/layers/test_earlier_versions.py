"""Modules that an earlier version has pickled, before some of what they now hold was thought of."""

from __future__ import annotations

import pytest
import torch
from torch.utils._pytree import tree_leaves

from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN
from unroll.ops.gated import WEIGHTS

T, B, D, H = 4, 3, 2, 3
LATER = (
    "chrono_init", "hidden_dropout", "weight_dropout", "recompute", "_all_weights", "_flat_weights_names",
    "_flat_weight_refs", "_used", "init", "backend",
)  # fmt: skip
MAKERS = {
    "rnn": lambda: RNN(D, H, nonlinearity="relu"),
    "gru": lambda: GRU(D, H, num_layers=2, bias=False, reset_after=False, learn_initial_state=True, layer_norm=True),
    "lstm": lambda: LSTM(D, H, num_layers=2, bidirectional=True, proj_size=2, batch_first=True),
}


def earlier(module):
    """What the version before these layers were a `torch.nn.RNNBase` wrote down, and no more than an early one did."""
    names = []
    for layer in range(module.num_layers):
        for suffix in ("", "_reverse")[: 1 + module.bidirectional]:
            tail = f"_l{layer}{suffix}"
            names.append(tuple(n + tail if hasattr(module, n + tail) else None for n in WEIGHTS))
    state = {name: value for name, value in vars(module).items() if name not in LATER}
    return {**state, "_names": names, "_steps": None}


@pytest.mark.parametrize("name", MAKERS)
def test_what_it_did_not_know_is_as_it_is_by_default(close, name):
    module = MAKERS[name]().eval()
    old = type(module).__new__(type(module))
    old.__setstate__(earlier(module))
    assert repr(old) == repr(module)
    assert old.used == ()
    assert old.recompute is False
    assert old._flat_weights_names == module._flat_weights_names
    assert old._all_weights == module._all_weights
    x = torch.randn(B, T, D) if module.batch_first else torch.randn(T, B, D)
    close(tree_leaves(old(x, lengths=[2, 4, 0])), tree_leaves(module(x, lengths=[2, 4, 0])))
    if not module.bidirectional:
        with torch.no_grad():
            _, state = module.step(x[0])
            close(tree_leaves(old.step(x[1], state)), tree_leaves(module.step(x[1], state)))
    assert len(old.state_dict()) == len(module.state_dict())
    old.reset_parameters()


def test_what_can_be_derived_is_not_written_down():
    written = LSTM(D, H).__getstate__()
    assert not {"_names", "_steps", "_flat_weights", "_flat_weight_refs"} & written.keys()
