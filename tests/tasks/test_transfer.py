from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unroll
from unroll.data.options import TextOptions
from unroll.errors import OptionError, RunError
from unroll.models.classifier import build
from unroll.runs import Run
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.settings import TransferOptions
from unroll.tasks.tagging.options import TaggingSettings
from unroll.tasks.transfer import load_pretrained_weights, pretrained_tokenizer, resolve_settings

pytestmark = pytest.mark.slow

TEXTS = ["good film", "a good one", "bad film", "such a bad one"] * 6
LABELS = ["pos", "pos", "neg", "neg"] * 6
SIZES: dict[str, Any] = {"hidden_size": 6, "embedding_dim": 5, "recurrence": "gru", "epochs": 1, "threads": 1}
TOKENS = [["a", "Good", "film"], ["such", "Films"]] * 6
TAGS = [["D", "A", "N"], ["D", "N"]] * 6


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "before"
    return unroll.Classifier(**SIZES, lowercase=False, max_length=50).fit(TEXTS, LABELS).save(path)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "language"
    return unroll.LanguageModel(**SIZES, num_layers=2, min_freq=1, batch_size=2).fit(TEXTS).save(path)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "masked"
    model = unroll.LanguageModel(**SIZES, objective="masked", bidirectional=True, lowercase=True, batch_size=2)
    return model.fit(TEXTS).save(path)


def test_vocabulary_sizes_and_weights_are_taken_over(before: Path) -> None:
    first: Any = unroll.load(before)
    later = unroll.Classifier(init_from=str(before), epochs=1, learning_rate=1e-12, threads=1, max_length=7, seed=5)
    later.fit(["good one", "unheard of"] * 9, ["yes", "no"] * 9)
    assert later.task_.encoder.tokens(range(8)) == first.task.encoder.tokens(range(8))
    options = later.task_.settings
    assert (options.recurrent.recurrence, options.recurrent.hidden_size, options.tokens.embedding_dim) == ("gru", 6, 5)
    assert (options.text.lowercase, options.length.max_length) == (False, 7)
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
    settings = resolve_settings(ClassificationSettings, given)
    assert (settings.recurrent.output_dropout, settings.tokens.word_dropout) == (0.3, 0.1)
    assert ClassificationSettings.from_flat(settings.flat()) == settings


def test_dropout_between_layers_needs_no_mention_of_the_layers(language: Path) -> None:
    settings = resolve_settings(
        ClassificationSettings, {"text": "text", "init_from": str(language), "hidden_dropout": 0.3}
    )
    assert (settings.recurrent.num_layers, settings.recurrent.hidden_dropout) == (2, 0.3)


