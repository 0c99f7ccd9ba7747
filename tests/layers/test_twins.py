"""Models with PyTorch's own layers in the place of ours: for quantization and `torch.jit.script`."""

from __future__ import annotations

import copy
import io
from typing import Optional

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.utils._pytree import tree_leaves, tree_map
from traced_toy import MAKERS, SIZES, D, H, batch, ragged, shapes

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.twins import scriptable, to_torch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:`torch.jit.(script|save|load)", "ignore:LSTM with projections"),
    pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor"),
]
PLAIN = ["tanh", "relu", "gru", "lstm", "no bias", "projected"]
DROPOUTS = ["input_dropout", "hidden_dropout", "output_dropout", "recurrent_dropout", "weight_dropout"]


class Ragged(nn.Module):
    """A model that can be scripted, with lengths or without."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, lengths: Optional[Tensor] = None):  # noqa: UP045  # as it is mostly written
        return self.layer(x, lengths=lengths)


class Tagger(nn.Module):
    """One recurrent layer that stands in two places."""

    def __init__(self, **options):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(D, D), LSTM(D, H, num_layers=2, bidirectional=True, **options))
        self.again = self.first[1]
        self.head = nn.Linear(2 * H, 2)

    def forward(self, x):
        return self.head(self.first(x)[0])


@pytest.mark.parametrize("name", PLAIN)
@shapes
def test_a_copy_in_torch(close, name, options):
    module = MAKERS[name](**options)
    theirs = to_torch(module)
    assert type(theirs) is getattr(nn, type(module).__name__)
    assert list(theirs.state_dict()) == list(module.state_dict())
    assert repr(theirs) == repr(module)
    for steps, rows in SIZES:
        x = batch(module, steps, rows)
        y, state = theirs(x)
        close(tree_leaves((y, state)), tree_leaves(module(x)))
        close(tree_leaves(theirs(x, state)), tree_leaves(module(x, state)))
    with torch.no_grad():
        theirs.weight_hh_l0.zero_()  # of its own, and what its calls look at
    assert bool(module.weight_hh_l0.any())
    assert not torch.allclose(theirs(x)[0], y)
    double = copy.deepcopy(theirs).double()
    assert double(x.double())[0].dtype == torch.float64


def test_a_model_keeps_its_shape_hooks_and_ties():
    model = Tagger().eval()
    heard = []
    model.again.register_forward_hook(lambda *_: heard.append(1))
    model.again.weight_hh_l1 = model.again.weight_hh_l0
    theirs = to_torch(model)
    assert type(theirs.again) is nn.LSTM
    assert theirs.again is theirs.first[1]
    assert theirs.again.weight_hh_l1 is theirs.again.weight_hh_l0
    assert not theirs.again.training
    assert type(model.again) is LSTM
    x = torch.randn(5, 2, D)
    torch.testing.assert_close(theirs(x), model(x))
    assert heard == [1, 1]


def made_otherwise(change):
    layer = LSTM(D, H)
    change(layer)
    return layer


class Derived(LSTM):
    """A class of a person's own."""


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (LSTM(D, H, learn_initial_state=True), "learn_initial_state"),
        (LSTM(D, H, num_layers=2, residual=True), "residual"),
        (LSTM(D, H, layer_norm=True), "layer_norm"),
        (GRU(D, H, reset_after=False), "reset_after=False"),
        (Derived(D, H), "another class"),
        (made_otherwise(lambda m: parametrize.register_parametrization(m, "weight_hh_l0", nn.Tanh())), "parametrized"),
        (made_otherwise(lambda m: prune.l1_unstructured(m, "weight_hh_l0", 0.5)), "is no parameter"),
        *((LSTM(D, H, num_layers=2, **{n: 0.5}), f"{n}; call eval") for n in DROPOUTS),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
@pytest.mark.parametrize("convert", [to_torch, scriptable])
def test_what_torch_has_not_is_refused(convert, layer, reason):
    with pytest.raises(OptionError, match=f"no layer like '1' .*{reason}"):
        convert(nn.Sequential(nn.Linear(D, D), layer))


@pytest.mark.parametrize("name", DROPOUTS)
def test_dropout_does_not_matter_in_evaluation(close, name):
    module = LSTM(D, H, num_layers=2, **{name: 0.5}).eval()
    x = torch.randn(5, 2, D)
    close(to_torch(module)(x), module(x))


@pytest.mark.parametrize("name", PLAIN)
@shapes
def test_scripts_with_lengths(close, name, options):
    model = Ragged(MAKERS[name](**options))
    module = model.layer
    scripted = torch.jit.script(scriptable(model))
    assert type(model.layer) is type(module)
    assert list(scripted.state_dict()) == list(model.state_dict())
    kept = io.BytesIO()
    torch.jit.save(scripted, kept)
    kept.seek(0)
    for run in (scripted, torch.jit.load(kept)):
        for steps, rows in SIZES:
            x = batch(module, steps, rows)
            close(tree_leaves(run(x)), tree_leaves(module(x)))
            x, lengths = ragged(module, steps, rows)
            close(tree_leaves(run(x, lengths)), tree_leaves(module(x, lengths=lengths)))


@pytest.mark.parametrize("name", PLAIN)
def test_scripts_with_states_and_single_rows(close, name):
    module = MAKERS[name](num_layers=2, bidirectional=True)
    scripted = torch.jit.script(scriptable(module))
    x, lengths = ragged(module, 9, 3)
    state = tree_map(torch.randn_like, module(batch(module, 9, 3))[1])
    close(tree_leaves(scripted(x, state, lengths)), tree_leaves(module(x, state, lengths=lengths)))
    one, state = x.nan_to_num()[:, 0], tree_map(lambda s: s[:, 0], state)
    close(tree_leaves(scripted(one, state)), tree_leaves(module(one, state)))
    close(tree_leaves(scripted(one)), tree_leaves(module(one)))
    length = torch.tensor([4])
    close(tree_leaves(scripted(one, state, length)), tree_leaves(module(one, state, lengths=length)))


@pytest.mark.parametrize("name", PLAIN)
def test_a_scripted_model_learns_as_ours(close, name):
    model = Ragged(MAKERS[name](num_layers=2, bidirectional=True).double())
    copied = scriptable(model)
    scripted = torch.jit.script(copied)
    x, lengths = ragged(model.layer, 9, 4)
    x = x.double()
    found, wanted = (
        torch.autograd.grad(run(x, lengths)[0].square().sum(), list(run.parameters())) for run in (scripted, model)
    )
    close(found, wanted)


@pytest.mark.parametrize("lengths", [[5, 6], [-1, 5], [5], [5, 5, 5]], ids=str)
def test_wrong_lengths_are_refused_when_scripted(lengths):
    scripted = torch.jit.script(scriptable(Ragged(LSTM(D, H))))
    with pytest.raises(torch.jit.Error, match="lengths must"):
        scripted(torch.randn(5, 2, D), torch.tensor(lengths))


def test_script_of_our_own_layer_names_the_way_out():
    model = Ragged(LSTM(D, H))
    for held in (model, model.layer):
        with pytest.raises(OptionError, match=r"twins\.scriptable\(model\)"):
            torch.jit.script(held)
    assert type(model.layer) is LSTM


def quantize(model, kinds, **options):
    return torch.ao.quantization.quantize_dynamic(model, kinds, **options)


@pytest.mark.parametrize("cls", [LSTM, GRU])
def test_quantizes_by_way_of_torch(cls):
    model = nn.Sequential(cls(16, 32, num_layers=2))
    model.eval()
    low = quantize(to_torch(model), {nn.LSTM, nn.GRU, nn.Linear})
    assert type(low[0]) is getattr(torch.ao.nn.quantized.dynamic, cls.__name__)
    x = torch.randn(7, 3, 16)
    wanted = model(x)[0].detach()
    apart = float((low(x)[0].detach() - wanted).abs().max())
    assert 0 < apart < 0.05 * float(wanted.abs().max())


def test_quantization_that_passes_over_ours_says_so():
    model = nn.Sequential(nn.Linear(D, D), LSTM(D, H)).eval()
    with pytest.warns(UserWarning, match=r"leaves unroll\.LSTM as it is; quantize unroll\.layers\.twins\.to_torch"):
        low = quantize(model, {nn.LSTM, nn.Linear})
    assert type(low[0]) is torch.ao.nn.quantized.dynamic.Linear
    assert type(low[1]) is LSTM
    x = torch.randn(5, 2, D)
    torch.testing.assert_close(low[1](x), model[1](x))
    assert not hasattr(low[1], "qconfig")


@pytest.mark.parametrize("spec", [{LSTM}, {"1": torch.ao.quantization.default_dynamic_qconfig}], ids=["class", "name"])
def test_quantization_of_ours_is_refused(spec):
    model = nn.Sequential(nn.Linear(D, D), LSTM(D, H)).eval()
    with pytest.raises(OptionError, match=r"cannot quantize unroll\.LSTM; quantize unroll\.layers\.twins\.to_torch"):
        quantize(model, spec)
