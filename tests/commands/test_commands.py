from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unroll.__main__ import COMMANDS, main

pytestmark = pytest.mark.slow

WORDS = {"pos": ["good", "great", "fine", "lovely"], "neg": ["bad", "awful", "poor", "dull"]}
QUICK = ("--hidden-size", "8", "--embedding-dim", "8", "--epochs", "20", "--learning-rate", "0.05", "--threads", "1")


def reviews(path: Path, rows: int = 60, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "sentiment"])
        for i in range(rows):
            label = ("pos", "neg")[i % 2]
            writer.writerow([" ".join(["the film", *rng.choice(WORDS[label], 3), "it was"]), label])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    reviews(folder / "train.csv")
    reviews(folder / "test.csv", seed=1)
    status = fit(folder, "--test", str(folder / "test.csv"))
    assert status == 0
    return folder


def fit(folder: Path, *more: str) -> int:
    named = ("--text", "review", "--label", "sentiment", "--out", str(folder / "run"))
    return main(["fit", "classification", str(folder / "train.csv"), *named, *QUICK, *more])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip()


def test_a_run_folder_is_complete_and_holds_no_pickle(trained: Path) -> None:
    run = trained / "run"
    files = {p.name for p in run.iterdir()}
    assert {
        *("config.yaml", "model.safetensors", "encoder.json", "labels.json", "metrics.json", "manifest.json"),
        *("history.csv", "gradients.csv", "curves.png", "gradients.png", "confusion.png", "checkpoints"),
        *("README.md", "predictions.csv"),  # and no worst.csv, as every row is right
    } == files
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] == 1.0
    assert metrics["test"]["baseline_accuracy"] == 0.5
    assert metrics["training"]["rows"] == 54
    for file in run.rglob("*"):
        if file.is_file():
            assert not file.read_bytes().startswith((b"\x80", b"PK")), file


def test_evaluate_prints_the_figures_of_the_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained / "run"), str(trained / "test.csv")]) == 0
    out = capsys.readouterr().out
    assert "accuracy        1.0000   (0.5000 for always 'neg'" in out
    assert main(["evaluate", str(trained / "run"), str(trained / "test.csv"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    fitted = json.loads((trained / "run" / "metrics.json").read_text())["test"]
    assert fitted.pop("baselines") == {"TF-IDF + logistic regression": {"accuracy": 1.0, "f1_macro": 1.0}}
    assert report == fitted  # the training data, on which a baseline is fitted, is not read again


def test_predict_keeps_the_order(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["good", "bad awful bad poor dull film", "great fine", "poor awful", "the film it was lovely lovely lovely"]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"review": line}) + "\n" for line in lines))
    assert main(["predict", str(trained / "run"), str(tmp_path / "new.jsonl")]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a["label"] for a in answers] == ["pos", "neg", "pos", "neg", "pos"]
    assert all(abs(sum(a["probabilities"].values()) - 1) < 1e-5 for a in answers)


