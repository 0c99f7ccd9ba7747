from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unroll.data.text.bio import legal_steps
from unroll.errors import OptionError
from unroll.layers.crf import AllowedTransitions
from unroll.models.options import RecurrentOptions, TaggerOptions, TokenOptions
from unroll.models.tagger import Tagger
from unroll.models.tagger import build as build_model
from unroll.options import build as build_options
from unroll.training.layerwise import Layerwise
from unroll.training.options import TrainingOptions

Flat = dict[str, Any]
TAGS = ("B-X", "I-X", "O")

CASES: list[Flat] = [
    {"characters": "none"},
    {"characters": "recurrence", "bidirectional": True},
    {"characters": "convolution", "char_kernel_size": 2, "recurrence": "gru", "num_layers": 2},
    {"characters": "recurrence", "bidirectional": True, "decoder": "crf"},
    {"characters": "none", "decoder": "crf", "num_layers": 2, "last_hidden_size": 3},
]


def build(flat: Flat, legal: AllowedTransitions | None = None) -> Tagger:
    small = {"hidden_size": 6, "embedding_dim": 5} | ({} if flat["characters"] == "none" else {"char_hidden_size": 4})
    options = build_options((TaggerOptions, RecurrentOptions, TokenOptions), small | flat)
    return build_model(*options, tags=len(TAGS), vocabulary=20, characters=12, legal=legal)


def example() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lengths = torch.tensor([6, 2, 4, 1])
    chars = torch.randint(2, 12, (8, 5))
    chars[0] = 0
    places = torch.randint(1, 8, (4, 6))
    x = torch.randint(1, 20, (4, 6))
    for row, length in enumerate(lengths.tolist()):
        places[row, length:] = x[row, length:] = 0
    return x, lengths, chars, places


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_row_is_the_same_in_any_batch_and_padding_changes_nothing(options: Flat) -> None:
    model = build(options).double().eval()
    x, lengths, chars, places = example()
    scores = model(x, lengths, chars, places)
    assert scores.shape == (4, 6, 3)
    tags, shares = model.decode(scores, lengths), model.probabilities(scores, lengths)
    for row, n in enumerate(lengths.tolist()):
        own = slice(row, row + 1)
        alone = model(x[own, :n], lengths[own], chars, places[own, :n])
        torch.testing.assert_close(scores[own, :n], alone, rtol=0, atol=1e-10)
        assert torch.equal(tags[own, :n], model.decode(alone, lengths[own]))
        torch.testing.assert_close(shares[row, :n].sum(1), torch.ones(n, dtype=shares.dtype), rtol=0, atol=1e-6)
        assert not tags[row, n:].any()
        assert not shares[row, n:].any()


@pytest.mark.parametrize("options", CASES, ids=str)
def test_every_parameter_learns(options: Flat) -> None:
    model = build(options)
    x, lengths, chars, places = example()
    scores = model(x, lengths, chars, places)
    if model.crf is None:
        scores[0].logsumexp(1).sum().backward()
    else:
        (-model.crf.log_likelihood(scores, torch.randint(0, 3, (4, 6)), lengths).sum()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_characters_are_those_of_each_token(close) -> None:
    model = build({"characters": "recurrence"}).double().eval()
    x, lengths, chars, places = example()
    each = chars[places.flatten()]
    apart = torch.arange(24).view(4, 6)
    close(model(x, lengths, chars, places).detach(), model(x, lengths, each, apart).detach())
    with pytest.raises(TypeError, match="give chars and places"):
        model(x, lengths)


def test_a_random_field_answers_legal_sequences_only() -> None:
    model = build(CASES[3], AllowedTransitions(*map(torch.from_numpy, legal_steps(TAGS, "BIO"))))
    scores = torch.zeros(1, 4, 3)
    scores[..., 1] = 5.0
    lengths = torch.tensor([4])
    assert [TAGS[i] for i in model.decode(scores, lengths)[0].tolist()] == ["B-X", "I-X", "I-X", "I-X"]
    assert model.probabilities(scores, lengths)[0, 0, 1].item() == 0.0
    free = build(CASES[3])
    assert free.decode(scores, lengths)[0].tolist() == [1, 1, 1, 1]


def test_layers_are_unfrozen_from_the_head_on_with_a_random_field_too() -> None:
    model = build({"characters": "none", "decoder": "crf"})
    layers = Layerwise(model, TrainingOptions(unfreeze_every=1))
    assert layers.plan().startswith("at first only head is trained, crf from epoch 2 on, recurrent.l0 from epoch 3 on")


def test_the_parts_are_named_as_those_of_other_models() -> None:
    names = {name.split(".")[0] for name in build(CASES[3]).state_dict()}
    assert names == {"inputs", "characters", "recurrent", "head", "crf"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"characters": "none", "char_hidden_size": 9},
            r"char_hidden_size is set, but it goes with characters 'recurrence' or",
        ),
        (
            {"characters": "recurrence", "char_kernel_size": 5},
            r"char_kernel_size is set, but it goes with .* 'convolution'$",
        ),
        ({"characters": "cnn"}, "characters is 'cnn'"),
        ({"decoder": "crfs"}, "decoder is 'crfs'; did you mean 'crf'"),
        ({"char_dropout": 1.0}, "char_dropout is 1"),
    ],
)
def test_options_that_cannot_be_used_are_named(options: Flat, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TaggerOptions(**options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:RNN module weights are not part of single contiguous chunk")
@pytest.mark.parametrize("options", CASES, ids=str)
def test_cuda_answers_as_the_processor_does(close, monkeypatch: pytest.MonkeyPatch, options: Flat) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = build(options).eval()
    x, lengths, chars, places = example()
    scores = model(x, lengths, chars, places)
    wanted = model.decode(scores, lengths), model.probabilities(scores, lengths).detach()
    model = model.cuda()
    found = model(x.cuda(), lengths, chars.cuda(), places.cuda())
    close(found.cpu().detach(), scores.detach())
    assert torch.equal(model.decode(found, lengths).cpu(), wanted[0])
    close(model.probabilities(found, lengths).cpu().detach(), wanted[1])
