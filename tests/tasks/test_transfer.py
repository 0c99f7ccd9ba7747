from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import unroll
from unroll.errors import OptionError, RunError
from unroll.tasks.labelled_options import LabelledSettings
from unroll.tasks.transfer import adopt, take_over

TEXTS = ["good film", "a good one", "bad film", "such a bad one"] * 6
LABELS = ["pos", "pos", "neg", "neg"] * 6
SIZES: dict[str, Any] = {"hidden": 6, "embedding": 5, "recurrence": "gru", "epochs": 1, "threads": 1}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "before"
    return unroll.Classifier(**SIZES, lowercase=False, max_length=50).fit(TEXTS, LABELS).save(path)


def test_vocabulary_sizes_and_weights_are_taken_over(before: Path) -> None:
    first = unroll.load(before)
    later = unroll.Classifier(init_from=str(before), epochs=1, learning_rate=1e-12, threads=1, max_length=7, seed=5)
    later.fit(["good one", "unheard of"] * 9, ["yes", "no"] * 9)
    assert later.task_.encoder.tokens(range(8)) == first.task.encoder.tokens(range(8))
    options = later.task_.settings
    assert (options.recurrent.recurrence, options.recurrent.hidden, options.tokens.embedding) == ("gru", 6, 5)
    assert (options.text.lowercase, options.text.max_length) == (False, 7)
    was, now = first.model.state_dict(), later.model_.state_dict()
    taken = [name for name in was if name.startswith(("inputs.", "recurrent."))]
    assert len(taken) == 5
    for name in taken:
        torch.testing.assert_close(now[name], was[name], rtol=0, atol=1e-9)
    assert not torch.equal(now["head.1.weight"], was["head.1.weight"])
    # cut after 7 tokens, as the later run asked
    assert [len(ids) for ids in later.task_.encoder.encode(["good " * 30])] == [7]


def test_dropout_is_the_later_runs_own_choice(before: Path) -> None:
    given = {"text": "text", "init_from": str(before), "output_dropout": 0.3, "word_dropout": 0.1}
    settings, _ = adopt(LabelledSettings.from_flat(given))
    assert (settings.recurrent.output_dropout, settings.tokens.word_dropout) == (0.3, 0.1)
    assert LabelledSettings.from_flat(settings.flat()) == settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden": 7}, r"hidden is 7, but it is 6 in .*before, which init_from names"),
        ({"recurrence": "rnn"}, r"recurrence is 'rnn', but it is 'gru' in"),
        ({"vocabulary": 77}, r"vocabulary is 77, but it is 20000 in"),
    ],
)
def test_what_contradicts_the_run_is_refused(before: Path, given: dict[str, Any], message: str) -> None:
    settings = LabelledSettings.from_flat({"text": "text", "init_from": str(before), **given})
    with pytest.raises(OptionError, match=message):
        adopt(settings)


def test_a_run_that_is_not_there_or_does_not_fit_is_named(before: Path, tmp_path: Path) -> None:
    settings = LabelledSettings.from_flat({"text": "text", "init_from": str(tmp_path / "none")})
    with pytest.raises(RunError, match="there is no run folder"):
        adopt(settings)
    wider = LabelledSettings.from_flat({"text": "text", "hidden": 6, "embedding": 4, "recurrence": "gru"})
    from unroll.models.many_to_one import build

    model = build(wider.model, wider.recurrent, wider.tokens, outputs=2, vocabulary=8)
    with pytest.raises(OptionError, match=r"'inputs\.embedding\.weight' has shape \[8, 5\].*needs \[8, 4\]"):
        take_over(str(before), model)
    other = replace(wider.recurrent, layers=2, last_hidden=3)
    model = build(wider.model, other, wider.tokens, outputs=2, vocabulary=8)
    with pytest.raises(OptionError, match="whose recurrent layers do not fit"):
        take_over(str(before), model)