def test_predictions_as_a_table_with_columns_of_the_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "new.csv"
    data.write_text('id,review\n7,"good, film"\n8,\n9,bad film\n')
    run = [str(trained / "run"), str(data), "--skip-bad-rows"]
    capsys.readouterr()
    assert main(["predict", *run]) == 0
    wanted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["predict", *run, "--format", "csv", "--keep", "id", "review"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["id"] for row in rows] == ["7", "8", "9"]
    assert rows[0]["review"] == "good, film"
    assert rows[1]["error"] == wanted[1]["error"]
    for row, answer in ((rows[0], wanted[0]), (rows[2], wanted[2])):
        assert row["label"] == answer["label"]
        numbers = {name: float(row[f"probabilities.{name}"]) for name in answer["probabilities"]}
        assert numbers == answer["probabilities"]
    assert main(["predict", *run, "--top", "1", "--keep", "id"]) == 0
    top = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert list(top[0]) == ["id", "label", "probabilities"]
    assert top[0]["probabilities"] == {wanted[0]["label"]: max(wanted[0]["probabilities"].values())}
    assert top[1]["error"] == wanted[1]["error"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--keep", "idd"], "row 1 has no 'idd' to keep; did you mean 'id'?"),
        (["--keep", "label"], "'label' is to be kept, but the answers have a column of that name"),
        (["--top", "0"], "--top is 0; it must be at least 1"),
        (["--top", "1", "--format", "csv"], "take --format jsonl"),
    ],
)
def test_flags_of_predict_that_cannot_be_honoured(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], reason: str
) -> None:
    data = tmp_path / "new.csv"
    data.write_text("id,review,label\n7,good film,x\n")
    assert main(["predict", str(trained / "run"), str(data), *flags]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("plain", [False, True])
def test_predict_answers_standard_input_as_it_comes(trained: Path, plain: bool) -> None:
    command = [sys.executable, "-m", "unroll", "predict", str(trained / "run"), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text, label in (("good", "pos"), ("awful", "neg")):
            process.stdin.write(text + "\n" if plain else json.dumps({"review": text}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == label
        process.stdin.close()
        assert process.wait(30) == 0


def test_predict_stops_quietly_when_its_reader_goes(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text('{"review": "good"}\n' * 20000)
    command = f"{sys.executable} -m unroll predict {trained / 'run'} {tmp_path / 'many.jsonl'} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert json.loads(done.stdout)["label"] == "pos"
    assert done.stderr == ""


def test_bad_rows_stop_the_prediction_or_are_answered_with_an_error(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        '{"review": "good"}',
        '{"review": ""}',
        '{"review": null}',
        '{"review": "bad bad"}',
        '{"rev',
        '{"review": "good"}',
    ]
    (tmp_path / "new.jsonl").write_text("\n".join(rows[:4]))
    assert main(["predict", str(trained / "run"), str(tmp_path / "new.jsonl")]) == 2
    assert "row 2: 'review' is empty; --skip-bad-rows answers it with an error" in said(capsys)
    (tmp_path / "new.jsonl").write_text("\n".join(rows))
    assert main(["predict", str(trained / "run"), str(tmp_path / "new.jsonl"), "--skip-bad-rows"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a.get("label") for a in answers] == ["pos", None, None, "neg", None, "pos"]
    assert answers[2] == {"error": "'review' is null"}
    assert "line 5: not JSON" in answers[4]["error"]


def test_the_same_command_gives_the_same_weights(trained: Path, tmp_path: Path) -> None:
    reviews(tmp_path / "train.csv")
    assert fit(tmp_path) == 0
    one, two = (p / "run" / "model.safetensors" for p in (trained, tmp_path))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, (), "train.csv"),
        ("", (), "empty"),
        ("review,sentiment\n", (), "train.csv"),
        ("review,sentimnt\ngood,a\n", (), "did you mean 'sentimnt'"),
        ("reviw,sentiment\ngood,a\n", (), "did you mean 'reviw'"),
        ("review,sentiment\n" + "good,a\n" * 9, (), "at least two classes"),
        ("review,sentiment\n" + "good,a\n,b\n" * 9, (), "9 of 18 rows"),
        ("review,sentiment\n" + "good,a\nbad,\n" * 9, (), "9 of 18 rows"),
        ("review,sentiment\n" + "good one,a\nx y,b\n" * 9, ("--min-freq", "100"), "min_freq"),
        ("review,sentiment\n" + "good,a\nbad,b\n" * 9, ("--sequence", "review"), "text and sequence are both given"),
        ("review,sentiment\n" + "good,a\nbad,b\n" * 9, ("--hiden", "3"), "did you mean '--hidden-size'"),
        (
            "review,sentiment\n" + "good,a\nbad,b\n" * 9,
            ("--hidden-size", "x"),
            "hidden_size is 'x'; it must be a whole number",
        ),
        (
            "review,sentiment\n" + "good,a\nbad,b\n" * 9,
            ("--standardize", "false"),
            "standardize is set, but it goes with",
        ),
        ("review,sentiment\n" + "good,a\nbad,b\n" * 9, ("--config", "nowhere.yaml"), "no configuration file"),
        ("review,sentiment\n" + "good,a\nbad,b\n" * 9, ("--backend", "torhc"), "did you mean 'torch'"),
        ("review,sentiment\n" + "good,a\nbad,b\n" * 9, ("--monitor", "f1"), "monitor is 'f1'"),
        (b"review,sentiment\ncaf\xe9,a\nbad,b\n", (), "--encoding"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | bytes | None,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    if content is not None:
        (tmp_path / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert fit(tmp_path, *arguments) == 2
    error = said(capsys)
    assert message in error
    assert error.startswith("unroll: ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_bad_rows_are_left_out_on_request_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reviews(tmp_path / "train.csv")
    with (tmp_path / "train.csv").open("a") as file:
        file.write(",pos\nfine,\n")
    assert fit(tmp_path) == 2
    assert "2 of 62 rows" in said(capsys)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("one,two,three\n")
    assert fit(tmp_path) == 2
    assert "line 64: 3 fields, but the header has 2" in said(capsys)
    for _ in range(2):
        assert fit(tmp_path, "--skip-bad-rows", "--overwrite") == 0
        out = capsys.readouterr().out
        assert "left out: 2 of 62 rows" in out
        assert "row 61: 'review' is empty; row 62: 'sentiment' is null or empty" in out
        assert "1 lines left out because they are no rows, the first: " in out


def test_a_config_file_holds_the_same_options_and_its_mistakes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reviews(tmp_path / "train.csv")
    (tmp_path / "a.yaml").write_text("recurrence: gru\nhidden_size: 5\nconv_kernel_sizes: [3, 5]\nconv_filters: 4\n")
    assert fit(tmp_path, "--config", str(tmp_path / "a.yaml"), "--hidden-size", "6", "--epochs", "1") == 0
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "recurrence: gru" in config
    assert "hidden_size: 6" in config
    (tmp_path / "a.yaml").write_text("hiden: 5\n")
    assert fit(tmp_path, "--config", str(tmp_path / "a.yaml")) == 2
    assert "no option 'hiden'; did you mean 'hidden_size'" in said(capsys)
    (tmp_path / "a.yaml").write_text("hidden_size: [\n")
    assert fit(tmp_path, "--config", str(tmp_path / "a.yaml")) == 2
    assert "not valid YAML at line 2" in said(capsys)


def test_labels_seen_only_in_the_test_part_are_named(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.csv").write_text("review,sentiment\ngood,pos\nbad,mixed\n")
    assert main(["evaluate", str(trained / "run"), str(tmp_path / "other.csv")]) == 0
    shown = capsys.readouterr()
    assert "'mixed' (1 row, first row 2)" in shown.err
    assert shown.out.splitlines()[1].startswith("accuracy        0.5000")
    assert shown.out.splitlines()[-1].split() == ["mixed", "0.0000", "0.0000", "0.0000", "1"]
    reviews(tmp_path / "train.csv")
    assert fit(tmp_path, "--valid", str(tmp_path / "other.csv")) == 2
    assert "'mixed' (1 row, first row 2)" in said(capsys)


def test_full_shows_every_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"word{i % 18},class {i % 18:02d}" for i in range(180)]
    (tmp_path / "train.csv").write_text("\n".join(["review,sentiment", *lines]) + "\n")
    assert fit(tmp_path, "--epochs", "1", "--baseline", "none", "--slim") == 0
    assert "3 more are left out" in capsys.readouterr().out
    assert not (tmp_path / "run" / "checkpoints").exists()
    evaluate = ["evaluate", str(tmp_path / "run"), str(tmp_path / "train.csv")]
    for flags, classes in (([], 15), (["--full"], 18)):
        assert main([*evaluate, *flags]) == 0
        assert sum(
            line.startswith("class ") and line[6].isdigit() for line in capsys.readouterr().out.splitlines()
        ) == (classes)


def test_a_batch_larger_than_the_data_is_one_batch(tmp_path: Path) -> None:
    reviews(tmp_path / "train.csv", rows=20)
    assert fit(tmp_path, "--batch-size", "1000") == 0


def test_series_regression_from_npz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(120, 5, 2)).astype("float32")
    np.savez(tmp_path / "a.npz", values=values, label=values.sum((1, 2)) * 10 + 300)
    command = ["fit", "regression", str(tmp_path / "a.npz"), "--sequence", "values", "--out", str(tmp_path / "run")]
    assert main([*command, "--hidden-size", "16", "--epochs", "30", "--learning-rate", "0.02", "--threads", "1"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]
    assert metrics["rmse"] < 0.5 * metrics["baseline_rmse"]
    assert metrics["r2"] > 0.75
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "a.npz")]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert 200 < first["value"] < 400


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[[1, 2], [3]]", "ragged"),
        ("[[1, NaN], [3, 4]]", "nan at step 1, feature 2"),
        ("[[1, Infinity], [3, 4]]", "inf at step 1, feature 2"),
        ("[]", "is empty"),
        ("[[1, 2, 3]]", "3 features per step, not 2"),
        ("null", "is null"),
    ],
)
def test_bad_sequences_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, message: str) -> None:
    good = '{"values": [[1, 2], [3, 4]], "label": 1}\n{"values": [[2, 2]], "label": 0}\n' * 10
    (tmp_path / "a.jsonl").write_text(good + f'{{"values": {value}, "label": 1}}\n')
    command = ["fit", "classification", str(tmp_path / "a.jsonl"), "--sequence", "values", "--out", str(tmp_path / "r")]
    assert main([*command, *("--epochs", "1", "--hidden-size", "4", "--threads", "1")]) == 2
    error = said(capsys)
    assert "row 21" in error
    assert message in error


def test_overwrite_keeps_the_old_run_until_the_new_one_can_start(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    run = tmp_path / "copy" / "run"
    before = sorted(p.name for p in run.iterdir())
    command = ["fit", "classification", "nowhere.csv", "--out", str(run), "--overwrite"]
    assert main(command) == 2
    assert fit(tmp_path / "copy", "--overwrite", "--monitor", "f2") == 2
    assert fit(tmp_path / "copy", "--overwrite", "--text", "revew") == 2
    capsys.readouterr()
    assert sorted(p.name for p in run.iterdir()) == before
    assert main(["predict", str(run), str(trained / "test.csv")]) == 0


def test_a_run_killed_before_its_figures_were_written_is_finished_by_resume(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    run = tmp_path / "copy" / "run"
    for name in ("manifest.json", "model.safetensors", "metrics.json", "curves.png"):
        (run / name).unlink()
    assert main(["resume", str(run)]) == 0
    for name in ("model.safetensors", "curves.png"):
        assert (run / name).read_bytes() == (trained / "run" / name).read_bytes()
    figures = [json.loads((r / "metrics.json").read_text())["test"] for r in (run, trained / "run")]
    assert figures[0] == figures[1]


def test_a_stopped_run_can_be_finished(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    run = tmp_path / "copy" / "run"
    for name in ("manifest.json", "model.safetensors", "metrics.json", "curves.png"):
        (run / name).unlink()
    state = run / "checkpoints" / "last" / "state.json"
    assert main(["finish", str(run)]) == 0
    out = capsys.readouterr().out
    assert "ended after" in out
    assert out.endswith(f"the run is in {run}\n")
    figures = [json.loads((r / "metrics.json").read_text()) for r in (run, trained / "run")]
    assert figures[0]["test"] == figures[1]["test"]
    assert (run / "model.safetensors").read_bytes() == (trained / "run" / "model.safetensors").read_bytes()
    assert main(["predict", str(run), str(trained / "test.csv")]) == 0
    assert main(["finish", str(run)]) == 2
    assert "has ended its training" in capsys.readouterr().err
    for name in ("manifest.json", "model.safetensors", "metrics.json"):
        (run / name).unlink()
    state.unlink()
    assert main(["finish", str(run)]) == 2
    assert "has no checkpoint: nothing was trained" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("train.csv", lambda text: text.replace("the film it was", "film the it was").replace("the film", "film the")),
        ("train.csv", lambda text: text.replace(",pos", ",tmp").replace(",neg", ",pos").replace(",tmp", ",neg")),
        ("run/config.yaml", lambda text: text.replace("label_smoothing: 0.0", "label_smoothing: 0.3")),
        ("run/config.yaml", lambda text: text.replace("head_dropout: 0.2", "head_dropout: 0.4")),
    ],
)
def test_resume_refuses_changed_data_and_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, change: Callable[[str], str]
) -> None:
    reviews(tmp_path / "train.csv")
    process = start(tmp_path)
    wait_for(tmp_path / "run" / "checkpoints" / "last" / "state.json", process)
    process.kill()
    process.communicate()
    text = (tmp_path / file).read_text()
    assert change(text) != text
    (tmp_path / file).write_text(change(text))
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "changed" in said(capsys)


def test_output_that_cannot_be_written_is_one_sentence(trained: Path) -> None:
    command = [sys.executable, "-m", "unroll", "predict", str(trained / "run"), str(trained / "test.csv")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "unroll: cannot write or read the output: No space left on device"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("overwrite: maybe\n", "no option 'overwrite'"),
        ("test: b.csv\n", "no option 'test'"),
        ("config: x\n", "no option 'config'"),
        ("3: 4\n", "no option '3'"),
        ("hidden_size: abc\n", "hidden_size is 'abc'; it must be a whole number"),
    ],
)
def test_a_config_file_holds_options_only(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "a.yaml").write_text(content)
    assert fit(trained, "--config", str(tmp_path / "a.yaml")) == 2
    assert message in said(capsys)
    assert fit(trained, "--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "a.yaml")) == 2
    assert "given 2 times" in said(capsys)


def test_several_labels_from_lists_or_a_separator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(["sun"], "warm dry"), (["rain"], "wet cold"), (["sun", "rain"], "warm wet"), ([], "cold dry")] * 8
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t, "label": n}) + "\n" for n, t in rows))
    joined = "".join(json.dumps({"text": t, "label": ";".join(n)}) + "\n" for n, t in rows if n)
    (tmp_path / "b.jsonl").write_text(joined)
    for name, more in (("a", ()), ("b", ("--label-separator", ";"))):
        out = tmp_path / name
        command = ["fit", "classification", f"{out}.jsonl", "--out", str(out), *QUICK, *more]
        assert main([*command, "--epochs", "40", "--pooling", "mean"]) == 0
        capsys.readouterr()
        assert main(["predict", str(out), str(tmp_path / "a.jsonl")]) == 0
        answers = [json.loads(line)["labels"] for line in capsys.readouterr().out.splitlines()[:3]]
        assert [sorted(a) for a in answers] == [["sun"], ["rain"], ["rain", "sun"]]


