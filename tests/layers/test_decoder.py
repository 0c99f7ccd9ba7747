from __future__ import annotations

import pytest
import torch
from torch import Tensor

import unroll
from unroll.errors import OptionError
from unroll.layers.attention import Attention, MultiHeadAttention
from unroll.layers.decoder import AttentionDecoder, Bridge, DecoderState
from unroll.layers.row_steps import RowDecoder
from unroll.layers.sequential import RecurrentSequential

B, U, S, D, H, E = 3, 7, 5, 4, 6, 8
LENGTHS = torch.tensor([5, 2, 4])


def made(kind: str, *, hidden: int = 9, feeding: bool = False, recurrence: str = "gru") -> AttentionDecoder:
    torch.manual_seed(0)
    width = D + (hidden if feeding else 0)
    layer = unroll.GRU if recurrence == "gru" else unroll.LSTM
    recurrent = layer(width, H, num_layers=2, batch_first=True)
    attention = MultiHeadAttention(H, E, 2) if kind == "multihead" else Attention(H, E, kind)  # type: ignore[arg-type]
    return AttentionDecoder(recurrent, attention, hidden, input_feeding=feeding).double()


def inputs() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(B, U, D, dtype=torch.float64), torch.randn(B, S, E, dtype=torch.float64)


def started(decoder: AttentionDecoder) -> DecoderState:
    torch.manual_seed(2)
    h = torch.randn(2, B, H, dtype=torch.float64)
    return decoder.start(h if isinstance(decoder.recurrent, unroll.GRU) else (h, h.flip(0)), B)


CASES = [("additive", False, "gru"), ("multihead", False, "lstm"), ("general", True, "gru"), ("additive", True, "lstm")]


@pytest.mark.parametrize(("kind", "feeding", "recurrence"), CASES)
def test_chunks_and_steps_are_the_whole(kind: str, feeding: bool, recurrence: str) -> None:
    decoder, (x, memory) = made(kind, feeding=feeding, recurrence=recurrence), inputs()
    whole, weights, end = decoder(x, memory, started(decoder), LENGTHS)
    for sizes in ([3, 4], [1] * U):
        state, parts = started(decoder), []
        for part in x.split(sizes, 1):
            o, a, state = decoder(part, memory, state, LENGTHS)
            parts.append((o, a))
        torch.testing.assert_close(torch.cat([o for o, _ in parts], 1), whole, rtol=0, atol=1e-14)
        torch.testing.assert_close(torch.cat([a for _, a in parts], 1), weights, rtol=0, atol=1e-14)
        torch.testing.assert_close(state, end, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("kind", "feeding", "recurrence"), CASES)
@torch.no_grad()
def test_steps_of_rows_that_share_a_memory_are_the_whole(kind: str, feeding: bool, recurrence: str) -> None:
    decoder, (x, memory) = made(kind, feeding=feeding, recurrence=recurrence).eval(), inputs()
    row = torch.tensor([2, 0, 1, 2])
    whole, weights, _ = decoder(x, memory, started(decoder), LENGTHS)
    fed = started(decoder).fed
    start = started(decoder).recurrent
    chosen = start[:, row] if isinstance(start, Tensor) else tuple(s[:, row] for s in start)
    state = DecoderState(chosen, None if fed is None else fed[row])
    step, keys = RowDecoder(decoder), decoder.attention.keys(memory, LENGTHS)
    for u in range(U):
        o, a, state = step(x[row, u], state, memory, keys, LENGTHS, row)
        torch.testing.assert_close(o, whole[row, u], rtol=0, atol=1e-13)
        torch.testing.assert_close(a, weights[row, u], rtol=0, atol=1e-14)
        assert torch.equal(o[0], o[3])


