"""Lengths, resets, chunks and steps give the same numbers, and padding gives none."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from helpers.recurrences import KINDS, TOYS, layer
from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.rnn import RNN

pytestmark = pytest.mark.slow

T, B, D, H = 7, 5, 3, 4
F64 = torch.float64
every_module = pytest.mark.parametrize("name", [*KINDS, *TOYS])
every_backend = pytest.mark.parametrize("backend", ["naive", "scan", "torch", "cpu"])
LENGTHS = torch.tensor([3, 7, 0, 1, 6])


def make(name, backend="auto", **options):
    return layer(name, D, H, backend, dtype=F64, **options)


def states(end):
    return end if isinstance(end, tuple) else (end,)


def cut(end, rows):
    parts = tuple(s[:, rows] for s in states(end))
    return parts if isinstance(end, tuple) else parts[0]


def gradients(module, x, *results):
    generator = torch.Generator().manual_seed(1)
    loss = sum((r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in results)
    return torch.autograd.grad(loss, [x, *module.parameters()], retain_graph=True)


@every_backend
@every_module
def test_padding_changes_nothing(close, name, backend):
    module = make(name, backend, num_layers=2, bidirectional=True, layer_norm=True, residual=True)
    clean = torch.randn(T, B, D, dtype=F64)
    padding = torch.arange(T).unsqueeze(1) >= LENGTHS
    found = []
    for value in (0.0, float("nan"), float("inf")):
        x = clean.masked_fill(padding.unsqueeze(-1), value).requires_grad_()
        y, end = module(x, lengths=LENGTHS)
        assert not bool(y[padding].any())
        found.append([y, *states(end), *gradients(module, x, y, *states(end))])
        assert not bool(found[-1][1 + len(states(end))][padding].any())
    close(found[1], found[0])
    close(found[2], found[0])


@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_growing_state_does_not_overflow_in_the_padding(backend):
    module = RNN(D, H, nonlinearity="relu", bias=False, backend=backend)
    nn.init.constant_(module.weight_hh_l0, 1000.0)
    x = torch.rand(60, 2, D)
    x[:, 1] = 0.0
    x.requires_grad_()
    y, h = module(x, lengths=[3, 60])
    (y.sum() + h.sum()).backward()
    assert float(y[2, 0].detach().max()) > 1e5
    assert all(bool(p.grad.isfinite().all()) for p in (x, *module.parameters()))


@every_backend
@every_module
def test_a_row_does_not_depend_on_the_others(close, name, backend):
    module = make(name, backend, num_layers=2, bidirectional=True)
    x = torch.randn(T, B, D, dtype=F64).requires_grad_()
    y, end = module(x, lengths=LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        alone, end_alone = module(x[:, b : b + 1], lengths=[length])
        close(alone, y[:, b : b + 1])
        close(end_alone, cut(end, [b]))
        if length:
            short, end_short = module(x[:length, b])
            close(short, y[:length, b])
            close(states(end_short), [s[:, b] for s in states(end)])


@every_backend
@every_module
def test_whole_is_chunks_is_steps(close, name, backend):
    module = make(name, backend, num_layers=2, layer_norm=True, residual=True, learn_initial_state=True)
    x = torch.randn(T, B, D, dtype=F64).requires_grad_()
    resets = torch.rand(B, T) < 0.3
    whole, end = module(x, lengths=LENGTHS, resets=resets)
    wanted = gradients(module, x, whole, *states(end))

    for size in (1, 2, 3):
        state, parts = None, []
        for t in range(0, T, size):
            rest = (LENGTHS - t).clamp(0, min(size, T - t))
            y, state = module(x[t : t + size], state, lengths=rest, resets=resets[:, t : t + size])
            parts.append(y)
        close(torch.cat(parts), whole)
        close(state, end)
        close(gradients(module, x, torch.cat(parts), *states(state)), wanted)

    whole, end = module(x)
    state, parts = None, []
    for t in range(T):
        y, state = module.step(x[t], state)
        parts.append(y)
    close(torch.stack(parts), whole)
    close(state, end)
    state, parts = None, []
    for t in range(T):
        y, state = module.step(x[t, 0], state)
        parts.append(y)
    close(torch.stack(parts), whole[:, 0])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("learnt", [False, True], ids=["zeros", "learnt"])
@every_backend
@every_module
def test_resets_are_borders(close, name, backend, learnt, lengths):
    module = make(name, backend, bidirectional=True, learn_initial_state=learnt)
    if learnt:
        for p in module.parameters():
            nn.init.normal_(p)
    x = torch.randn(T, B, D, dtype=F64).requires_grad_()
    resets = torch.rand(B, T) < 0.35
    given = module(x)[1]
    given = tuple(torch.randn_like(s) for s in states(given))
    y, end = module(x, given if len(given) > 1 else given[0], lengths=lengths, resets=resets)

    ends = [torch.zeros_like(s) for s in given]
    expected = torch.zeros_like(y)
    for b in range(B):
        n = T if lengths is None else int(lengths[b])
        borders = [t for t in range(1, n) if resets[b, t]]
        edges = [0, *borders, n] if n else []
        if not n:
            for e, g in zip(ends, given, strict=True):
                e[:, b] = g[:, b]
        for i, (first, last) in enumerate(itertools.pairwise(edges)):
            start = [s.clone() for s in states(module(x[:1, :1], None)[1])]
            for k, s in enumerate(start):
                state_name, value = list(module.recurrence.states.items())[k]
                s[:] = getattr(module, f"initial_{state_name}").unsqueeze(1) if learnt else value
                if i == 0 and not resets[b, 0]:
                    s[0] = given[k][0, b]
                if i == len(edges) - 2:
                    s[1] = given[k][1, b]
            state = tuple(start) if len(start) > 1 else start[0]
            part, part_end = module(x[first:last, b : b + 1], state)
            expected[first:last, b] = part[:, 0]
            for e, p in zip(ends, states(part_end), strict=True):
                if i == len(edges) - 2:
                    e[0, b] = p[0, 0]
                if i == 0:
                    e[1, b] = p[1, 0]
    close(y, expected)
    close(states(end), ends)
    close(gradients(module, x, y, *states(end)), gradients(module, x, expected, *ends))


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@every_module
def test_many_segments_of_unequal_size(close, name, backend):
    fast, slow = make(name, backend, bidirectional=True), make(name, "naive", bidirectional=True)
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(3, 40, D, dtype=F64).transpose(0, 1).requires_grad_()
    resets = torch.zeros(3, 40, dtype=torch.bool)
    resets[0, 30:] = True
    resets[1, [0, 3, 39]] = True
    lengths = [40, 40, 17]
    got, wanted = (m(x, lengths=lengths, resets=resets) for m in (fast, slow))
    close(got, wanted)
    close(gradients(fast, x, got[0], *states(got[1])), gradients(slow, x, wanted[0], *states(wanted[1])))


@every_module
def test_resets_of_packed_sequences(close, name):
    module = make(name, bidirectional=True)
    x = torch.randn(T, B, D, dtype=F64)
    resets = torch.rand(B, T) < 0.4
    lengths = torch.tensor([3, 7, 2, 1, 6])
    y, end = module(x, lengths=lengths, resets=resets)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    got, got_end = module(packed, resets=resets)
    close(got.data, pack_padded_sequence(y, lengths, enforce_sorted=False).data)
    close(got_end, end)


@every_backend
@every_module
def test_no_steps_leave_the_state(close, name, backend):
    module = make(name, backend, bidirectional=True)
    x = torch.full((T, 2, D), float("nan"), dtype=F64)
    given = tuple(torch.randn_like(s) for s in states(module(torch.zeros(1, 2, D, dtype=F64))[1]))
    for resets in (None, torch.ones(2, T, dtype=torch.bool)):
        y, end = module(x, given if len(given) > 1 else given[0], lengths=[0, 0], resets=resets)
        close(y, torch.zeros_like(y))
        close(states(end), given)


@pytest.mark.parametrize("backend", ["auto", "naive", "cpu"])
@every_module
def test_no_rows(close, name, backend):
    module = make(name, backend, num_layers=2, bidirectional=True)
    x = torch.randn(T, 0, D, dtype=F64).requires_grad_()
    y, _ = module(x, lengths=torch.zeros(0, dtype=torch.int64), resets=torch.zeros(0, T, dtype=torch.bool))
    assert y.shape[:2] == (T, 0)
    y.sum().backward()
    assert all(not bool(p.grad.any()) for p in module.parameters())


def test_lengths_in_every_form(close):
    module = GRU(D, H, batch_first=True)
    x = torch.randn(3, T, D)
    wanted = module(x, lengths=torch.tensor([2, 5, 4]))
    for lengths in ([2, 5, 4], (2, 5, 4), torch.tensor([2, 5, 4], dtype=torch.int32)):
        got = module(x, lengths=lengths)
        close(got, wanted)
    close(module(x[0], lengths=2)[0], wanted[0][0])


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ([1, 2], r"shape \(3,\)"),
        ([1, 2, 8], r"lengths\[2\] is 8"),
        ([1, -2, 3], r"lengths\[1\] is -2"),
        ([1.5, 2.0, 3.0], "whole numbers"),
        (["a", "b", "c"], "whole numbers"),
        (torch.ones(3, dtype=torch.bool), "whole numbers"),
        (torch.ones(3, 1, dtype=torch.int64), "shape"),
    ],
)
def test_wrong_lengths(lengths, words):
    with pytest.raises(OptionError, match=words):
        LSTM(D, H)(torch.randn(T, 3, D), lengths=lengths)


def test_wrong_resets():
    module, x = LSTM(D, H), torch.randn(T, 3, D)
    with pytest.raises(OptionError, match=r"\(3, 7\), got \(7, 3\)"):
        module(x, resets=torch.zeros(T, 3, dtype=torch.bool))
    with pytest.raises(OptionError, match=r"torch\.bool"):
        module(x, resets=torch.zeros(3, T))
    with pytest.raises(OptionError, match="has its own"):
        module(pack_padded_sequence(x, [7, 7, 7]), lengths=[7, 7, 7])


def test_no_packed_kernel_is_called(monkeypatch):
    called = []

    def spy(name, real):
        def call(*args):
            called.append((name, len(args)))
            return real(*args)

        return call

    from unroll.ops import torch_backend

    for name, real in list(torch_backend._KERNELS.items()):
        monkeypatch.setitem(torch_backend._KERNELS, name, spy(name, real))
    for name in ("pack_padded_sequence", "pad_packed_sequence"):
        monkeypatch.setattr(nn.utils.rnn, name, None)
    monkeypatch.setattr(torch._VF, "_pack_padded_sequence", None)
    monkeypatch.setattr(torch._VF, "_pad_packed_sequence", None)
    x = torch.randn(T, B, D)
    for module in (LSTM(D, H, bidirectional=True), GRU(D, H), RNN(D, H)):
        module.backend = "torch"
        module(x, lengths=[7, 3, 2, 0, 1])
        module(x, resets=torch.ones(B, T, dtype=torch.bool))
        module(nn.utils.rnn.PackedSequence(torch.randn(6, D), torch.tensor([3, 2, 1])))
    # The unpacked overload takes nine arguments: input, state, weights and six options; batch_first ends it.
    assert len(called) == 12
    assert {n for _, n in called} == {9}


def test_step_refuses_what_has_no_step():
    with pytest.raises(OptionError, match="bidirectional"):
        GRU(D, H, bidirectional=True).step(torch.randn(2, D))
    module = GRU(D, H, output_dropout=0.5)
    with pytest.raises(OptionError, match="locked"):
        module.step(torch.randn(2, D))
    assert module.eval().step(torch.randn(2, D))[0].shape == (2, H)
    with pytest.raises(OptionError, match="3 dimensions"):
        module.step(torch.randn(1, 2, D))