def test_a_run_folder_in_the_way_is_not_overwritten(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "run" / "model.safetensors").read_bytes()
    assert fit(trained) == 2
    assert "already holds a run" in said(capsys)
    assert (trained / "run" / "model.safetensors").read_bytes() == before


def test_a_damaged_run_is_refused_in_one_sentence(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, change, message in (
        ("config.yaml", lambda t: t.replace("hidden_size: 8", "hidden_size: 9"), "does not fit config.yaml"),
        ("config.yaml", lambda t: t.replace("hidden_size: 8", "hidden_size: 1000000"), "does not fit config.yaml"),
        ("config.yaml", lambda t: t.replace("hidden_size: 8", "hiden_size: 8"), "no option 'hiden_size'"),
        (
            "config.yaml",
            lambda t: t.replace("hidden_size: 8", "hidden_size: 100000000000"),
            "hidden_size is 100000000000",
        ),
        ("config.yaml", lambda t: t.replace("task: classification", "task: other"), "task 'other'"),
        ("config.yaml", lambda t: t.replace("max_length: 400", "max_length: 4"), "disagree"),
        ("config.yaml", lambda t: t.replace("task: classification", "task: regression"), "of kind single"),
        ("encoder.json", lambda t: t[:100], "damaged"),
        ("encoder.json", lambda t: "[" * 100000, "damaged"),
        ("labels.json", lambda t: t.replace('"pos"', '"neg"'), "are one label"),
        ("labels.json", lambda t: t.replace('"mean"', '"men"'), "'mean' must hold 2 numbers"),
        ("labels.json", None, "labels.json is missing"),
    ):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(trained / "run", run)
        if change is None:
            (run / name).unlink()
        else:
            text = (run / name).read_text()
            assert change(text) != text
            (run / name).write_text(change(text))
        trusted = [] if change is None else ["--trust-changed"]
        assert main(["predict", str(run), str(trained / "test.csv"), *trusted]) == 2
        error = said(capsys)
        assert message in error, (name, error)
        assert len(error.splitlines()) == 1
        if change is not None:
            assert main(["predict", str(run), str(trained / "test.csv")]) == 2
            assert "has changed since the run was written" in said(capsys)


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    named = ("--text", "review", "--label", "sentiment", "--out", str(folder / "run"))
    command = [sys.executable, "-m", "unroll", "fit", "classification", str(folder / "train.csv"), *named]
    settings = ("--hidden-size", "8", "--embedding-dim", "8", "--epochs", "40", "--threads", "1", "--batch-size", "2")
    return subprocess.Popen(
        [*command, *settings, "--head-dropout", "0.2", "--checkpoint-every", "7", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path: Path, stop: signal.Signals) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        reviews(folder / "train.csv")
    reference = start(whole)
    process = start(broken)
    wait_for(broken / "run" / "checkpoints" / "last" / "state.json", process)
    time.sleep(0.3)
    os.kill(process.pid, stop)
    _, error = process.communicate(timeout=60)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert f"go on with `unroll resume {broken / 'run'}`, or keep its best weights with `unroll finish" in error
    assert not (broken / "run" / "model.safetensors").exists()
    assert main(["resume", str(broken / "run")]) == 0
    reference.communicate(timeout=120)
    assert reference.returncode == 0
    for name in ("model.safetensors", "gradients.csv"):
        assert (whole / "run" / name).read_bytes() == (broken / "run" / name).read_bytes(), name


def test_resume_refuses_what_it_cannot_do(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(trained / "run")]) == 2
    assert "has ended its training" in said(capsys)
    assert main(["resume", str(tmp_path / "nowhere")]) == 2
    assert "no run folder" in said(capsys)


def test_every_command_has_help_and_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit) as leave:
            sys.exit(main([name, "--help"]))
        assert leave.value.code == 0
        assert "usage: unroll " + name in capsys.readouterr().out
    assert main([]) == 2
    capsys.readouterr()
    assert main(["fitt"]) == 2
    assert "no command 'fitt'; did you mean 'fit'" in said(capsys)
    assert main(["fit", "clasification"]) == 2
    assert "did you mean 'classification'" in said(capsys)


