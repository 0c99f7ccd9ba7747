from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unroll.errors import OptionError
from unroll.models.options import DecoderOptions, RecurrentOptions, TokenOptions
from unroll.models.seq2seq import Seq2Seq, build_seq2seq

V, B, S, U = 23, 6, 9, 5


def made(recurrence: str = "gru", *, bidirectional: bool = True, layers: int = 1, **options: Any) -> Seq2Seq:
    torch.manual_seed(0)
    recurrent = RecurrentOptions(
        recurrence=recurrence,  # type: ignore[arg-type]
        hidden_size=12,
        bidirectional=bidirectional,
        num_layers=layers,
    )
    model = build_seq2seq(
        TokenOptions(embedding_dim=8),
        recurrent,
        DecoderOptions(**options),
        source_vocabulary=V,
        vocabulary=V,
        share_embedding=True,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.eval()


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    lengths, target_lengths = torch.tensor([9, 1, 4, 7, 2, 9]), torch.tensor([5, 5, 2, 3, 1, 4])
    x, target = torch.randint(2, V, (B, S)), torch.randint(2, V - 1, (B, U))
    target[torch.arange(B), target_lengths - 1] = V - 1
    return x.masked_fill(torch.arange(S) >= lengths.unsqueeze(1), 0), lengths, target, target_lengths


CASES: list[dict[str, Any]] = [
    {},
    {"input_feeding": True},
    {"copy": True, "recurrence": "lstm"},
    {"attention": "multihead", "layers": 2},
    {"attention": "dot", "bidirectional": False, "tie_weights": False},
    {"attention": "general", "bridge": "mean", "recurrence": "lstm", "layers": 2},
    {"bridge": "zeros", "recurrence": "rnn"},
]


@pytest.mark.parametrize("options", CASES)
@torch.no_grad()
def test_steps_are_the_known_target_and_a_row_alone_is_the_row_in_the_batch(options: dict[str, Any]) -> None:
    model = made(**options)
    x, lengths, target, target_lengths = batch()
    decoded = model(x, lengths, target, target_lengths)
    nll = model.nll(decoded, target)
    state, ids, found = model.encode(x, lengths), torch.zeros(B, dtype=torch.int64), []
    for u in range(U):
        log_p, state = model.step(ids, state)
        found.append((log_p, model.attention(state)))
        ids = target[:, u]
    torch.testing.assert_close(found[0][0].exp().sum(1), torch.ones(B), rtol=0, atol=1e-5)
    for b in range(B):
        n, m = int(lengths[b]), int(target_lengths[b])
        for u in range(m):
            log_p, weights = found[u]
            assert abs(float(log_p[b, target[b, u]] + nll[b, u])) < 2e-5
            torch.testing.assert_close(weights[b], decoded.attention[b, u], rtol=0, atol=1e-5)
        alone, ids = model.encode(x[b : b + 1, :n], lengths[b : b + 1]), torch.zeros(1, dtype=torch.int64)
        for u in range(U):
            log_p, alone = model.step(ids, alone)
            assert torch.equal(log_p[0], found[u][0][b])
            assert torch.equal(model.attention(alone)[0], found[u][1][b, :n])
            ids = target[b : b + 1, u]


@torch.no_grad()
def test_texts_of_one_source_share_it() -> None:
    model = made()
    x, lengths, target, _ = batch()
    state = model.encode(x, lengths)
    _, state = model.step(torch.zeros(B, dtype=torch.int64), state)
    rows = torch.tensor([3, 3, 0])
    assert model.source_lengths(state).tolist() == lengths.tolist()
    chosen = model.select(state, rows)
    assert model.source_lengths(chosen).tolist() == [7, 7, 9]
    assert chosen.encoded.memory is state.encoded.memory
    log_p, after = model.step(target[:, 0], state)
    some, of_some = model.step(target[rows, 0], chosen)
    assert torch.equal(some, log_p[rows])
    assert torch.equal(model.attention(of_some), model.attention(after)[rows])


def test_padding_changes_nothing() -> None:
    model = made()
    x, lengths, target, target_lengths = batch()
    nll = model.nll(model(x, lengths, target, target_lengths), target)
    wider = torch.cat([x, torch.full((B, 3), 7)], 1)
    other = torch.where(torch.arange(U) < target_lengths.unsqueeze(1), target, 5)
    again = model.nll(model(wider, lengths, other, target_lengths), other)
    inside = torch.arange(U) < target_lengths.unsqueeze(1)
    torch.testing.assert_close(again[inside], nll[inside], rtol=0, atol=1e-5)


def test_label_smoothing_is_its_formula() -> None:
    model = made()
    x, lengths, target, target_lengths = batch()
    decoded = model(x, lengths, target, target_lengths)
    log_p = model.head.log_prob(decoded.features, model.inputs.embedding.weight)
    nll, loss = model.losses(decoded, target, 0.1)
    inside = torch.arange(U) < target_lengths.unsqueeze(1)
    wanted = -log_p.gather(2, target.unsqueeze(2)).squeeze(2) * inside
    torch.testing.assert_close(nll, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(loss, (0.9 * wanted - 0.1 * log_p.mean(2)) * inside, rtol=0, atol=1e-5)


def test_copies_add_to_the_probability_of_the_sources_tokens() -> None:
    model = made(copy=True)
    assert model.gate is not None
    with torch.no_grad():
        model.gate.weight.zero_()
        model.gate.bias.fill_(-20.0)  # nothing but copies
    x, lengths, _, _ = batch()
    with torch.no_grad():
        log_p, state = model.step(torch.zeros(B, dtype=torch.int64), model.encode(x, lengths))
    for b in range(B):
        wanted = torch.zeros(V).index_add(0, x[b], model.attention(state)[b])
        torch.testing.assert_close(log_p[b].exp(), wanted, rtol=0, atol=1e-5)


def test_coverage_is_its_formula() -> None:
    model = made()
    x, lengths, target, target_lengths = batch()
    decoded = model(x, lengths, target, target_lengths)
    found = model.coverage(decoded, lengths)
    for b in range(B):
        got = decoded.attention[b, : target_lengths[b], : lengths[b]].sum(0)
        torch.testing.assert_close(found[b], (1 - got).square().mean(), rtol=0, atol=1e-6)


def test_scheduled_sampling_reads_the_models_own_tokens() -> None:
    x, lengths, target, target_lengths = batch()
    free, forced = made(teacher_forcing=0.0), made()
    with torch.no_grad():
        log_p = forced.head.log_prob(
            forced(x, lengths, target, target_lengths).features, forced.inputs.embedding.weight
        )
        own = torch.cat([log_p.argmax(2)[:, :-1], target[:, -1:]], 1)
        wanted = forced(x, lengths, own, target_lengths).features
        found = free.train()(x, lengths, target, target_lengths).features
        inside = torch.arange(U) < target_lengths.unsqueeze(1)
        torch.testing.assert_close(found[inside], wanted[inside], rtol=0, atol=1e-5)
        again = free.eval()(x, lengths, target, target_lengths).features
        torch.testing.assert_close(again, forced(x, lengths, target, target_lengths).features, rtol=0, atol=0)


def test_training_reaches_every_parameter() -> None:
    for options in CASES:
        model = made(**options).train()
        x, lengths, target, target_lengths = batch()
        decoded = model(x, lengths, target, target_lengths)
        (model.losses(decoded, target, 0.1)[1].mean() + model.coverage(decoded, lengths).mean()).backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert missing == []


def test_what_cannot_be_combined() -> None:
    tokens, recurrent = TokenOptions(embedding_dim=8), RecurrentOptions(hidden_size=8)
    sizes = {"source_vocabulary": 9, "vocabulary": 9}
    with pytest.raises(OptionError, match="both sides must share a vocabulary"):
        build_seq2seq(tokens, recurrent, DecoderOptions(copy=True), **sizes)
    with pytest.raises(OptionError, match="needs one vocabulary"):
        build_seq2seq(tokens, recurrent, DecoderOptions(), source_vocabulary=9, vocabulary=8, share_embedding=True)
    locked = RecurrentOptions(hidden_size=8, output_dropout=0.2)
    with pytest.raises(OptionError, match="output_dropout keeps one mask for all steps, but input_feeding"):
        build_seq2seq(tokens, locked, DecoderOptions(input_feeding=True), **sizes)
    two = RecurrentOptions(hidden_size=8, num_layers=2, last_hidden_size=4)
    with pytest.raises(OptionError, match="last_hidden_size cannot be set"):
        build_seq2seq(tokens, two, DecoderOptions(), **sizes)
    with pytest.raises(OptionError, match="it goes with attention 'multihead'"):
        DecoderOptions(attention_heads=2)
