from __future__ import annotations

import functools
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unroll.__main__ import main
from unroll.serving.language_model import LanguagePredictor
from unroll.serving.predictor import load

pytestmark = pytest.mark.slow

TEXT = "the cat sat on the mat\na dog ran to the cat\n"
QUICK = (
    "--hidden-size",
    "24",
    "--embedding-dim",
    "12",
    "--epochs",
    "12",
    "--learning-rate",
    "0.03",
    "--batch-size",
    "4",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A language model of characters, of a text that says the same again and again."""
    folder = tmp_path_factory.mktemp("generate")
    (folder / "text.txt").write_text(TEXT * 40, encoding="utf-8")
    level = ("--level", "char", "--threads", "1")
    assert main(["fit", "language-model", str(folder / "text.txt"), "--out", str(folder / "run"), *level, *QUICK]) == 0
    return str(folder / "run")


def test_the_likeliest_text_is_that_of_the_training(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", run, "--prompt", "the cat sat", "--temperature", "0", "--length", "33"]) == 0
    assert capsys.readouterr().out == "the cat sat on the mat\na dog ran to the cat\n"
    assert main(["generate", run, "--prompt", "the cat sat", "--temperature", "0", "--stop", "g r", "xyz"]) == 0
    assert capsys.readouterr().out == "the cat sat on the mat\na do\n"
    assert main(["generate", run, "--prompt", "a dog", "--beam", "3", "--stop", "\n"]) == 0
    assert capsys.readouterr().out == "a dog ran to the cat\n"


def test_the_command_says_what_the_predictor_says(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--temperature", "1.3", "--top-k", "9", "--top-p", "0.95", "--length", "60", "--seed", "7")
    assert main(["generate", run, *options, "--count", "2"]) == 0
    out = capsys.readouterr().out
    predictor = load(run)
    assert isinstance(predictor, LanguagePredictor)
    wanted = ""
    for seed in (7, 8):
        text = "".join(predictor.generate(length=60, temperature=1.3, top_k=9, top_p=0.95, seed=seed))
        wanted += f"--- seed {seed}\n{text}" + ("" if text.endswith("\n") else "\n")
    assert out == wanted
    assert main(["generate", run, *options]) == 0
    assert out.startswith("--- seed 7\n" + capsys.readouterr().out)


def test_the_best_of_a_search(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", run, "--prompt", "the", "--beam", "4", "--count", "2", "--length", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "the cat "
    scores = [float(line.removeprefix("--- score ")) for line in lines if line.startswith("---")]
    assert len(scores) == 2
    assert 0 > scores[0] > scores[1]


def test_the_prompt_from_standard_input(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("--temperature", "0", "--length", "4")
    for given in (b"a dog ran", b"a dog ran\n", b"a dog ran\r\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert main(["generate", run, "--prompt", "-", *more]) == 0
        assert capsys.readouterr().out == "a dog ran to \n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a d\xffg")))
    assert main(["generate", run, "--prompt", "-", *more]) == 2
    assert "is not UTF-8: invalid start byte at byte 3" in capsys.readouterr().err


def test_text_comes_piece_by_piece_and_stops_at_ctrl_c(run: str) -> None:
    command = [sys.executable, "-m", "unroll", "generate", run, "--length", "100000000"]
    # what runs in the background of a shell does not hear of Ctrl-C, and neither would its children
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heard) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(20)) == 20  # long before the end
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 130
        assert rest.endswith(b"\n")
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prompt", "the cät"], "the prompt has characters that the vocabulary has not: 'ä'"),
        (["--temperature", "-1"], "temperature is -1.0; it must be at least 0"),
        (["--temperature", "warm"], "temperature is 'warm'; it must be a number"),
        (["--top-p", "0"], "top_p is 0.0; it must be above 0 and at most 1"),
        (["--top-k", "0"], "top_k is 0; it must be at least 1"),
        (["--beam", "4", "--temperature", "0.5"], "temperature is set, but a beam search draws nothing"),
        (["--beam", "2", "--count", "3"], "a beam of 2 finds no more than 2"),
        (["--stop", ""], "a text to stop at is empty"),
        (["--topk", "3"], "there is no option --topk; did you mean '--top-k'?"),
    ],
    ids=str,
)
def test_mistakes_are_one_sentence(
    run: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", run, *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


def test_lines_are_scored_in_order(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["the cat sat on the mat", "tac eht", "a dog ran to the cat"]
    (tmp_path / "new.txt").write_text("\n".join(lines), encoding="utf-8")
    found = {}
    for flags in ((), ("--carry",)):
        assert main(["score", run, str(tmp_path / "new.txt"), *flags]) == 0
        answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [a["text"] for a in answers] == lines
        assert list(answers[0]) == [
            *("text", "tokens", "log_probabilities", "total", "per_token", "perplexity", "unknown")
        ]
        for answer, line in zip(answers, lines, strict=True):
            assert answer["tokens"] == [*line, "\n"]
            assert answer["total"] == pytest.approx(sum(answer["log_probabilities"]), abs=1e-4)
            assert answer["perplexity"] == pytest.approx(np.exp(-answer["per_token"]), rel=1e-4)
        assert answers[1]["per_token"] < -1 < answers[0]["per_token"]
        found[flags] = answers
    alone, carried = found.values()
    assert alone[0] == carried[0]
    assert alone[2]["total"] != carried[2]["total"]


def test_standard_input_is_scored_as_it_comes(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Typed(io.BytesIO):
        """Lines, of which each is typed when the one before has been answered."""

        def __next__(self) -> bytes:
            said.append(capsys.readouterr().out)
            return super().__next__()

    stdin = io.TextIOWrapper(Typed(b"the cat\na dog\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["score", run, "-"]) == 0
    assert [json.loads(out)["text"] for out in said if out] == ["the cat", "a dog"]


def test_another_kind_of_run_neither_writes_nor_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{word},{kind}\n" for word, kind in (("good", "a"), ("bad", "b")) * 10)
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    out = str(tmp_path / "run")
    quick = ("--hidden-size", "4", "--embedding-dim", "4", "--epochs", "1", "--threads", "1")
    assert main(["fit", "classification", str(tmp_path / "rows.csv"), "--out", out, *quick]) == 0
    capsys.readouterr()
    for command in (["generate", out], ["score", out, "-"]):
        assert main(command) == 2
        assert f"{out} holds a classification run; text is" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "nowhere"), "-"]) == 2
