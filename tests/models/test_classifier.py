from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unroll.data.ragged import RaggedDataset
from unroll.errors import OptionError
from unroll.models.classifier import SequenceClassifier
from unroll.models.classifier import build as build_model
from unroll.models.embedding import TokenEmbedding
from unroll.models.options import ModelOptions, RecurrentOptions, TokenOptions
from unroll.options import build as build_options

Flat = dict[str, Any]


def build(flat: Flat, **sizes: int) -> SequenceClassifier:
    return build_model(*build_options((ModelOptions, RecurrentOptions, TokenOptions), flat), **sizes)


CASES = [
    {"hidden_size": 6, "embedding_dim": 5},
    {
        "recurrence": "gru",
        "hidden_size": 6,
        "num_layers": 2,
        "bidirectional": True,
        "pooling": "mean+max",
        "embedding_dim": 5,
    },
    {"recurrence": "gru", "reset_after": False, "hidden_size": 6, "embedding_dim": 5, "pooling": "attention"},
    {
        "recurrence": "rnn",
        "nonlinearity": "relu",
        "hidden_size": 6,
        "embedding_dim": 5,
        "residual": True,
        "num_layers": 2,
    },
    {
        "hidden_size": 6,
        "proj_size": 4,
        "embedding_dim": 5,
        "bidirectional": True,
        "layer_norm": True,
        "learn_initial_state": True,
    },
    {
        "hidden_size": 6,
        "embedding_dim": 5,
        "conv_filters": 3,
        "conv_kernel_sizes": (2, 3),
        "conv_pool": 2,
        "pooling": "max",
    },
    {"hidden_size": 6, "embedding_dim": 5, "ngrams": 3, "ngram_vocab_size": 50, "pool_inputs": True},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_row_has_the_same_output_in_any_batch(options: Flat) -> None:
    model = build(options, outputs=3, vocabulary=20).double().eval()
    lengths = torch.tensor([9, 2, 5, 1])
    x = torch.zeros(4, 9, dtype=torch.long)
    for row, length in enumerate(lengths.tolist()):
        x[row, :length] = torch.randint(2, 20, (length,))
    together = model(x, lengths)
    assert together.shape == (4, 3)
    for row, length in enumerate(lengths.tolist()):
        alone = model(x[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_every_parameter_learns(options: Flat) -> None:
    model = build(options, outputs=3, vocabulary=20).double()
    x = torch.randint(2, 20, (4, 7))
    model.inputs.learn_ngrams(RaggedDataset.from_arrays([*x.numpy(), *x.numpy()]))
    (model(x, torch.tensor([7, 3, 5, 7])) ** 2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_numeric_steps_are_projected_or_fed_as_they_are() -> None:
    plain = build({"hidden_size": 4}, outputs=2, features=3)
    projected = build({"hidden_size": 4, "input_projection": 7}, outputs=2, features=3)
    assert plain.recurrent.weight_ih_l0.shape == (16, 3)
    assert projected.recurrent.weight_ih_l0.shape == (16, 7)
    assert projected(torch.randn(2, 5, 3), torch.tensor([5, 0])).shape == (2, 2)


def test_word_dropout_replaces_tokens_by_unknown_in_training_only_and_never_padding() -> None:
    model = build({"hidden_size": 4, "embedding_dim": 3, "word_dropout": 0.5}, outputs=2, vocabulary=9)
    x = torch.full((50, 40), 5)
    x[:, 30:] = 0
    embedded = model.inputs(x)
    table = model.inputs.embedding.weight
    unknown = (embedded == table[1]).all(-1)
    assert unknown[:, 30:].sum() == 0
    share = unknown[:, :30].double().mean().item()
    assert 0.45 < share < 0.55
    assert torch.equal(model.eval().inputs(x), table[x])


def test_the_most_common_runs_of_tokens_add_their_vector() -> None:
    inputs = TokenEmbedding(99, 3, ngrams=3, known=4)
    rows = [[5, 7, 5, 7], [5, 7, 9], [9, 5, 7], [5, 7, 9], [1, 7, 1, 7], [8, 8]]
    inputs.learn_ngrams(RaggedDataset.from_arrays([np.array(r) for r in rows]))
    known = [c for c in inputs.codes.tolist() if c < 2**62]
    assert known == sorted([5 * 99 + 7, 7 * 99 + 9, 5 * 99 * 99 + 7 * 99 + 9])
    words, grams = inputs.embedding.weight, inputs.grams.weight
    y = inputs(torch.tensor([[5, 7, 9, 7, 0], [7, 5, 7, 0, 0]]))
    pair, second, triple = (1 + inputs.codes.tolist().index(c) for c in (5 * 99 + 7, 7 * 99 + 9, known[-1]))
    for (row, step), parts in {
        (0, 0): [words[5]],
        (0, 1): [words[7], grams[pair]],
        (0, 2): [words[9], grams[second], grams[triple]],
        (0, 3): [words[7]],
        (1, 0): [words[7]],
        (1, 2): [words[7], grams[pair]],
    }.items():
        torch.testing.assert_close(y[row, step], torch.stack(parts).sum(0))
    assert y[0, 4].abs().sum() == 0
    assert y[1, 3:].abs().sum() == 0


def test_runs_that_cannot_be_numbered_are_refused() -> None:
    with pytest.raises(OptionError, match="ngrams is 8"):
        TokenEmbedding(99999, 3, ngrams=8, known=4)


def test_exactly_one_kind_of_input_is_wanted() -> None:
    with pytest.raises(TypeError, match="exactly one"):
        build({}, outputs=2)
