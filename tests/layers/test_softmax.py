"""Softmax over many classes, in one level and in two."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional
from torch.testing import assert_close

from unroll.errors import OptionError
from unroll.layers import softmax
from unroll.layers.softmax import AdaptiveSoftmax, FullSoftmax

N, E, V = 40, 4, 23
KINDS = {
    "full": lambda **options: FullSoftmax(V, E, **options),
    "one cluster": lambda **options: AdaptiveSoftmax(V, E, (5,), **options),
    "two clusters": lambda **options: AdaptiveSoftmax(V, E, [3, 11], **options),
    "least": lambda **options: AdaptiveSoftmax(V, E, (1, 2, V - 1), **options),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
exact = {"rtol": 0, "atol": 1e-10}


def make(kind, **options):
    module = KINDS[kind](**options).double()
    for p in module.parameters():
        torch.nn.init.normal_(p)
    return module


def inputs():
    target = torch.cat([torch.arange(V), torch.randint(V, (N - V,))])
    return torch.randn(N, E, dtype=torch.float64, requires_grad=True), target


@every_kind
@pytest.mark.parametrize("bias", [True, False])
def test_normalised_and_exact(kind, bias):
    module = make(kind, bias=bias)
    h, target = inputs()
    log_p = module.log_prob(h)
    assert log_p.shape == (N, V)
    assert_close(log_p.exp().sum(1), torch.ones(N, dtype=torch.float64), **exact)
    want = -log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    found = module.nll(h, target)
    assert_close(found, want, **exact)
    over = (h, *module.parameters())
    weights = torch.randn(N, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((weights * v).sum(), over) for v in (found, want))
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, **exact)


@every_kind
def test_derivatives(kind):
    module = make(kind)
    names = list(dict(module.named_parameters()))
    h, target = torch.randn(5, E, dtype=torch.float64), torch.tensor([0, 1, 4, 12, 22])

    def run(h, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(module, given, (h, target))

    module.forward = module.nll
    over = tuple(v.detach().requires_grad_() for v in (h, *module.parameters()))
    assert gradcheck(run, over)
    assert gradgradcheck(run, over, fast_mode=True)


def test_the_full_one_is_pytorchs():
    module = make("full")
    h, target = inputs()
    want = functional.cross_entropy(h @ module.weight.t() + module.bias, target, reduction="none")
    assert_close(module.nll(h, target), want, **exact)


def test_two_levels_by_hand():
    module = make("two clusters")
    h = torch.randn(1, E, dtype=torch.float64)
    scores = (h @ module.weight.t() + module.bias).squeeze()
    clusters = (h @ module.cluster_weight.t() + module.cluster_bias).squeeze()
    head = torch.cat([scores[:3], clusters]).softmax(0)
    p = module.log_prob(h).exp().squeeze()
    assert_close(p[:3], head[:3], **exact)
    assert_close(p[3:11], head[3] * scores[3:11].softmax(0), **exact)
    assert_close(p[11:], head[4] * scores[11:].softmax(0), **exact)


@every_kind
def test_tied(kind):
    own, tied = make(kind), make(kind, tied=True)
    tied.load_state_dict({n: p for n, p in own.state_dict().items() if n != "weight"})
    assert "weight" not in dict(tied.named_parameters())
    h, target = inputs()
    weight = own.weight.detach().clone().requires_grad_()
    theirs, ours = tied.nll(h, target, weight).sum(), own.nll(h, target).sum()
    assert torch.equal(theirs, ours)
    assert torch.equal(tied.log_prob(h, weight), own.log_prob(h))
    theirs.backward()
    ours.backward()
    assert torch.equal(weight.grad, own.weight.grad)
    with pytest.raises(OptionError, match="pass weight"):
        tied.nll(h, target)
    with pytest.raises(OptionError, match=rf"weight must have the shape \({V}, {E}\), got \({V}, 3\)"):
        tied.log_prob(h, torch.zeros(V, 3))


@every_kind
def test_blocks_change_nothing(kind, monkeypatch):
    module = make(kind)
    h, target = inputs()
    over = (h, *module.parameters())
    whole = module.nll(h, target)
    gradients = torch.autograd.grad(whole.sum(), over)
    monkeypatch.setattr(softmax, "_BLOCK", 7 * V)
    blocks = module.nll(h, target)
    assert_close(blocks, whole, **exact)
    for a, b in zip(torch.autograd.grad(blocks.sum(), over), gradients, strict=True):
        assert_close(a, b, **exact)
    with torch.no_grad():
        assert_close(module.nll(h, target), whole.detach(), **exact)


def test_blocks_keep_few_scores(monkeypatch):
    module = make("full")
    h, target = torch.randn(1000, E, dtype=torch.float64), torch.randint(V, (1000,))

    def kept():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            module.nll(h, target)
        return sizes

    assert max(kept()) >= 1000 * V
    monkeypatch.setattr(softmax, "_BLOCK", 10 * V)
    assert max(kept()) < 1000 * V


def test_a_cluster_that_nothing_needs_is_not_computed(monkeypatch):
    module = make("two clusters")
    h, _ = inputs()
    seen = []
    whole = softmax._nll
    monkeypatch.setattr(softmax, "_nll", lambda h, *rest: seen.append(len(h)) or whole(h, *rest))
    target = torch.tensor([0, 2, 12, 1] * (N // 4))
    module.nll(h, target).sum().backward()
    assert seen == [N, N // 4]
    assert torch.equal(module.weight.grad.abs().sum(1) > 0, torch.tensor([k < 3 or k >= 11 for k in range(V)]))


def test_targets_that_are_no_class():
    for kind in ("full", "two clusters"):
        for wrong in (-100, -1, V):
            with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
                make(kind).nll(torch.zeros(1, E, dtype=torch.float64), torch.tensor([wrong]))


def test_no_rows():
    for kind in ("full", "two clusters"):
        module = make(kind)
        assert module.nll(torch.zeros(0, E, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("cutoffs", "words"),
    [
        ((), "give whole numbers, at least one"),
        ((2.5,), "give whole numbers"),
        ((0, 4), "the first above 0"),
        ((4, 4), "each must be above the one before"),
        ((9, 4), "each must be above the one before"),
        ((4, V), f"with {V} classes the last must be at most {V - 1}"),
    ],
)
def test_wrong_cutoffs(cutoffs, words):
    with pytest.raises(OptionError, match=words):
        AdaptiveSoftmax(V, E, cutoffs)


def test_wrong_sizes():
    with pytest.raises(OptionError, match="classes must be a whole number of at least 1, got 0"):
        FullSoftmax(0, E)
    with pytest.raises(OptionError, match="features must be"):
        AdaptiveSoftmax(V, True, (4,))


def test_what_they_say_of_themselves():
    assert repr(AdaptiveSoftmax(V, E, [3, 11], tied=True)) == "AdaptiveSoftmax(23, 4, tied=True, cutoffs=(3, 11))"
    assert repr(FullSoftmax(V, E)) == "FullSoftmax(23, 4)"
    with torch.device("meta"):
        assert AdaptiveSoftmax(V, E, [3]).weight.is_meta
