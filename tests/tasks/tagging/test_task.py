from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unroll.data.options import SourceOptions
from unroll.errors import DataError, OptionError, RunError
from unroll.options import defaults
from unroll.runs import Run
from unroll.tasks.base import DataPaths, TrainingData
from unroll.tasks.state import ENCODER
from unroll.tasks.tagging.options import TaggingSettings
from unroll.tasks.tagging.task import TAGS, TaggingTask
from unroll.tasks.train import new_model

SMALL = {
    "hidden_size": 6,
    "embedding_dim": 3,
    "char_hidden_size": 4,
    "char_embedding_dim": 4,
    "min_freq": 1,
    "validation_fraction": 0.25,
}
NAMES = [
    "Ann|B-PER Lee|I-PER saw|O Oslo|B-LOC",
    "Oslo|B-LOC saw|O Ann|B-PER",
    "Lee|B-PER ran|O",
    "we|O saw|O New|B-LOC York|I-LOC",
]


def write(path: Path, sentences: list[str]) -> str:
    path.write_text("\n\n".join(s.replace("|", "\t").replace(" ", "\n") for s in sentences) + "\n", encoding="utf-8")
    return str(path)


def prepare(tmp_path: Path, sentences: list[str] = NAMES, **options: Any) -> TrainingData:
    data = write(tmp_path / "train.conll", sentences)
    valid = [write(tmp_path / "valid.conll", options.pop("valid"))] if "valid" in options else []
    settings = TaggingSettings.from_flat(SMALL | options)
    return TaggingTask.prepare("tagging", settings, DataPaths([data], valid), lambda _: None)


def test_option_names_are_unique_and_bad_ones_named() -> None:
    assert len(defaults(TaggingSettings.groups())) > 40
    assert TaggingSettings().recurrent.bidirectional
    for name in ("level", "html"):
        with pytest.raises(OptionError, match=f"no option '{name}' for this task"):
            TaggingSettings.from_flat({name: 1})
    with pytest.raises(OptionError, match="freeze_vectors is set, but it goes with vectors"):
        TaggingSettings.from_flat({"freeze_vectors": True})
    with pytest.raises(OptionError, match="tokens and tags are both the column 'x'"):
        TaggingSettings.from_flat({"tokens": "x", "tags": "x"})


