from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import unroll
from unroll.__main__ import main
from unroll.errors import DataError, OptionError
from unroll.estimators.translator import Translator
from unroll.generation.options import SearchOptions
from unroll.serving.translator import TranslationPredictor

pytestmark = pytest.mark.slow

WORDS = {"the": "das", "a": "ein", "cat": "tier", "dog": "hund", "old": "alte", "big": "große", "runs": "läuft"}


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Word for word, but the verb comes first."""
    rng = random.Random(seed)  # noqa: S311 (test data)
    made = []
    for _ in range(count):
        words = [
            rng.choice(["the", "a"]),
            *rng.sample(["old", "big"], rng.choice([0, 1, 2])),
            rng.choice(["cat", "dog"]),
        ]
        made.append((" ".join([*words, "runs"]), " ".join([WORDS["runs"], *(WORDS[w] for w in words)])))
    return made


def write(folder: Path, name: str, rows: list[tuple[str, str]]) -> list[str]:
    for suffix, side in (("en", 0), ("de", 1)):
        (folder / f"{name}.{suffix}").write_text("\n".join(row[side] for row in rows) + "\n", encoding="utf-8")
    return [str(folder / f"{name}.en"), str(folder / f"{name}.de")]


OPTIONS = (
    *("--source", "en", "--target", "de", "--level", "word", "--hidden-size", "32", "--embedding-dim", "32"),
    *("--epochs", "20", "--learning-rate", "0.01", "--batch-size", "16", "--min-freq", "1", "--threads", "1"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    data, test = write(folder, "train", pairs(400, 0)), write(folder, "test", pairs(40, 1))
    assert main(["fit", "translation", *data, *OPTIONS, "--test", *test, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_it_learns_and_says_how_well(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    test = metrics["test"]
    assert test["exact_match"] == 1.0
    assert test["bleu"] == 100.0
    assert test["copied"] == test["empty"] == test["cut_off"] == 0
    assert test["bleu_signature"].startswith("nrefs:1|case:mixed")
    assert set(test["baselines"]) == {"copy of the source", "nearest training source"}
    assert test["baselines"]["copy of the source"]["exact_match"] == 0.0
    assert test["perplexity"] < 1.2
    assert (run / "predictions.csv").read_text().splitlines()[0] == "row,en,de,translation,score,chrf"
    with Image.open(run / "alignment.png") as picture:
        assert picture.width > 800


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_command_translates(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the old dog runs\na cat runs\n")))
    assert main(["predict", str(run), "-", "--n-best", "2", "--alignment", "true"]) == 0
    first, second = answers(capsys)
    assert first["translation"] == "läuft das alte hund"
    assert second["translation"] == "läuft ein tier"
    assert first["n_best"][0]["translation"] == first["translation"]
    assert len({one["translation"] for one in first["n_best"]}) == 2
    assert first["source_tokens"] == ["the", "old", "dog", "runs", "</s>"]
    assert first["tokens"] == ["läuft", "das", "alte", "hund", "</s>"]
    assert abs(sum(first["log_probabilities"]) - first["log_probability"]) < 1e-4
    assert all(abs(sum(row) - 1) < 1e-2 for row in first["attention"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"the old dog runs\n")))
    assert main(["predict", str(run), "-", "--prefix", "läuft ein", "--beam", "3"]) == 0
    assert answers(capsys)[0]["translation"].startswith("läuft ein ")
    assert main(["predict", str(run), "-", "--prefix", "springt"]) == 2
    assert "the target's vocabulary has no 'springt'" in capsys.readouterr().err


def test_given_translations_are_scored(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = write(tmp_path, "some", [("a cat runs", "läuft ein tier"), ("a cat runs", "läuft das hund")])
    assert main(["score", str(run), *data]) == 0
    right, wrong = answers(capsys)
    assert right["tokens"] == ["läuft", "ein", "tier", "</s>"]
    assert right["total"] > -0.5
    assert wrong["total"] < right["total"] - 3
    assert abs(sum(wrong["log_probabilities"]) - wrong["total"]) < 1e-4
    assert main(["score", str(run), *data, "--carry"]) == 2
    assert "--carry goes with language-model" in capsys.readouterr().err


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_row_alone_is_the_row_in_the_batch(run: Path, width: int) -> None:
    predictor = unroll.load(run)
    assert isinstance(predictor, TranslationPredictor)
    sources = [source for source, _ in pairs(60, 7)] + ["dog", "the the the old old big cat cat runs runs a dog"]
    options = SearchOptions(beam=width, n_best=width)
    together = predictor.translate(sources, options=options, alignment=True)
    for source, answer in zip(sources, together, strict=True):
        assert predictor.translate([source], options=options, alignment=True) == [answer]


def test_phrases_and_ensembles(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = unroll.load(run)
    assert isinstance(predictor, TranslationPredictor)
    (answer,) = predictor.translate(["the dog runs"], required=["große"], banned=["hund"])
    assert "große" in answer["translation"].split()
    assert "hund" not in answer["translation"].split()
    with pytest.raises(DataError, match="text 2: 'en' is empty"):
        predictor.translate(["a", " "])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a big dog runs\n")))
    assert main(["predict", str(run), "-", "--ensemble", str(run)]) == 0
    (both,) = answers(capsys)
    (alone,) = predictor.translate(["a big dog runs"])
    assert both["translation"] == alone["translation"]
    assert abs(both["score"] - alone["score"]) < 1e-5


def test_several_references_and_what_cannot_be_evaluated(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"en": "a cat runs", "de": ["falsch", "läuft ein tier"]}, {"en": "the dog runs", "de": ["läuft das hund"]}]
    (tmp_path / "several.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = unroll.load(run).evaluate(str(tmp_path / "several.jsonl"))
    assert report["exact_match"] == 1.0
    (tmp_path / "bad.tsv").write_text("en\tde\na cat\t\n\tx\n")
    assert main(["evaluate", str(run), str(tmp_path / "bad.tsv")]) == 2
    assert "2 of 2 rows" in capsys.readouterr().err


def test_unknown_words_come_from_the_source() -> None:
    X = [f"say {a} {b}" for a in "abcd" for b in "abcd"] * 8
    X += [f"say {i}x{i} {b}" for i in range(40) for b in "abcd"[i % 4]]  # each seen once in X: unknown
    y = [text.removeprefix("say ") for text in X]
    model = Translator(
        level="word",
        min_freq=3,
        hidden_size=32,
        embedding_dim=32,
        epochs=25,
        learning_rate=0.01,
        batch_size=16,
        replace_unknown=True,
        validation_fraction=0.0,
        threads=1,
    )
    model.fit(X, y)
    assert model.predict(["say 99x99 c", "say a d"]) == ["99x99 c", "a d"]
    with pytest.raises(OptionError, match="at level 'bpe' no token is unknown"):
        Translator(replace_unknown=True).fit(["a"] * 40, ["b"] * 40)


def test_each_side_can_have_its_own_vocabulary(tmp_path: Path) -> None:
    X, y = ["abc", "bca", "cab", "aab"] * 20, ["你好", "好你", "你你", "好好"] * 20
    model = Translator(
        level="char", hidden_size=16, epochs=25, learning_rate=0.02, batch_size=8, min_freq=1, threads=1
    ).fit(X, y)
    assert model.task_.settings.translation.joint_vocabulary == "no"
    assert model.predict(["abc", "aab"]) == ["你好", "好好"]
    again = Translator.load(model.save(tmp_path / "run"))
    assert again.predict(["cab"]) == ["你你"]
    assert (tmp_path / "run" / "target.json").exists()
    assert torch.equal(again.model_.inputs.embedding.weight, model.model_.inputs.embedding.weight)
