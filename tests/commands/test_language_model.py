"""`unroll fit language-model` and what comes after it, as a person calls them."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
import yaml

from unroll.__main__ import main
from unroll.tasks.language_modeling.loss import NextToken

pytestmark = pytest.mark.slow

TEXT = "the cat sat on the mat .\nthe dog sat on the cat .\nthe cat saw the dog .\n" * 40
QUICK = (
    "--hidden-size",
    "12",
    "--embedding-dim",
    "8",
    "--min-freq",
    "1",
    "--batch-size",
    "4",
    "--bptt",
    "10",
    "--threads",
    "1",
)
RICH = (
    *("--num-layers", "2", "--hidden-dropout", "0.2", "--head-dropout", "0.2", "--weight-dropout", "0.2"),
    *(
        "--embedding-row-dropout",
        "0.1",
        "--word-dropout",
        "0.1",
        "--activation-penalty",
        "1",
        "--activation-slowness",
        "1",
    ),
    *("--bptt-jitter", "0.3", "--reset-state", "row"),
)


def fit(text: Path, out: Path, *more: str) -> int:
    return main(["fit", "language-model", str(text), "--out", str(out), *QUICK, *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "train.txt").write_text(TEXT)
    (folder / "test.txt").write_text("the dog saw the bird .\nthe mat sat .\n" * 5)
    test = ("--test", str(folder / "test.txt"))
    assert fit(folder / "train.txt", folder / "run", *test, "--epochs", "6", "--learning-rate", "0.03") == 0
    return folder


def test_a_run_folder_is_complete(trained: Path) -> None:
    run = trained / "run"
    assert {p.name for p in run.iterdir()} == {
        *("config.yaml", "model.safetensors", "encoder.json", "frequencies.json", "metrics.json", "manifest.json"),
        *("history.csv", "gradients.csv", "curves.png", "gradients.png", "checkpoints", "README.md"),
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["training"]["tokens"] + metrics["validation"]["tokens"] == 40 * 23
    assert metrics["test"]["tokens"] == 5 * 12
    assert metrics["test"]["unknown"] == 5
    assert metrics["validation"]["perplexity"] < 3 < 7 < metrics["validation"]["baseline_perplexity"]
    assert math.log(metrics["test"]["perplexity"]) == pytest.approx(metrics["test"]["nats_per_token"])
    options = yaml.safe_load((run / "config.yaml").read_text())["options"]
    assert "max_length" not in options
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert math.exp(float(row["valid_loss"])) == pytest.approx(float(row["valid_perplexity"]), rel=1e-5)
        assert float(row["valid_loss"]) / math.log(2) == pytest.approx(float(row["valid_bits"]), rel=1e-5)


def test_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    assert fit(tmp_path / "a.txt", tmp_path / "run", "--epochs", "1", "--softmax", "adaptive") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "828 tokens to train, 92 to validate"
    assert out[1] == "4 streams, 21 windows of about 10 tokens an epoch"
    assert out[2] == "vocabulary: 11 entries (word level)"
    assert out[3].startswith("adaptive softmax: clusters from ")
    assert out[4].startswith("model: 1 LSTM layer of 12, ")
    assert out[6] == "validation (92 tokens, weights of epoch 1)"
    assert out[7].startswith("  perplexity          ")


def test_evaluate_gives_what_the_training_reported(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(trained / "run")
    assert main(["evaluate", run, str(trained / "test.txt"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((trained / "run" / "metrics.json").read_text())["test"]
    assert main(["evaluate", run, str(trained / "test.txt")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "60 tokens"
    assert out[1].startswith(f"perplexity          {report['perplexity']:.2f}   (")
    assert out[-1] == "unknown tokens      5 (8.33%), each counted as the unknown token"


def test_dynamic_evaluation(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "run" / "model.safetensors").read_bytes()
    call = ["evaluate", str(trained / "run"), str(trained / "test.txt"), "--json"]
    assert main([*call, "--dynamic-rate", "0.5", "--dynamic-decay", "0.001"]) == 0
    moving = json.loads(capsys.readouterr().out)
    assert main(call) == 0
    static = json.loads(capsys.readouterr().out)
    assert moving["perplexity"] < static["perplexity"]
    assert (moving["dynamic_rate"], moving["dynamic_decay"]) == (0.5, 0.001)
    assert (trained / "run" / "model.safetensors").read_bytes() == before
    for wrong, sentence in (
        (["--dynamic-decay", "0.1"], "dynamic_decay goes with dynamic_rate"),
        (["--dynamic-rate", "0"], "dynamic_rate is 0.0; it must be a number above 0"),
        (["--dynamic-rate", "x"], "dynamic_rate is 'x'; it must be a number"),
    ):
        assert main([*call, *wrong]) == 2
        assert capsys.readouterr().err.strip() == f"unroll: {sentence}"


@pytest.mark.parametrize(
    "more", [(), RICH, ("--objective", "masked", "--bidirectional", "--bptt-jitter", "0.2")], ids=str
)
def test_a_resumed_training_is_the_one_that_was_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    text = tmp_path / "a.txt"
    text.write_text(TEXT)
    options = (*more, "--epochs", "3", "--checkpoint-every", "5", "--level", "word")
    assert fit(text, tmp_path / "whole", *options) == 0

    steps = 0
    real = NextToken.loss

    def loss(self, output, batch):
        nonlocal steps
        if output.nll.requires_grad:
            steps += 1
            if steps == 28:
                raise RuntimeError("the power goes")
        return real(self, output, batch)

    with monkeypatch.context() as patch:
        patch.setattr(NextToken, "loss", loss)
        with pytest.raises(RuntimeError, match="the power goes"):
            fit(text, tmp_path / "stopped", *options)
    state = json.loads((tmp_path / "stopped" / "checkpoints" / "last" / "state.json").read_text())["state"]
    assert (state["course"]["epoch"], state["course"]["step"]) == (1, 25)
    assert main(["resume", str(tmp_path / "stopped")]) == 0
    whole, stopped = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "stopped"))
    assert one["validation"] == other["validation"]


def test_a_text_that_has_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "a.txt"
    text.write_text(TEXT)
    assert fit(text, tmp_path / "run", "--epochs", "1") == 0
    for name in ("manifest.json", "model.safetensors"):
        (tmp_path / "run" / name).unlink()
    text.write_text(TEXT.replace("dog", "cow", 1))
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "has changed since the run was started" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "more", "sentence"),
    [
        (b"", (), "a.txt is empty"),
        (b"\n\n \n", (), "a.txt holds nothing but white space"),
        (b"PK\x03\x04\0\0", (), "a.txt' is not a text file: it holds bytes that are zero"),
        (b"caf\xe9 noir\n", (), "line 1: byte 0xE9 is not utf-8; --encoding latin-1 may be right"),
        (b"a b c\n", ("--bidirectional",), "bidirectional layers would see the token that they are to predict"),
        (b"a b c\n", ("--level", "bpe"), "vocab_size is 0; it must be at least 258 for level 'bpe'"),
        (b"a b c\n", ("--bpt", "3"), "there is no option --bpt; did you mean '--bptt'?"),
        (b"a b c\n", ("--softmax", "adaptive"), "a vocabulary of 5 entries is too small for clusters"),
        (b"a b c\n", ("--min-freq", "2"), "the vocabulary is empty: no word occurs 2 times (min_freq)"),
    ],
)
def test_a_persons_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, more: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert fit(tmp_path / "a.txt", tmp_path / "run", *more) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_wrong_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("review,label\ngood film,1\n")
    assert main(["fit", "language-model", str(tmp_path / "a.csv"), "--out", str(tmp_path / "run")]) == 2
    assert "a.csv' has no column 'text'; there is: review, label" in capsys.readouterr().err


def test_levels_and_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"review": f"good film {i % 7}"}) + "\n" for i in range(60)))
    for level, more in (("char", ()), ("byte", ()), ("bpe", ("--vocab-size", "270"))):
        out = tmp_path / level
        assert fit(tmp_path / "a.jsonl", out, "--text", "review", "--level", level, "--epochs", "1", *more) == 0
        metrics = json.loads((out / "metrics.json").read_text())["validation"]
        assert metrics["rows"] == 6
        assert metrics["bits_per_byte"] == pytest.approx(metrics["bits_per_token"] * metrics["tokens"] / 72)


def test_the_recipes_text_options_are_those_of_the_published_figures() -> None:
    recipes = Path(__file__).parents[2] / "recipes"
    for name in ("ptb", "ptb-awd", "wikitext2"):
        options = yaml.safe_load((recipes / f"{name}.yaml").read_text())
        assert (options["punctuation"], options["normalize"], options["min_freq"]) == ("keep", "none", 1)


def test_half_an_emoji_and_lines_before_a_bad_one_are_scored(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Input:
        buffer = io.BytesIO(b'{"text": "the cat \\ud83d"}\n{"text": "the dog"}\n{"text": 5}\n{"text": "a"}\n')

    monkeypatch.setattr("sys.stdin", Input)
    assert main(["score", str(trained / "run"), "-"]) == 2
    out, err = capsys.readouterr()
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["the cat \ud83d", "the dog"]
    assert "row 3: 'text' holds int, not text" in err
    (tmp_path / "rows.jsonl").write_text('{"text": "the dog"}\n{"text": "the cat \\ud83d"}\n')
    for command in ("score", "evaluate"):
        assert main([command, str(trained / "run"), str(tmp_path / "rows.jsonl")]) == 2
        assert "row 2: column 'text' holds half a character (a lone surrogate)" in capsys.readouterr().err
