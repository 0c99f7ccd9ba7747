from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest

from unroll.__main__ import main

pytestmark = pytest.mark.slow

QUICK = (
    "--hidden-size",
    "12",
    "--embedding-dim",
    "12",
    "--char-hidden-size",
    "6",
    "--epochs",
    "8",
    "--learning-rate",
    "0.03",
)
STEMS = {"NOUN": "cat dog fox hen cow pig".split(), "VERB": "walk jump sing talk play look".split()}  # noqa: SIM905


def sentences(count: int, seed: int) -> list[list[tuple[str, str]]]:
    """Verbs end in "ed" and names in capitals are persons, so that unseen words can be told by their characters."""
    rng = random.Random(seed)  # noqa: S311 (test data)
    found = []
    for _ in range(count):
        name = [("".join(rng.choices("ABCDEF", k=4)), t) for t in ("B-PER", "I-PER")[: rng.choice([1, 2])]]
        rest = [(rng.choice(STEMS["VERB"]) + "ed", "O"), ("the", "O"), (rng.choice(STEMS["NOUN"]), "O")]
        found.append(name + rest if rng.random() < 0.5 else [rest[1], rest[2], rest[0], *name])
    return found


def write(path: Path, count: int, seed: int) -> Path:
    path.write_text("\n\n".join("\n".join("\t".join(t) for t in s) for s in sentences(count, seed)) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagging")
    write(folder / "train.conll", 90, 0)
    write(folder / "test.conll", 30, 1)
    assert fit(folder, "--test", str(folder / "test.conll"), "--decoder", "crf") == 0
    return folder


def fit(folder: Path, *more: str) -> int:
    out = ("--out", str(folder / "run"), "--threads", "1")
    return main(["fit", "tagging", str(folder / "train.conll"), *out, *QUICK, *more])


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_run_folder_is_complete(trained: Path) -> None:
    run = trained / "run"
    assert {
        *("config.yaml", "model.safetensors", "encoder.json", "tags.json", "metrics.json", "manifest.json"),
        *("history.csv", "gradients.csv", "curves.png", "gradients.png", "confusion.png", "checkpoints"),
        *("README.md", "predictions.csv"),
    } == {p.name for p in run.iterdir()}
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["training"]["sentences"] == 81
    test = metrics["test"]
    assert test["accuracy"] > 0.98
    assert test["spans"]["f1"] > 0.9
    assert test["unseen_accuracy"] > test["baseline_unseen_accuracy"]
    assert "span_f1" in (run / "history.csv").read_text().splitlines()[0]


def test_evaluate_prints_the_figures_of_the_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained / "run"), str(trained / "test.conll"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((trained / "run" / "metrics.json").read_text())["test"]
    assert main(["evaluate", str(trained / "run"), str(trained / "test.conll")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{report['tokens']} tokens"
    assert shown[1].startswith(f"accuracy          {report['accuracy']:.4f}   (0.")
    assert any(line.startswith("PER ") for line in shown)


def test_predict_answers_files_with_and_without_tags(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.jsonl").write_text('{"tokens": ["BADE", "FACE", "sneezed"]}\n{"tokens": ["the", "hen"]}\n')
    (tmp_path / "new.conll").write_text("BADE\nFACE\nsneezed\n\nthe\nhen\n")
    (tmp_path / "new.txt").write_text("BADE FACE sneezed\nthe hen\n")
    found = []
    for name in ("new.jsonl", "new.conll", "new.txt"):
        assert main(["predict", str(trained / "run"), str(tmp_path / name)]) == 0
        found.append(answers(capsys))
    assert found[0] == found[1] == found[2]
    first, second = found[0]
    assert first["tokens"] == ["BADE", "FACE", "sneezed"]
    assert first["tags"] == ["B-PER", "I-PER", "O"]
    assert first["spans"] == [{"type": "PER", "start": 0, "end": 2}]
    assert (second["tags"], second["spans"]) == (["O", "O"], [])
    assert all(0.3 < p <= 1 for p in first["probabilities"])


def test_bad_records_stop_the_prediction_or_are_answered_with_an_error(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = b'{"tokens": ["the"]}\n{"tokens": ["a", null]}\n{"words": ["a"]}\n{"tok'

    def given() -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))

    given()
    assert main(["predict", str(trained / "run"), "-", "--skip-bad-rows"]) == 0
    found = answers(capsys)
    assert found[0]["tags"] == ["O"]
    assert found[1] == {"error": "'tokens' has a null at token 2"}
    assert found[2] == {"error": "there is no 'tokens'; there is: words"}
    assert "line 4: not JSON" in found[3]["error"]
    given()
    assert main(["predict", str(trained / "run"), "-"]) == 2


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("a X\nb\n", (), "line 2: 1 column, but other lines have 2; the token 'b' has no tag"),
        ("a X\nb X Y\n", (), "line 2: 3 columns, but other lines have 2"),
        ("a\nb\n", (), "has no column 'tags'"),
        ("a X\n\nb X\n", (), "every token of"),
        ("a X\n\nb Y\n", ("--min-freq", "5"), "no word occurs 5 times (min_freq)"),
        (
            "a O\n\nb I-X\n",
            ("--scheme", "BIO"),
            "'I-X' at token 1 cannot stand first); --skip-bad-rows leaves them out",
        ),
        ("a X\n\nb Y\n", ("--vectors", "nowhere.txt", "--min-freq", "1"), "no such file: '"),
        ("a X\n\nb Y\n", ("--tags", "column3"), "has no column 'column3'; did you mean 'column"),
        ("a X\n\nb Y\n", ("--decoder", "crt"), "decoder is 'crt'; did you mean 'crf'"),
        ("", (), "is empty"),
    ],
)
def test_a_persons_mistake_is_one_sentence(
    tmp_path: Path, content: str, more: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.conll").write_text(content)
    assert fit(tmp_path, *more) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_broken_sentences_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train.conll", 20, 0)
    with (tmp_path / "train.conll").open("a") as file:
        file.write("\nlonely\n\nBADE B-PER more\n")
    assert fit(tmp_path, "--epochs", "1", "--skip-bad-rows", "--characters", "convolution") == 0
    said = capsys.readouterr().out
    assert "2 sentences left out because of broken lines, the first: " in said
    assert "18 sentences (" in said


def test_comments_change_no_weight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = write(tmp_path / "train.conll", 12, 0).read_text()
    weights = []
    for content in (
        clean,
        "".join(f"# id {i:08x}\n{block}\n\n" for i, block in enumerate(clean.strip().split("\n\n"))),
    ):
        (tmp_path / "train.conll").write_text(content)
        assert fit(tmp_path, "--epochs", "1", "--overwrite") == 0
        weights.append((tmp_path / "run" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert "train.conll: 12 comment lines are skipped, the first in line 1: '# id 00000000'" in capsys.readouterr().out


def test_spans_are_converted_trained_evaluated_and_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "train.conll", 30, 0)
    assert fit(tmp_path, "--epochs", "1", "--convert", "BILOU", "--decoder", "crf") == 0
    assert ("tags, which mark spans (BILOU)") in capsys.readouterr().out
    write(tmp_path / "test.conll", 10, 1)
    run = str(tmp_path / "run")
    assert main(["evaluate", run, str(tmp_path / "test.conll"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["per_tag"]) == {"B-PER", "L-PER", "U-PER", "O"}
    assert report["spans"]["gold"] == 10
    assert main(["predict", run, str(tmp_path / "test.conll")]) == 0
    assert {tag for a in answers(capsys) for tag in a["tags"]} <= {"B-PER", "L-PER", "U-PER", "O"}