@pytest.mark.parametrize("feeding", [False, True])
def test_a_rows_end_is_its_own(feeding: bool) -> None:
    decoder, (x, memory) = made("additive", feeding=feeding), inputs()
    lengths = torch.tensor([7, 3, 0])
    _, _, end = decoder(x, memory, started(decoder), LENGTHS, lengths)
    spoilt = x.clone()
    spoilt[1, 3:] = 9.0
    _, _, other = decoder(spoilt, memory, started(decoder), LENGTHS, lengths)
    torch.testing.assert_close(end, other, rtol=0, atol=0)
    first = started(decoder)
    _, _, alone = decoder(
        x[1:2, :3],
        memory[1:2],
        DecoderState(first.recurrent[:, 1:2], None if first.fed is None else first.fed[1:2]),
        LENGTHS[1:2],
    )
    torch.testing.assert_close(end.recurrent[:, 1], alone.recurrent[:, 0], rtol=0, atol=1e-14)
    if feeding:
        torch.testing.assert_close(end.fed[1], alone.fed[0], rtol=0, atol=1e-14)
        assert not end.fed[2].any()


def test_without_hidden_the_output_is_both_side_by_side() -> None:
    decoder, (x, memory) = made("additive", hidden=0), inputs()
    o, a, _ = decoder(x, memory, started(decoder), LENGTHS)
    assert decoder.features == H + E
    s, _ = decoder.recurrent(x, started(decoder).recurrent)
    torch.testing.assert_close(o[..., :H], s, rtol=0, atol=0)
    torch.testing.assert_close(o[..., H:], a @ memory, rtol=0, atol=1e-14)


def test_what_a_decoder_refuses() -> None:
    both = unroll.GRU(D, H, bidirectional=True, batch_first=True)
    with pytest.raises(OptionError, match="goes forward only"):
        AttentionDecoder(both, Attention(2 * H, E))
    with pytest.raises(OptionError, match="hidden must be above 0"):
        AttentionDecoder(unroll.GRU(D, H, batch_first=True), Attention(H, E), input_feeding=True)
    with pytest.raises(OptionError, match="needs a width that they divide, and it is 6"):
        MultiHeadAttention(6, 4, 4)


def test_bridges() -> None:
    torch.manual_seed(0)
    memory, lengths = torch.randn(B, S, E), torch.tensor([5, 2, 0])
    final = (torch.randn(4, B, H), torch.randn(4, B, H))
    last = Bridge("last", (H, H), 2, (4 * H, 4 * H))
    h, c = last(memory, lengths, final)
    assert h.shape == c.shape == (2, B, H)
    torch.testing.assert_close(h[1, 2], (last.maps[0](final[0][:, 2].flatten()))[H:], rtol=0, atol=1e-6)
    torch.testing.assert_close(c[0, 1], (last.maps[1](final[1][:, 1].flatten()))[:H], rtol=0, atol=1e-6)
    mean = Bridge("mean", (H,), 2, (E,))
    found = mean(memory, lengths)
    torch.testing.assert_close(found[0, 1], torch.tanh(mean.maps[0](memory[1, :2].mean(0)))[:H], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0, 2], torch.tanh(mean.maps[0].bias)[:H], rtol=0, atol=1e-6)
    zeros = Bridge("zeros", (H, H), 3, ())
    assert all(s.shape == (3, B, H) and not s.any() for s in zeros(memory, None))
    with pytest.raises(OptionError, match="did you mean 'last'"):
        Bridge("lost", (H,), 1, (E,))  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="the encoder has 1 states and the decoder 2: take 'mean'"):
        Bridge("last", (H, H), 1, (E,))


@torch.no_grad()
def test_steps_of_layers_that_no_kernel_serves() -> None:
    torch.manual_seed(0)
    parts = [unroll.GRU(D, 5, batch_first=True, layer_norm=True), unroll.LSTM(5, H, batch_first=True)]
    decoder = AttentionDecoder(RecurrentSequential(parts), Attention(H, E), 3).double().eval()
    x, memory = inputs()
    zero = torch.zeros(1, B, 5, dtype=torch.float64), tuple(torch.zeros(2, 1, B, H, dtype=torch.float64))
    whole, _, _ = decoder(x, memory, decoder.start(zero, B), LENGTHS)
    step, keys, state = RowDecoder(decoder), decoder.attention.keys(memory, LENGTHS), decoder.start(zero, B)
    for u in range(U):
        o, _, state = step(x[:, u], state, memory, keys, LENGTHS, torch.arange(B))
        torch.testing.assert_close(o, whole[:, u], rtol=0, atol=1e-13)