def test_the_run_is_named_as_it_was_given(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(before.parent)
    assert resolve_settings(ClassificationSettings, {"init_from": "before"}).transfer.init_from == "before"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_size": 7}, r"hidden_size is 7, but it is 6 in .*before, which init_from names"),
        ({"hidden_size": 128}, r"hidden_size is 128, but it is 6 in"),
        ({"recurrence": "rnn"}, r"recurrence is 'rnn', but it is 'gru' in"),
        ({"vocab_size": 77}, r"vocab_size is 77, but it is 20000 in"),
        ({"lowercase": True}, r"lowercase is True, but it is False in"),
    ],
)
def test_what_contradicts_the_run_is_refused(before: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resolve_settings(ClassificationSettings, {"text": "text", "init_from": str(before), **given})


def test_a_vocabulary_for_other_text_options_is_refused(before: Path) -> None:
    with pytest.raises(OptionError, match=r"lowercase is True, but it is False in .*before, which init_from names"):
        pretrained_tokenizer(TransferOptions(str(before)), TextOptions())


def test_a_run_that_is_not_there_or_does_not_fit_is_named(before: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run folder"):
        resolve_settings(ClassificationSettings, {"text": "text", "init_from": str(tmp_path / "none")})
    numbers = unroll.Classifier(hidden_size=2, epochs=1, threads=1).fit(np.eye(20)[:, :3], [0, 1] * 10)
    path = numbers.save(tmp_path / "numbers")
    with pytest.raises(RunError, match=r"init_from names .*numbers, a classification run without a vocabulary of text"):
        resolve_settings(ClassificationSettings, {"text": "text", "init_from": str(path)})


def test_weights_of_another_shape_or_name_are_refused(before: Path) -> None:
    wider = ClassificationSettings.from_flat(
        {"text": "text", "hidden_size": 6, "embedding_dim": 4, "recurrence": "gru"}
    )
    model = build(wider.model, wider.recurrent, wider.tokens, outputs=2, vocabulary=8)
    with pytest.raises(OptionError, match=r"'inputs\.embedding\.weight' has shape \[8, 5\].*needs \[8, 4\]"):
        load_pretrained_weights(TransferOptions(str(before)), model)
    other = ClassificationSettings.from_flat({"hidden_size": 6, "num_layers": 2, "last_hidden_size": 3})
    model = build(wider.model, other.recurrent, wider.tokens, outputs=2, vocabulary=8)
    with pytest.raises(OptionError, match="whose recurrent layers do not fit"):
        load_pretrained_weights(TransferOptions(str(before)), model)


@pytest.mark.parametrize("kind", ["language", "masked"])
def test_a_tagger_starts_from_a_language_model_of_words(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path: Path = request.getfixturevalue(kind)
    first: Any = unroll.load(path)
    tagger = unroll.Tagger(init_from=str(path), epochs=1, learning_rate=1e-12, threads=1).fit(TOKENS, TAGS)
    options = tagger.task_.settings
    assert (options.recurrent.bidirectional, options.recurrent.num_layers) == (
        (kind == "masked"),
        1 + (kind != "masked"),
    )
    assert (options.tagger.characters, options.text.lowercase) == ("none", kind == "masked")
    # the same word has the same id, and the upper case is folded only where the run folds it
    table = tagger.task_.encoder.table(["film", "Good", "Films"])
    [[film, good, unknown]] = [ids.tolist() for ids in first.task.encoder.encode(["film good Films"])]
    assert table.words.tolist() == [0, film, good if kind == "masked" else 1, unknown]
    assert tagger.task_.encoder.size == first.task.encoder.size
    # what is unseen is so in the tagger's own data
    assert set(tagger.task_.encoder.seen) == {"a", "Good", "film", "such", "Films"}
    was, now = first.model.state_dict(), tagger.model_.state_dict()
    taken = [name for name in was if name.startswith(("inputs.", "recurrent."))]
    assert len(taken) == 9
    for name in taken:
        torch.testing.assert_close(now[name], was[name], rtol=0, atol=1e-9)
    # the run stands by itself
    saved = tagger.save(tmp_path / "tagger")
    again: Any = unroll.load(saved)
    assert again.task.settings == options
    assert Run.open(saved).config()["options"]["init_from"] == str(path)
    assert tagger.predict(TOKENS[:2]) == [r["tags"] for r in again.predict(TOKENS[:2])]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"characters": "recurrence"}, r"characters cannot be 'recurrence' beside init_from: its recurrent layers"),
        ({"vectors": "glove.txt"}, r"vectors cannot be 'glove.txt' beside init_from: it has word vectors of its own"),
        ({"bidirectional": True}, r"bidirectional is True, but it is False in .*language, which init_from names"),
        ({"lowercase": True}, r"lowercase is True, but it is False in"),
        ({"normalize": "NFKC"}, r"normalize is 'NFKC', but it is 'NFC' in"),
    ],
)
def test_what_a_tagger_cannot_take_over_is_refused(language: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        resolve_settings(TaggingSettings, {"init_from": str(language), **given})


def test_a_tagger_starts_from_words_only(tmp_path: Path) -> None:
    model = unroll.LanguageModel(**SIZES, level="char", min_freq=1, batch_size=2).fit(TEXTS)
    path = model.save(tmp_path / "characters")
    with pytest.raises(OptionError, match=r"characters, which init_from names, are of the level 'char'; a tagger can"):
        unroll.Tagger(init_from=str(path), epochs=1).fit(TOKENS, TAGS)


def test_a_run_that_has_changed_is_started_from_on_request(before: Path, tmp_path: Path) -> None:
    before = shutil.copytree(before, tmp_path / "run")
    path = before / "config.yaml"
    path.write_text(path.read_text() + "# a word of mine\n")
    given = {"text": "text", "init_from": str(before)}
    with pytest.raises(RunError, match=r"config\.yaml has changed since the run was written"):
        resolve_settings(ClassificationSettings, given)
    settings = resolve_settings(ClassificationSettings, given | {"trust_changed": True})
    assert pretrained_tokenizer(settings.transfer, settings.text).size > 2
    with pytest.raises(RunError, match="has changed"):
        pretrained_tokenizer(TransferOptions(str(before)), settings.text)
    with pytest.raises(OptionError, match="trust_changed is set, but it goes with init_from"):
        resolve_settings(ClassificationSettings, {"text": "text", "trust_changed": True})