def test_backends_lists_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends"]) == 0
    out = capsys.readouterr().out
    assert "torch    available" in out
    assert out.startswith("cpu      ")
    assert "naive    available" in out


class Input:
    """Standard input of these bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_what_comes_before_a_bad_row_is_answered_first(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = str(trained / "run")
    good = b'{"review": "good"}\n{"review": "a bad film"}\n'
    bad = {
        b'{"review": 5}\n': "row 3: 'review' holds int, not text",
        b'{"review"\n': "line 3: not JSON",
        b"{}\n": "row 3: there is no 'review'",
    }
    for line, wrong in bad.items():
        (tmp_path / "rows.jsonl").write_bytes(good + line + good)
        for data in ("-", str(tmp_path / "rows.jsonl")):
            monkeypatch.setattr(sys, "stdin", Input(good + line + good))
            capsys.readouterr()
            assert main(["predict", run, data]) == 2
            out, err = capsys.readouterr()
            assert [json.loads(row)["label"] for row in out.splitlines()] == ["pos", "neg"]
            assert wrong in err
            monkeypatch.setattr(sys, "stdin", Input(good + line + good))
            assert main(["predict", run, data, "--skip-bad-rows"]) == 0
            rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
            assert ["error" in row for row in rows] == [False, False, True, False, False]


def test_half_an_emoji_is_answered_and_goes_out_as_it_came_in(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Input(b'{"review": "good \\ud83d"}\n{"review": "good ?"}\n'))
    assert main(["predict", str(trained / "run"), "-"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert json.loads(first)["label"] == json.loads(second)["label"] == "pos"


def test_labels_written_in_several_ways_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"the film {i},{label}\n" for i in range(5) for label in ("pos", '" pos"', "neg", "Neg"))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    data, out = str(tmp_path / "rows.csv"), str(tmp_path / "run")
    options = ("--hidden-size", "4", "--embedding-dim", "4", "--epochs", "1", "--threads", "1")
    assert main(["fit", "classification", data, "--out", out, *options]) == 0
    printed = "".join(capsys.readouterr())
    assert "taken as one label: ' pos' and 'pos'" in printed
    assert "taken as different labels, though they differ in case alone: 'Neg' and 'neg'" in printed


def test_a_reader_that_has_gone_is_no_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"review": "good"}\n' * 3000)
    command = [sys.executable, "-m", "unroll", "predict", str(trained / "run"), str(tmp_path / "rows.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["label"] == "pos"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141