def test_the_vocabulary_is_learnt_on_the_training_part_alone(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    task: Any = prepared.task
    assert task.counts(prepared.train) == {"sentences": 3, "tokens": prepared.train.count}
    held = set(task.encoder.seen)
    lists = [[t.split("|")[0] for t in s.split()] for s in NAMES]
    assert sum(all(t in held for t in tokens) for tokens in lists) == 3
    assert task.labels.names == ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    assert bool((prepared.valid.table.seen < 0).sum() > 1)
    again = prepare(tmp_path)
    parts = [b"".join(p.task.fingerprint(p.train)) for p in (prepared, again)]
    assert parts[0] == parts[1]
    assert parts[0] != b"".join(task.fingerprint(prepared.valid))


@pytest.mark.parametrize(
    ("sentences", "options", "scheme", "spans"),
    [
        (NAMES, {}, "BIO", True),
        (["a|I-X b|B-X", "c|O d|I-X"], {}, "IOB1", True),
        (["a|B-X b|E-X", "c|O d|S-X"], {}, "BIOES", True),
        (["a|I-X b|B-X", "c|B-X d|O"], {}, None, True),
        (NAMES, {"scheme": "none"}, None, False),
        (["a|N b|V", "c|N d|V"], {}, None, False),
    ],
)
def test_the_scheme_is_found_in_the_data(
    tmp_path: Path, sentences: list[str], options: dict, scheme: str | None, spans: bool
) -> None:
    prepared = prepare(tmp_path, sentences, decoder="crf", **options)
    task: Any = prepared.task
    assert task.scheme == scheme
    assert task.spans == spans
    assert task.network().crf.constrained == (scheme is not None)
    assert task.objective().monitor == (("span_f1" if spans else "accuracy"), "max")


def test_validation_data_has_a_say_in_the_scheme_and_test_data_has_not(tmp_path: Path) -> None:
    task: Any = prepare(tmp_path, valid=["we|O York|I-LOC"]).task
    assert task.scheme is None
    with pytest.raises(DataError, match=r"valid\.conll .*'I-LOC' at token 2 cannot follow 'O'"):
        prepare(tmp_path, valid=["we|O York|I-LOC"], scheme="BIO")


def test_one_tag_is_no_task(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"every token of .* has the tag 'X'"):
        prepare(tmp_path, ["a|X b|X", "c|X"])


def test_vectors_are_where_a_new_model_starts(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("4 3\nfox 1 2 3\nann 4 5 6\nOslo 7 8 9\nhen 1 1 1\n")
    said: list[str] = []
    data = write(tmp_path / "train.conll", NAMES)
    options = {"vectors": str(tmp_path / "vectors.txt"), "vector_words": 1, "min_freq": 2, "validation_fraction": 0.0}
    settings = TaggingSettings.from_flat(SMALL | options)
    prepared = TaggingTask.prepare("tagging", settings, DataPaths([data]), said.append)
    task: Any = prepared.task
    assert said == ["vectors: 2 of 8 words of the training part found, and 1 more"]
    # saw, ann, lee and oslo occur twice; fox is the first of the file
    assert task.encoder.words == ("saw", "ann", "lee", "oslo", "fox")
    model = new_model(prepared)
    table = model.inputs.embedding.weight
    assert table.requires_grad
    for word, vector in (("ann", [4, 5, 6]), ("oslo", [7, 8, 9]), ("fox", [1, 2, 3])):
        assert table[task.encoder.id_of(word)].tolist() == vector
    assert float(table[task.encoder.id_of("saw")].detach().abs().max()) <= 0.1
    frozen = TaggingSettings.from_flat(SMALL | options | {"freeze_vectors": True})
    model = new_model(TaggingTask.prepare("tagging", frozen, DataPaths([data]), lambda _: None))
    assert not model.inputs.embedding.weight.requires_grad


def test_vectors_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("fox 1 2\n")
    with pytest.raises(OptionError, match=r"embedding_dim is 3, but the vectors in .* have 2 values"):
        prepare(tmp_path, vectors=str(path))
    path.write_text("fox 1 2 3\n")
    with pytest.raises(DataError, match="has a vector for none of the 7 words of the training part"):
        prepare(tmp_path, vectors=str(path))


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_what_is_written_is_read_and_answers_the_same(tmp_path: Path, decoder: str) -> None:
    prepared = prepare(tmp_path, decoder=decoder)
    task: Any = prepared.task
    model = new_model(prepared)
    run = Run.claim(tmp_path / "run")
    run.begin()
    task.save(run)
    run.write_config("tagging", task.settings.flat(), {"data": [], "valid": [], "test": []})
    run.write_weights(model)
    again = TaggingTask.from_run(run)
    with torch.device("meta"):
        empty = again.network()
    run.read_weights(empty)
    values = [["Ann", "ran"], ["Oslo"], ["Ann", "saw", "Bergen", "!"]]
    answers = task.predict(model.eval(), values)
    assert again.predict(empty, values) == answers
    part = task.load([str(tmp_path / "train.conll")], SourceOptions(), print)
    assert again.evaluate(empty, part) == task.evaluate(model, part)
    assert [a["tokens"] for a in answers] == values
    for answer in answers:
        assert len(answer["tags"]) == len(answer["probabilities"]) == len(answer["tokens"])
        assert all(0 < p <= 1 for p in answer["probabilities"])
        for span in answer["spans"]:
            assert 0 <= span["start"] < span["end"] <= len(answer["tokens"])
    alone = [task.predict(model, [value])[0] for value in values]
    assert [a["tags"] for a in alone] == [a["tags"] for a in answers]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (TAGS, {"format": "x"}, "not in the form 'unroll.tags/1'"),
        (TAGS, {"labels": {"kind": "single"}}, "labels"),
        (TAGS, {"scheme": "BIOS"}, "its labels or its scheme cannot be used"),
        (TAGS, {"common": [1, 2]}, "'common' must hold"),
        (TAGS, {"common": [99]}, "'common' and 'unseen' must hold numbers of tags"),
        (TAGS, {"unseen": None}, "'common' and 'unseen' must hold numbers of tags"),
        (ENCODER, {"options": {"min_freq": 7}}, "disagree on how tokens are encoded"),
        (ENCODER, {"format": "unroll.text/1"}, "not in the form 'unroll.tokens/1'"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, file: str, change: dict, message: str) -> None:
    task = prepare(tmp_path).task
    run = Run.claim(tmp_path / "run")
    run.begin()
    task.save(run)
    run.write_config("tagging", task.settings.flat(), {"data": [], "valid": [], "test": []})
    run.write_json(file, json.loads(run.read(file)) | change)
    with pytest.raises(RunError, match=message):
        TaggingTask.from_run(run)


def test_records_to_answer_may_be_texts(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, tokenize="words")
    task: Any = prepared.task
    assert task.column == "tokens"
    assert task.validate(["Ann ran.", ["Ann"], "  ", None, [3]]) == {
        2: "'tokens' is empty",
        3: "'tokens' is null",
        4: "'tokens' has int 3 at token 1, where text is needed",
    }
    model = new_model(prepared).eval()
    assert task.predict(model, ["Ann ran."])[0]["tokens"] == ["Ann", "ran", "."]
    settings = dataclasses.replace(task.settings, tagging=dataclasses.replace(task.settings.tagging, tokenize="space"))
    task.settings = settings
    assert task.predict(model, ["Ann ran."])[0]["tokens"] == ["Ann", "ran."]


def test_tags_of_new_data_that_training_lacked_are_wrong(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    task: Any = prepared.task
    new = write(tmp_path / "new.conll", ["a|O b|B-ORG", "Ann|B-PER"])
    part = task.load([new], SourceOptions(), lambda _: None)
    labels = len(task.labels)
    assert part.unseen_tags == ("B-ORG",)
    assert [t.tolist()[-1] for t in part.tags.take(np.arange(2))] == [labels, task.labels.names.index("B-PER")]
    report = task.evaluate(new_model(prepared).eval(), part)
    assert report["tokens"] == 3
    assert report["accuracy"] <= 2 / 3 + 1e-9
    assert report["per_tag"]["B-ORG"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "tokens": 1}
    assert report["per_type"]["ORG"]["gold"] == 1
    assert np.shape(report["confusion"]) == (labels + 1, labels + 1)


def test_tags_of_the_validation_part_that_training_lacked_leave_the_scheme(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, valid=["Ann|B-PER ran|O", "a|X b|I-PER"])
    task: Any = prepared.task
    assert task.scheme == "BIO"
    assert prepared.valid is not None
    assert prepared.valid.unseen_tags == ("X",)
    assert "X" not in task.labels.names
    (batch,) = task.batches(prepared.valid, training=False)
    model, objective = new_model(prepared).eval(), task.objective()
    output, metrics = objective.output(model, batch), objective.metrics()
    objective.update(metrics, output, batch)
    assert torch.isfinite(objective.loss(output, batch))
    assert metrics.compute()["accuracy"] <= 3 / 4


def test_what_is_said_before_training(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    first, second, third = prepared.task.describe(prepared, new_model(prepared))
    assert first.startswith("3 sentences (")
    assert ", 1 to validate; 3 to 4 tokens a sentence" in first
    assert second.endswith("5 tags, which mark spans (BIO)")
    assert third.startswith("model: 1 bidirectional LSTM layer of 6, ")
