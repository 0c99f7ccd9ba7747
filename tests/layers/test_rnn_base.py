"""What PyTorch's tools expect of a `torch.nn.RNNBase`, where weights are pruned, parametrized, swapped and copied."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import pack_sequence

import unroll
from helpers.recurrences import every_class
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM

T, B, D, H = 4, 3, 2, 3


def in_step(module):
    """The list is the parameters that are there, by name; returns how many of them are parameters."""
    flat = module._flat_weights
    assert all(w is getattr(module, n) for w, n in zip(flat, module._flat_weights_names, strict=True))
    return sum(isinstance(w, nn.Parameter) for w in flat)


def twin(module, **options):
    """PyTorch's module with the same weights."""
    theirs = getattr(nn, type(module).__name__)(D, H, **options)
    theirs.load_state_dict(module.state_dict())
    return theirs


@every_class
def test_is_a_recurrent_layer_of_torch_but_for_the_compiler_no_lstm(cls):
    assert isinstance(cls(D, H), nn.RNNBase)
    assert not isinstance(cls(D, H), (nn.RNN, nn.GRU, nn.LSTM))  # which torch.compile refuses


@every_class
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "bias": False}], ids=str)
def test_what_is_written_down_is_what_torch_writes_down(cls, options):
    ours, theirs = cls(D, H, **options), getattr(nn, cls.__name__)(D, H, **options)
    for name in ("_flat_weights_names", "_all_weights", "__constants__", "mode", "proj_size", "dropout"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert [w.shape for w in ours._flat_weights] == [w.shape for w in theirs._flat_weights]
    assert [[w.shape for w in ws] for ws in ours.all_weights] == [[w.shape for w in ws] for ws in theirs.all_weights]
    missing = set(dir(theirs)) - set(dir(ours))
    assert missing == set()


def test_the_methods_of_torch_answer_as_there():
    ours, theirs = LSTM(D, H, proj_size=2, bidirectional=True), nn.LSTM(D, H, proj_size=2, bidirectional=True)
    x, packed = torch.randn(T, B, D), pack_sequence([torch.randn(n, D) for n in (4, 2, 1)])
    state = torch.randn(2, B, 2), torch.randn(2, B, H)
    order = torch.tensor([2, 0, 1])
    for call in (
        lambda m: m.get_expected_hidden_size(x, None),
        lambda m: m.get_expected_hidden_size(packed.data, packed.batch_sizes),
        lambda m: m.get_expected_cell_size(x, None),
        lambda m: m.check_forward_args(x, state, None),
        lambda m: m.check_input(packed.data, packed.batch_sizes),
        lambda m: m.check_hidden_size(state[0], (2, B, 2)),
        lambda m: [s.tolist() for s in m.permute_hidden(state, order)],
    ):
        assert call(ours) == call(theirs)
    for call in (
        lambda m: m.check_input(x[0], None),
        lambda m: m.check_forward_args(x, state[::-1], None),
        lambda m: m.check_hidden_size(state[0], (1, B, 2)),
    ):
        said = []
        for module in (ours, theirs):
            with pytest.raises(RuntimeError) as caught:
                call(module)
            said.append(str(caught.value))
        assert said[0] == said[1]
    gru = GRU(D, H)
    assert torch.equal(gru.permute_hidden(state[1], order), state[1][:, order])


@pytest.mark.parametrize(
    ("module", "name"),
    [(LSTM(D, H), "weight_ih_l0"), (GRU(D, H), "weight_hh_l0"), (LSTM(D, H, proj_size=2), "weight_hr_l0")],
    ids=["lstm", "gru", "projected"],
)
def test_weight_norm_takes_one_parameter_out_and_gives_it_back(close, module, name):
    module = copy.deepcopy(module)
    count, x = in_step(module), torch.randn(T, B, D)
    wanted = module(x)
    parametrizations.weight_norm(module, name)
    assert in_step_parametrized(module) == count - 1
    close(module(x), wanted)
    module(x)[0].sum().backward()
    assert bool(module.parametrizations[name].original0.grad.any())
    parametrize.remove_parametrizations(module, name)
    assert in_step(module) == count
    assert isinstance(module._parameters[name], nn.Parameter)
    assert f"{name}_v" not in module._parameters
    close(module(x), wanted)


@every_class
def test_a_parametrized_layer_can_start_anew(cls):
    module = cls(D, H, layer_norm=True)
    parametrizations.weight_norm(module, "weight_hh_l0")
    with torch.no_grad():
        module.norm_l0.bias.fill_(3)
    before = module.weight_ih_l0.clone()
    module.reset_parameters()
    assert not torch.equal(module.weight_ih_l0, before)
    assert not bool(module.norm_l0.bias.any())


def in_step_parametrized(module):
    """A parametrized weight is computed anew at each look."""
    for weight, name in zip(module._flat_weights, module._flat_weights_names, strict=True):
        assert torch.equal(weight, getattr(module, name))
    return sum(isinstance(w, nn.Parameter) for w in module._flat_weights)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_weight_norm_by_hooks(close):
    module, x = LSTM(D, H), torch.randn(T, B, D)
    wanted = module(x)
    nn.utils.weight_norm(module, "weight_hh_l0")
    close(module(x), wanted)
    assert in_step(module) == 3
    with torch.no_grad():
        module.weight_hh_l0_g.mul_(2)
    assert not torch.allclose(module(x)[0], wanted[0], atol=1e-3)
    nn.utils.remove_weight_norm(module, "weight_hh_l0")
    assert in_step(module) == 4


@every_class
def test_pruning_takes_one_parameter_out_and_gives_it_back(close, cls):
    module, x = cls(D, H), torch.randn(T, B, D)
    prune.l1_unstructured(module, "weight_ih_l0", 0.5)
    assert in_step(module) == 3
    assert int((module.weight_ih_l0 == 0).sum()) == module.weight_ih_l0.numel() // 2
    y, _ = module(x)
    y.sum().backward()
    assert not bool(module.weight_ih_l0_orig.grad[module.weight_ih_l0_mask == 0].any())
    prune.remove(module, "weight_ih_l0")
    assert in_step(module) == 4
    assert module._parameters["weight_ih_l0"] is not None
    assert "weight_ih_l0_orig" not in module._parameters
    close(module(x)[0], y)
    close(twin(module)(x)[0], y)


@every_class
def test_every_way_to_swap_weights(close, cls):
    module, x = cls(D, H, num_layers=2), torch.randn(T, B, D)
    count = in_step(module)
    other = cls(D, H, num_layers=2)
    module.load_state_dict(other.state_dict(), assign=True)
    assert in_step(module) == count
    close(module(x), other(x))

    module.weight_hh_l0 = nn.Parameter(module.weight_hh_l0 * 2)
    assert in_step(module) == count
    close(module(x), twin(module, num_layers=2)(x))

    module._flat_weights = [nn.Parameter(w / 2) for w in module._flat_weights]
    assert in_step(module) == count
    close(module(x), twin(module, num_layers=2)(x))

    seen = []
    handle = module.register_forward_pre_hook(lambda m, _: seen.append(list(m._flat_weights)))
    given = {n: torch.zeros_like(p) for n, p in module.named_parameters()}
    y, _ = functional_call(module, given, (x,))
    handle.remove()
    assert not bool(y.any())
    assert all(w is given[n] for w, n in zip(seen[0], module._flat_weights_names, strict=True))
    assert in_step(module) == count

    for moved in (module.double(), module.to(torch.float32), module.share_memory(), module.to("meta")):
        assert in_step(moved) == count
    assert module.to_empty(device="cpu").weight_ih_l0.device.type == "cpu"
    assert in_step(module) == count


@every_class
def test_copies_have_their_own_weights(close, cls):
    module, x = cls(D, H, learn_initial_state=True, layer_norm=True), torch.randn(T, B, D)
    wanted = module(x)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301  # our own bytes
        assert in_step(other) == 4
        assert not {id(w) for w in other._flat_weights} & {id(w) for w in module._flat_weights}
        with torch.no_grad():
            other.weight_ih_l0.zero_()
        close(module(x), wanted)
    shallow = copy.copy(module)
    assert shallow.weight_ih_l0 is module.weight_ih_l0
    close(shallow(x), wanted)


def test_a_replica_has_a_list_of_its_own():
    module = LSTM(D, H)
    replica = module._replicate_for_data_parallel()
    replica._parameters = {n: nn.Parameter(p + 1) for n, p in module._parameters.items()}
    assert in_step(replica) == in_step(module) == 4
    assert replica._flat_weights[0] is not module._flat_weights[0]


def test_the_list_is_kept_where_a_parameter_is_missing():
    module = LSTM(D, H)
    del module.bias_hh_l0
    assert module._flat_weights[3] is None


def test_loops_over_recurrent_layers_find_ours():
    model = nn.Sequential(nn.Linear(D, D), unroll.LSTM(D, H), unroll.GRU(D, H))
    found = [m for m in model.modules() if isinstance(m, nn.RNNBase)]
    assert len(found) == 2
    for module in found:
        module.flatten_parameters()
        for weights in module.all_weights:
            for weight in weights:
                nn.init.constant_(weight, 0.5)
    assert all(bool((w == 0.5).all()) for m in found for w in m._flat_weights)


class Halved(nn.Module):
    """Computes X / 2, and pretends that its inverse is the identity."""

    def forward(self, X):
        return X / 2

    def right_inverse(self, X):
        return X


def test_moving_a_parametrized_layer_sets_no_weight():
    layer = unroll.LSTM(3, 4)
    parametrize.register_parametrization(layer, "weight_hh_l0", Halved(), unsafe=True)
    before = layer.parametrizations.weight_hh_l0.original.detach().clone()
    layer.double().float().share_memory()
    assert torch.equal(layer.parametrizations.weight_hh_l0.original, before)
    assert torch.equal(layer.weight_hh_l0, before / 2)
