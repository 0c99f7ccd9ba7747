from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unroll.errors import OptionError
from unroll.models.language_model import LanguageModel, build_language_model
from unroll.models.options import RecurrentOptions, TokenOptions

V = 11


def model(recurrent: dict | None = None, embedding: int = 6, **more: Any) -> LanguageModel:
    torch.manual_seed(1)
    options = RecurrentOptions(**{"hidden_size": 6, "num_layers": 2} | (recurrent or {}))  # type: ignore[arg-type]
    made = build_language_model(TokenOptions(embedding_dim=embedding), options, vocabulary=V, **more).double()
    for p in made.parameters():  # the embedding starts small
        torch.nn.init.uniform_(p, -0.8, 0.8)
    return made.eval()


STACKS: list[dict] = [
    {"recurrence": "rnn"},
    {"recurrence": "lstm"},
    {"recurrence": "gru"},
    {"recurrence": "lstm", "hidden_size": 9, "proj_size": 5, "residual": True, "layer_norm": True},
    {"recurrence": "lstm", "hidden_size": 9, "num_layers": 3, "last_hidden_size": 6},
    {"recurrence": "gru", "learn_initial_state": True},
]
HEADS = [{}, {"tie_weights": False}, {"softmax": "adaptive", "cutoffs": (4, 8)}]


def ids(B: int = 3, T: int = 17) -> Tensor:
    return torch.randint(0, V, (B, T), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_windows_with_the_state_carried_are_one_long_window(stack: dict, head: dict) -> None:
    made, x = model(stack, **head), ids()
    resets = torch.zeros(3, 17, dtype=torch.bool)
    resets[0, 5] = resets[1, 0] = resets[2, 11] = resets[2, 12] = True
    lengths = torch.tensor([17, 12, 9])
    features, _, state = made(x, lengths, None, resets)
    nll = made.nll(features, x)
    parts, carried = [], None
    for begin, end in ((0, 1), (1, 6), (6, 11), (11, 17)):
        own = (lengths - begin).clamp(0, end - begin)
        y, _, carried = made(x[:, begin:end], own, carried, resets[:, begin:end])
        parts.append(made.nll(y, x[:, begin:end]))
    there = torch.arange(17) < lengths.unsqueeze(1)
    assert ((torch.cat(parts, 1) - nll) * there).abs().max() < 1e-12
    for one, other in zip(_flat(state), _flat(carried), strict=True):
        assert (one - other).abs().max() < 1e-12


def test_a_reset_forgets_all_before_it() -> None:
    made, x = model(), ids()
    resets = torch.zeros(3, 17, dtype=torch.bool)
    resets[:, 6] = True
    whole = made(x, None, None, resets)[0]
    assert (whole[:, 6:] - made(x[:, 6:])[0]).abs().max() < 1e-12
    assert (whole[:, :6] - made(x[:, :6])[0]).abs().max() < 1e-12
    assert (whole[:, 6:] - made(x)[0][:, 6:]).abs().max() > 1e-3


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_steps_give_what_whole_windows_give(stack: dict, head: dict) -> None:
    made, x = model(stack, **head), ids(T=7)
    with torch.no_grad():
        features, _, end = made(x)
        state = made.start(3)
        for t in range(7):
            log_p, state = made.step(x[:, t], state)
            assert (log_p.exp().sum(1) - 1).abs().max() < 1e-12
            assert (log_p - made.log_prob(features[:, t])).abs().max() < 1e-12
            nll = made.nll(features, x)[:, t]
            assert (nll + made.log_prob(features[:, t]).gather(1, x[:, t, None])[:, 0]).abs().max() < 1e-12
    for one, other in zip(_flat(state), _flat(end), strict=True):
        assert (one - other).abs().max() < 1e-12


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_rows_of_a_state(stack: dict) -> None:
    made, x = model(stack), ids(T=4)
    _, _, state = made(x)
    chosen = torch.tensor([2, 2, 0, 1, 2])
    log_p, _ = made.step(torch.tensor([3, 4, 5, 6, 3]), made.select(state, chosen))
    for i, (row, token) in enumerate(zip(chosen.tolist(), [3, 4, 5, 6, 3], strict=True)):
        alone, _ = made.step(torch.tensor([token]), made.select(state, torch.tensor([row])))
        assert (log_p[i] - alone[0]).abs().max() < 1e-12


def test_tied_vectors_are_one_matrix() -> None:
    tied, own = model(), model(tie_weights=False)
    assert tied.head.weight is None
    assert own.head.weight is not None
    assert sum(p.numel() for p in own.parameters()) - sum(p.numel() for p in tied.parameters()) == V * 6
    features = torch.randn(2, 6, dtype=torch.float64)
    logits = features @ tied.inputs.embedding.weight.T + tied.head.bias  # type: ignore[operator]
    assert (tied.log_prob(features) - logits.log_softmax(1)).abs().max() < 1e-12


def test_the_projection_is_there_where_widths_differ() -> None:
    assert isinstance(model().project, torch.nn.Identity)
    wide = model({"hidden_size": 10})
    assert wide.project.weight.shape == (6, 10)
    assert wide(ids())[0].shape == (3, 17, 6)
    assert isinstance(model({"hidden_size": 10}, tie_weights=False).project, torch.nn.Identity)
    both = model({"bidirectional": True})
    assert both.project.weight.shape == (6, 12)


def test_dropout_is_locked_and_belongs_to_training() -> None:
    made, x = model(head_dropout=0.5), ids()
    features, raw, _ = made(x)
    assert features is raw
    made.train()
    features, raw, _ = made(x)
    ratio = (features / raw).detach()
    assert sorted(ratio.unique().round(decimals=9).tolist()) == [0.0, 2.0]
    assert torch.equal(ratio, ratio[:, :1].expand_as(ratio))
    assert not torch.equal(ratio[0], ratio[1])


def test_it_can_be_built_without_memory() -> None:
    with torch.device("meta"):
        for stack in STACKS:
            made = build_language_model(TokenOptions(), RecurrentOptions(**stack), vocabulary=V)
            assert all(p.is_meta for p in made.parameters())


def test_what_is_refused() -> None:
    with pytest.raises(OptionError, match="softmax is 'adaptive', which needs cutoffs"):
        model(softmax="adaptive")
    with pytest.raises(OptionError, match=r"cutoffs is \[4, 20\]; with 11 classes the last must be at most 10"):
        model(softmax="adaptive", cutoffs=(4, 20))
    with pytest.raises(OptionError, match="head_dropout must be a probability"):
        model(head_dropout=1.0)
    with pytest.raises(OptionError, match="it has no step"):
        model({"bidirectional": True}).step(torch.tensor([1]))


def _flat(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [t for part in state for t in _flat(part)]
