"""The options that `torch.nn` has not, and the refusals that it has."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_sequence

from helpers.recurrences import every_class
from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN
from unroll.ops.cpu.extension import missing

T, B, D, H = 6, 4, 3, 5
FASTEST = "torch" if missing() else "cpu"


@every_class
def test_orthogonal(cls):
    module = cls(D, H, num_layers=2, bidirectional=True, init="orthogonal")
    for name, weight in module.named_parameters():
        if name.startswith("bias"):
            assert not bool(weight.any())
        for block in weight.chunk(module.recurrence.gates) if name.startswith("weight_hh") else ():
            torch.testing.assert_close(block @ block.t(), torch.eye(H))


@pytest.mark.parametrize("init", ["torch", "orthogonal"])
def test_forget_bias(init):
    module = LSTM(D, H, bidirectional=True, init=init, forget_bias=1.0)
    for tail in ("l0", "l0_reverse"):
        total = getattr(module, f"bias_ih_{tail}") + getattr(module, f"bias_hh_{tail}")
        assert torch.equal(total[H : 2 * H], torch.ones(H))
        assert not bool((total[:H] == 1).any())
    with pytest.raises(OptionError, match="bias=True"):
        LSTM(D, H, bias=False, forget_bias=1.0)


@every_class
def test_learnt_initial_state(close, cls):
    module = cls(D, H, num_layers=2, bidirectional=True, learn_initial_state=True)
    names = [n for n, _ in module.named_parameters() if n.startswith("initial")]
    assert names == [f"initial_{s}" for s in module.recurrence.states]
    x = torch.randn(T, B, D)
    for n in names:
        nn.init.normal_(getattr(module, n))
    given = tuple(getattr(module, n).unsqueeze(1).expand(4, B, H) for n in names)
    y, _ = module(x)
    close(y, module(x, given if len(given) > 1 else given[0])[0])
    y.sum().backward()
    assert all(bool(getattr(module, n).grad.any()) for n in names)


@every_class
def test_locked_masks_hold_over_all_steps(close, cls):
    module = cls(D, H, num_layers=2, output_dropout=0.5)
    x = torch.randn(T, B, D)
    y, _ = module(x)
    dropped = y == 0
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert 0 < int(dropped[0].sum()) < B * H

    module = cls(D, H, input_dropout=0.5)
    torch.manual_seed(2)
    y, _ = module(x)
    torch.manual_seed(2)
    mask = functional.dropout(torch.ones(B, D), 0.5)
    close(y, module.eval()(x * mask)[0])


@every_class
def test_recurrent_dropout_is_the_definitions_alone(close, cls):
    module = cls(D, H, recurrent_dropout=0.5)
    x = torch.randn(T, B, D)
    torch.manual_seed(2)
    y, _ = module(x)
    assert module.used[0].backend == "naive"
    assert "recurrent dropout" in module.used[0].passed_over["torch"]
    torch.manual_seed(2)
    mask = functional.dropout(torch.ones(B, H), 0.5)
    assert list(module.used[0].passed_over) == ["cpu", "triton", "torch", "scan"]
    plain = cls(D, H)
    plain.load_state_dict(module.state_dict())
    close(y[0], plain(x[:1])[0][0])
    for b in range(B):
        row = cls(D, H)
        row.load_state_dict(module.state_dict())
        with torch.no_grad():
            row.weight_hh_l0 *= mask[b]
        if cls is not GRU:  # the mask on h is a mask on the columns of U
            close(y[:, b], row(x[:, b])[0])
    assert not torch.equal(y, plain(x)[0])
    close(module.eval()(x), plain(x))
    assert module.used[0].backend == FASTEST

    for backend in {"torch", FASTEST}:
        module.train().backend = backend
        with pytest.raises(OptionError, match=rf"'{backend}' cannot serve this call: .*recurrent dropout"):
            module(x)


@every_class
def test_dropout_between_layers_holds_over_all_steps(close, cls):
    module = cls(D, H, num_layers=3, bidirectional=True, hidden_dropout=0.5)
    assert "hidden_dropout=0.5" in repr(module)
    x = torch.randn(T, B, D)
    singles = []
    for layer in range(3):
        single = cls(D if layer == 0 else 2 * H, H, bidirectional=True)
        named = {n: p for n, p in module.state_dict().items() if f"_l{layer}" in n}
        single.load_state_dict({n.replace(f"_l{layer}", "_l0"): p for n, p in named.items()})
        singles.append(single)
    torch.manual_seed(2)
    y, _ = module(x)
    torch.manual_seed(2)
    masks = [functional.dropout(torch.ones(B, 2 * H), 0.5) for _ in range(2)]
    want = singles[2](singles[1](singles[0](x)[0] * masks[0])[0] * masks[1])[0]
    close(y, want)
    plain = cls(D, H, num_layers=3, bidirectional=True)
    plain.load_state_dict(module.state_dict())
    close(module.eval()(x), plain(x))


def test_dropout_between_layers_needs_two():
    with pytest.raises(OptionError, match="hidden_dropout acts between layers and there is one"):
        GRU(D, H, hidden_dropout=0.5)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}], ids=["one", "both ways"])
@every_class
def test_dropped_weights(close, cls, options, backend, recompute):
    module = cls(D, H, **options, weight_dropout=0.4, backend=backend, recompute=recompute, dtype=torch.float64)
    plain = cls(D, H, **options, backend=backend, dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64)
    matrices = [n for n in dict(module.named_parameters()) if n.startswith("weight_hh")]
    torch.manual_seed(2)
    weights = module.state_dict()
    masks = {n: functional.dropout(torch.ones_like(weights[n]), 0.4) for n in matrices}
    plain.load_state_dict({n: w * masks.get(n, 1.0) for n, w in weights.items()})
    torch.manual_seed(2)
    y, end = module(x, lengths=[6, 2, 0, 4])
    want, want_end = plain(x, lengths=[6, 2, 0, 4])
    close(y, want)
    close(end, want_end)
    ours, theirs = (dict(m.named_parameters()) for m in (module, plain))
    found, expected = (torch.autograd.grad((v * v).sum(), list(p.values())) for v, p in ((y, ours), (want, theirs)))
    for name, a, b in zip(ours, found, expected, strict=True):
        close(a, b * masks.get(name, 1.0), name)
    assert module.used[0].backend == backend
    plain.load_state_dict(weights)
    close(module.eval()(x), plain(x))


@every_class
def test_one_set_of_dropped_weights_serves_a_call(close, cls):
    """Every row and step has the same matrix: equal rows stay equal, and another call has another one."""
    module = cls(D, H, weight_dropout=0.5)
    x = torch.randn(T, 1, D).expand(T, B, D)
    y, _ = module(x)
    close(y, y[:, :1].expand_as(y))
    assert not torch.equal(module(x)[0], y)
    torch.manual_seed(4)
    y, _ = module(x)
    torch.manual_seed(4)
    close(module.trace(x).output, y)
    assert "weight_dropout=0.5" in repr(module)


@every_class
def test_dropout_makes_no_parameters(cls):
    plain = cls(D, H, num_layers=2)
    module = cls(D, H, num_layers=2, weight_dropout=0.5, hidden_dropout=0.5)
    module.load_state_dict(plain.state_dict())
    twin = copy.deepcopy(module)
    x = torch.randn(T, B, D)
    torch.manual_seed(4)
    y, _ = module(x)
    y.sum().backward()
    torch.manual_seed(4)
    assert torch.equal(twin(x)[0], y)
    assert twin.weight_hh_l0.grad is None
    assert twin.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("name", ["input", "hidden", "output", "recurrent", "weight"])
@every_class
def test_no_steps_with_a_mask_for_all_steps(cls, name):
    module = cls(D, H, num_layers=2, **{f"{name}_dropout": 0.5})
    x = torch.randn(T, B, D)
    with pytest.raises(OptionError, match=r"call eval\(\) first"):
        module.step(x[0])
    module.eval()
    y, _ = module(x)
    torch.testing.assert_close(module.step(x[0])[0], y[0])


def test_reset_before(close):
    module = GRU(D, H, reset_after=False)
    x = torch.randn(T, B, D)
    y, _ = module(x)
    assert module.used[0].backend == ("cpu" if FASTEST == "cpu" else "naive")
    assert "reset_after=False" in repr(module)
    h = torch.zeros(B, H)
    wr, wz, wn = module.weight_ih_l0.chunk(3)
    ur, uz, un = module.weight_hh_l0.chunk(3)
    br, bz, bn = (module.bias_ih_l0 + module.bias_hh_l0).chunk(3)
    for t in range(T):
        r = torch.sigmoid(x[t] @ wr.t() + h @ ur.t() + br)
        z = torch.sigmoid(x[t] @ wz.t() + h @ uz.t() + bz)
        n = torch.tanh(x[t] @ wn.t() + (r * h) @ un.t() + bn)
        h = z * h + (1 - z) * n
        close(y[t], h)


@every_class
def test_residual_and_norm(close, cls):
    module = cls(D, H, num_layers=3, bidirectional=True, residual=True, layer_norm=True)
    nn.init.normal_(module.norm_l1.weight)
    nn.init.normal_(module.norm_l1.bias)
    lengths = [6, 2, 0, 4]
    x = torch.randn(T, B, D)
    y, _ = module(x, lengths=lengths)
    want = x
    for layer in range(3):
        single = cls(D if layer == 0 else 2 * H, H, bidirectional=True)
        state = {k: v for k, v in module.state_dict().items() if f"_l{layer}" in k and "norm" not in k}
        single.load_state_dict({k.replace(f"_l{layer}", "_l0"): v for k, v in state.items()})
        out = getattr(module, f"norm_l{layer}")(single(want, lengths=lengths)[0])
        want = out if layer == 0 else out + want
    inside = (torch.arange(T).unsqueeze(1) < torch.tensor(lengths)).unsqueeze(-1)
    close(y, want * inside)


def test_backends_by_name(close):
    x = torch.randn(T, B, D)
    with pytest.raises(OptionError, match="did you mean 'naive'"):
        LSTM(D, H, backend="naiv")
    module = LSTM(D, H, backend="naive")
    assert module.used == ()
    y, _ = module(x)
    assert module.used == (("naive", {}),)
    module.backend = "auto"
    close(module(x)[0], y)
    assert [u.backend for u in module.used] == [FASTEST]


@pytest.mark.parametrize(
    "options",
    [
        {"input_dropout": 1.0},
        {"output_dropout": -0.1},
        {"recurrent_dropout": True},
        {"hidden_dropout": 1.0},
        {"weight_dropout": -0.5},
        {"weight_dropout": "0.5"},
        {"init": "orthogonl"},
    ],
    ids=str,
)
def test_wrong_options(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        GRU(D, H, **options)


def caught(build):
    try:
        build()
    except Exception as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize(
    "arguments",
    [
        {"dropout": 1.5},
        {"dropout": True},
        {"bias": 1},
        {"batch_first": 0},
        {"input_size": 0},
        {"input_size": 2.0},
        {"hidden_size": -1},
        {"hidden_size": "4"},
        {"num_layers": 0},
    ],
    ids=str,
)
@every_class
def test_constructor_refuses_as_torch(cls, arguments):
    arguments = {"input_size": D, "hidden_size": H, **arguments}
    theirs = getattr(nn, cls.__name__)
    assert caught(lambda: cls(**arguments)) == caught(lambda: theirs(**arguments)) is not None


@pytest.mark.parametrize("arguments", [{"proj_size": -1}, {"proj_size": H}], ids=str)
def test_projection_refused_as_torch(arguments):
    theirs = caught(lambda: nn.LSTM(D, H, **arguments))
    assert caught(lambda: LSTM(D, H, **arguments)) == theirs is not None
    assert caught(lambda: GRU(D, H, **arguments)) == caught(lambda: nn.GRU(D, H, **arguments)) is not None


def test_unknown_nonlinearity():
    assert caught(lambda: RNN(D, H, nonlinearity="sin")) == caught(lambda: nn.RNN(D, H, nonlinearity="sin"))


def test_pointless_dropout_warns_as_torch():
    with pytest.warns(UserWarning, match="expects num_layers greater than 1, but got dropout=0.5") as seen:
        GRU(D, H, dropout=0.5)
    assert seen[0].filename == __file__


INPUTS = {
    "four dimensions": (torch.zeros(1, T, B, D), None),
    "features": (torch.zeros(T, B, D + 1), None),
    "packed features": (pack_sequence([torch.zeros(T, D + 1)]), None),
    "type": (torch.zeros(T, B, D, dtype=torch.float64), None),
    "no steps": (torch.zeros(0, B, D), None),
    "state's rows": (torch.zeros(T, B, D), (1, B + 1, H)),
    "state's width": (torch.zeros(T, B, D), (1, B, H + 1)),
    "state's layers": (torch.zeros(T, B, D), (2, B, H)),
    "state of one row": (torch.zeros(T, B, D), (1, H)),
    "state of a batch": (torch.zeros(T, D), (1, 1, H)),
    "packed state's rows": (pack_sequence([torch.zeros(T, D)]), (1, 2, H)),
}


@pytest.mark.parametrize("case", INPUTS)
@every_class
def test_call_refuses_as_torch(cls, case):
    x, shape = INPUTS[case]
    state = None if shape is None else torch.zeros(shape)
    if cls is LSTM and state is not None:
        state = state, state
    ours = caught(lambda: cls(D, H)(x, state))
    assert ours is not None
    if cls is LSTM and case.startswith("packed"):
        return  # torch.nn.LSTM does not look, and reads beyond its tensors
    theirs = caught(lambda: getattr(nn, cls.__name__)(D, H)(x, state))
    if case == "four dimensions":  # torch.nn words it in two ways
        ours, theirs = ((e[0], e[1].replace(" tensor", "")) for e in (ours, theirs))
    assert ours == theirs


def test_state_of_another_kind():
    x = torch.zeros(T, B, D)
    with pytest.raises(TypeError, match=r"tuple \(h, c\)"):
        LSTM(D, H)(x, torch.zeros(1, B, H))
    with pytest.raises(TypeError, match="must be a tensor"):
        GRU(D, H)(x, (torch.zeros(1, B, H),))
    with pytest.raises(RuntimeError, match="same dtype"):
        GRU(D, H)(x, torch.zeros(1, B, H, dtype=torch.float64))


def test_keywords_of_torch(close):
    x, h = torch.randn(T, B, D), torch.randn(1, B, H)
    module = GRU(D, H)
    close(module(input=x, hx=h), module(x, h))


@every_class
def test_a_named_backend_that_could_not_train_is_refused_at_once(cls):
    for backend in {"torch", FASTEST}:
        with pytest.raises(OptionError, match=rf"'{backend}' cannot serve this layer: .*no recurrent dropout"):
            cls(D, H, recurrent_dropout=0.2, backend=backend)
        cls(D, H, backend=backend)
    for backend in ("auto", "naive"):
        cls(D, H, recurrent_dropout=0.2, backend=backend)


def test_a_named_backend_without_the_form_is_refused_at_once():
    with pytest.raises(OptionError, match=r"backend 'torch' cannot serve this layer: .*'gru_reset_before'"):
        GRU(D, H, reset_after=False, backend="torch")
    for backend in {"auto", "naive", FASTEST} - {"torch"}:
        GRU(D, H, reset_after=False, backend=backend)


@pytest.mark.parametrize("lengths", [None, [6, 2, 1, 4]], ids=str)
def test_a_projection_says_nothing_of_pytorchs_insides(lengths):
    module = LSTM(D, H, proj_size=2, backend="torch")
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # else PyTorch says it once in a process
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            module(torch.randn(T, B, D), lengths=lengths)[0].sum().backward()
    finally:
        torch.set_warn_always(before)
    assert [str(w.message) for w in said] == []


def test_resets_as_lists(close):
    module = GRU(D, H)
    x = torch.randn(T, B, D)
    resets = [[t == b for t in range(T)] for b in range(B)]
    close(module(x, resets=resets), module(x, resets=torch.tensor(resets)))
    close(module(x[:, 1], resets=resets[1]), module(x[:, 1], resets=torch.tensor(resets[1])))
    assert not torch.equal(module(x, resets=resets)[0], module(x)[0])
    with pytest.raises(OptionError, match=r"resets must have the shape \(batch, steps\) = \(4, 6\), got \(3, 2\)"):
        module(x, resets=[[True] * 2] * 3)
    with pytest.raises(OptionError, match=r"resets must be of type torch.bool"):
        module(x, resets=[[0] * T] * B)
    with pytest.raises(OptionError, match=r"resets must be true or false for each step of each row"):
        module(x, resets=[[True], [True, False]])
