from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from unroll.errors import DataError, RunError
from unroll.runs import Run
from unroll.tasks.base import DataPaths
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.task import ClassificationTask
from unroll.tasks.predictions import largest
from unroll.tasks.tagging.options import TaggingSettings
from unroll.tasks.train import finish, resume, train_from_files

QUICK = {"epochs": 1, "hidden_size": 4, "embedding_dim": 4, "threads": 1}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, labels: list[str]) -> None:
    lines = [f"{'good' if label == 'pos' else 'bad'} film,{label}" for label in labels]
    path.write_text("\n".join(["text,label", *lines]) + "\n")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.csv", ["pos", "neg"] * 12)
    write(tmp_path / "t.csv", ["pos", "neg", "odd", "pos", "odd"])
    return tmp_path


def fit(out: str, sources: DataPaths, said: list[str] | None = None, **more: bool) -> dict:
    settings = ClassificationSettings.from_flat({**QUICK, "baseline": "none"})
    say = (lambda _: None) if said is None else said.append
    return train_from_files("classification", sources, settings, out, say=say, **more)


def test_a_run_says_what_it_is_and_holds_its_predictions(here: Path) -> None:
    said: list[str] = []
    metrics = fit("runs/film", DataPaths(["a.csv"], test=["t.csv"]), said, slim=True)
    run = here / "runs" / "film"
    text = (run / "README.md").read_text()
    for line in (
        "- training: `a.csv`",
        "- test: `t.csv`",
        "- 22 rows to train, 2 to validate, 5 to test",
        "- `hidden_size`: 4",
        "## Figures of the test part (5 rows)",
        "| `worst.csv` | the worst errors of the test part, the worst first |",
        "$ unroll predict film new.csv > answers.jsonl",
        "$ unroll evaluate film held-out.csv",
        'predictor = unroll.load("film")',
        'list(predictor.predict([{"text": "some text"}]))',
    ):
        assert line in text.splitlines(), line
    assert f"accuracy        {metrics['test']['accuracy']:.4f}" in text
    assert "checkpoints" not in text
    assert not (run / "checkpoints").exists()
    answers = rows(run / "predictions.csv")
    assert [(row["row"], row["label"]) for row in answers] == list(
        zip("12345", ["pos", "neg", "odd", "pos", "odd"], strict=True)
    )
    right = sum(row["label"] == row["predicted"] for row in answers)
    assert metrics["test"]["accuracy"] == right / 5
    worst = rows(run / "worst.csv")
    assert len(worst) == 5 - right
    shares = [float(row["probability"]) for row in worst]
    assert shares == sorted(shares, reverse=True)
    assert {row["text"] for row in worst if row["label"] == "odd"} == {"bad film"}


def test_labels_that_only_the_test_part_has_count_as_wrong(here: Path) -> None:
    said: list[str] = []
    report = fit("r", DataPaths(["a.csv"], test=["t.csv"]), said)["test"]
    assert report["rows"] == 5
    assert report["unseen_labels"] == {"odd": 2}
    assert report["per_class"]["odd"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "rows": 2}
    assert np.array(report["confusion"]).sum(1).tolist() == [1, 2, 2]
    assert report["baseline_accuracy"] == 0.2
    note = "t.csv has a label that the training data did not have: 'odd' (2 rows, first row 3); there is: neg, pos"
    assert note in said
    assert "  rows of labels that the training data did not have count as wrong: 'odd' (2)" in said
    with pytest.raises(DataError, match=r"t\.csv has a label .* 'odd' \(2 rows, first row 3\); there is: neg, pos"):
        fit("v", DataPaths(["a.csv"], valid=["t.csv"]))
    write(here / "none.csv", ["odd", "even"])
    with pytest.raises(DataError, match=r"none\.csv has labels that the training data did not have"):
        fit("n", DataPaths(["a.csv"], test=["none.csv"]))


def test_the_data_is_named_as_it_was_given(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit("r", DataPaths(["a.csv"], test=["t.csv"]))
    run = here / "r"
    assert Run.open(run).config()["sources"] == {"data": ["a.csv"], "valid": [], "test": ["t.csv"]}
    for file in run.rglob("*"):
        if file.is_file():
            assert str(here).encode() not in file.read_bytes(), file
    (run / "manifest.json").unlink()
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    for command in (resume, finish):
        with pytest.raises(RunError, match=r"a\.csv.*; \.\./r names its data as .* go on from the folder where that"):
            command("../r", say=lambda _: None)
    monkeypatch.chdir(here)
    assert (run / "checkpoints").exists()
    finish("r", slim=True, say=lambda _: None)
    assert not (run / "checkpoints").exists()
    assert "checkpoints" not in (run / "README.md").read_text()


def test_a_readme_alone_is_not_taken_for_a_run(here: Path) -> None:
    (here / "notes").mkdir()
    (here / "notes" / "README.md").write_text("mine")
    with pytest.raises(RunError, match="notes is not empty and holds no run"):
        fit("notes", DataPaths(["a.csv"]), overwrite=True)
    assert (here / "notes" / "README.md").read_text() == "mine"


def test_the_sentences_with_most_errors_come_first(here: Path) -> None:
    sentences = ["the DET\ndog NOUN\n", "dog NOUN\n", "dog NOUN\nthe DET\ndog NOUN\n"] * 4
    (here / "s.conll").write_text("\n".join(sentences))
    settings = TaggingSettings.from_flat({**QUICK, "characters": "none"})
    train_from_files("tagging", DataPaths(["s.conll"], test=["s.conll"]), settings, "t", say=lambda _: None)
    answers = rows(here / "t" / "predictions.csv")
    assert len(answers) == 12
    for row in answers:
        tags, predicted = json.loads(row["tags"]), json.loads(row["predicted"])
        assert int(row["errors"]) == sum(a != b for a, b in zip(tags, predicted, strict=True))
        assert len(json.loads(row["tokens"])) == len(tags)
    wrong = [int(row["errors"]) for row in answers if row["errors"] != "0"]
    assert [int(row["errors"]) for row in rows(here / "t" / "worst.csv")] == sorted(wrong, reverse=True)


def test_the_largest_errors() -> None:
    assert largest(np.array([0.0, 2.0, np.nan, 3.0, 2.0])).tolist() == [3, 1, 4]
    assert len(largest(np.ones(80))) == 50


def test_the_network_reads_the_test_part_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    outputs = ClassificationTask.outputs

    def counting(self, network, part):
        asked.append(len(part))
        return outputs(self, network, part)

    monkeypatch.setattr(ClassificationTask, "outputs", counting)
    rows = [f"good film {i},a\nbad film {i},b" for i in range(20)]
    (here / "a.csv").write_text("\n".join(["text,label", *rows]))
    (here / "t.csv").write_text("text,label\ngood film,a\nbad film,b\nfilm,a\n")
    settings = ClassificationSettings.from_flat({"hidden_size": 4, "epochs": 1, "threads": 1, "baseline": "none"})
    train_from_files("classification", DataPaths(["a.csv"], test=["t.csv"]), settings, here / "r", say=lambda _: None)
    assert asked == [4, 3]
    assert (here / "r" / "predictions.csv").exists()
