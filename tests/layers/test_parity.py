"""`unroll.RNN/LSTM/GRU` against `torch.nn`: outputs, states and every gradient."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from helpers.recurrences import every_twin, layer, twin

T, B, D, H = 5, 4, 3, 4
LENGTHS = [3, 5, 1, 2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]


def tensors(*values):
    """All tensors in a nest, in order."""
    for v in values:
        if isinstance(v, PackedSequence):
            yield v.data
        elif isinstance(v, torch.Tensor):
            yield v
        elif v is not None:
            yield from tensors(*v)


def gradients(module, x, state, *results):
    inputs = [*tensors(x, state), *module.parameters()]
    generator = torch.Generator().manual_seed(1)
    loss = sum((r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in tensors(*results))
    return torch.autograd.grad(loss, inputs, allow_unused=True)


def pair(name, dtype, backend="auto", **options):
    theirs = twin(name, D, H, **options, dtype=dtype)
    ours = layer(name, D, H, backend, **options, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def state_for(module, given, rows, dtype):
    if not given:
        return None
    k = module.num_layers * (2 if module.bidirectional else 1)
    shape = (k, rows, module.proj_size or H) if rows else (k, module.proj_size or H)
    h = torch.randn(shape, dtype=dtype).requires_grad_()
    if not isinstance(module, nn.LSTM):
        return h
    return h, torch.randn((*shape[:-1], H), dtype=dtype).requires_grad_()


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("given", [False, True], ids=["absent", "given"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("layers", [1, 2])
@every_twin
def test_same_numbers(close, name, layers, bidirectional, given, dtype, backend):
    for bias, batch_first in itertools.product((True, False), repeat=2):
        options = {
            "num_layers": layers,
            "bidirectional": bidirectional,
            "bias": bias,
            "batch_first": batch_first,
        }
        ours, theirs = pair(name, dtype, backend, **options)
        x = torch.randn((B, T, D) if batch_first else (T, B, D), dtype=dtype).requires_grad_()
        state = state_for(theirs, given, B, dtype)

        got, wanted = ours(x, state), theirs(x, state)
        close(got, wanted, "padded")
        close(gradients(ours, x, state, got), gradients(theirs, x, state, wanted), "padded gradient")
        assert [u.backend for u in ours.used] == [backend]

        def packed(x, first=batch_first):
            return pack_padded_sequence(x, torch.tensor(LENGTHS), first, enforce_sorted=False)

        wanted = theirs(packed(x), state)
        wanted_gradients = gradients(theirs, x, state, wanted)
        got = ours(packed(x), state)
        assert torch.equal(got[0].batch_sizes, wanted[0].batch_sizes)
        assert torch.equal(got[0].unsorted_indices, wanted[0].unsorted_indices)
        close([*tensors(got)], [*tensors(wanted)], "packed")
        close(gradients(ours, x, state, got), wanted_gradients, "packed gradient")

        y, end = ours(x, state, lengths=LENGTHS)
        padded = pad_packed_sequence(wanted[0], batch_first)[0]
        close([y, *tensors(end)], [padded, *tensors(wanted[1])], "lengths")
        close(gradients(ours, x, state, packed(y), end), wanted_gradients, "lengths gradient")

        x = torch.randn(T, D, dtype=dtype).requires_grad_()
        state = state_for(theirs, given, 0, dtype)
        got, wanted = ours(x, state), theirs(x, state)
        close(got, wanted, "unbatched")
        close(gradients(ours, x, state, got), gradients(theirs, x, state, wanted), "unbatched gradient")


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@every_twin
@pytest.mark.parametrize("size", [1, 7, 63])
def test_odd_sizes(close, name, size, backend):
    theirs = twin(name, size, size + 2, bidirectional=True)
    ours = layer(name, size, size + 2, backend, bidirectional=True)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(size, size, size).requires_grad_()
    lengths = torch.randint(1, size + 1, (size,))
    wanted = theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))
    y, end = ours(x, lengths=lengths)
    got = pack_padded_sequence(y, lengths, enforce_sorted=False), end
    close([*tensors(got)], [*tensors(wanted)])
    close(gradients(ours, x, None, got), gradients(theirs, x, None, wanted))


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@every_twin
def test_non_contiguous(close, name, backend):
    ours, theirs = pair(name, torch.float64, backend, bidirectional=True)
    x = torch.randn(D, 2 * T, B, dtype=torch.float64).permute(1, 2, 0)[::2].requires_grad_()
    state = state_for(theirs, True, B, torch.float64)
    state = [s.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_() for s in tensors(state)]
    state = tuple(state) if len(state) > 1 else state[0]
    got, wanted = ours(x, state), theirs(x, state)
    close(got, wanted)
    close(gradients(ours, x, state, got), gradients(theirs, x, state, wanted))


@every_twin
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}], ids=str)
def test_weights_are_those_of_torch(name, options):
    torch.manual_seed(3)
    a = layer(name, D, H, **options)
    torch.manual_seed(3)
    b = twin(name, D, H, **options)
    assert list(a.state_dict()) == list(b.state_dict())
    assert all(torch.equal(a.state_dict()[k], v) for k, v in b.state_dict().items())
    assert [n for n, _ in a.named_parameters()] == [n for n, _ in b.named_parameters()]
    a.reset_parameters()
    b.load_state_dict(a.state_dict())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    for ours_list, theirs_list in zip(a.all_weights, b.all_weights, strict=True):
        assert [w.shape for w in ours_list] == [w.shape for w in theirs_list]
    assert repr(a) == repr(b)


def test_dropout_between_layers_is_that_of_torch(close):
    ours, theirs = pair("gru", torch.float32, num_layers=3, dropout=0.5, bidirectional=True)
    x = torch.randn(T, B, D)
    torch.manual_seed(5)
    got = ours(x)
    torch.manual_seed(5)
    close(got, theirs(x))
    close(ours.eval()(x), theirs.eval()(x))


@every_twin
def test_learns_as_torch_does(close, name):
    ours, theirs = pair(name, torch.float64, num_layers=2)
    x, target = torch.randn(T, B, D, dtype=torch.float64), torch.randn(T, B, 1, dtype=torch.float64)
    for module in (ours, theirs):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            (module(x)[0] - target).square().mean().backward()
            optimizer.step()
    close(list(ours.parameters()), list(theirs.parameters()))
