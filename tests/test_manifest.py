from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import unroll
from unroll.errors import RunError
from unroll.runs import Run
from unroll.tasks.registry import run_files

pytestmark = pytest.mark.slow

TEXTS, NAMES = ["good a", "bad b"] * 10, ["p", "n"] * 10
FILES = ["config.yaml", "encoder.json", "labels.json", "metrics.json", "model.safetensors"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    fitted = unroll.Classifier(hidden_size=2, embedding_dim=2, epochs=1, min_freq=1, threads=1).fit(TEXTS, NAMES)
    return fitted.save(tmp_path / "run")


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def test_a_finished_run_lists_every_file_that_is_read(run: Path) -> None:
    document = json.loads((run / "manifest.json").read_text())
    assert document["format"] == "unroll.manifest/1"
    assert sorted(document["files"]) == FILES
    for name, entry in document["files"].items():
        content = (run / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    answers = list(unroll.load(run).predict(["good a"]))
    assert answers == list(unroll.load(run, trust_changed=True).predict(["good a"]))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [flip_bit, cut])
def test_a_changed_file_is_named_and_the_run_is_refused(run: Path, name: str, change: Callable[[Path], None]) -> None:
    change(run / name)
    with pytest.raises(RunError, match=rf"{name} has changed since the run was written: .* --trust-changed"):
        unroll.load(run)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunError, match=name):
        unroll.load(run)


def test_labels_edited_by_hand_are_used_on_request(run: Path) -> None:
    path = run / "labels.json"
    path.write_text(path.read_text().replace('"n"', '"negative"'))
    with pytest.raises(RunError, match=r"labels\.json has changed"):
        unroll.load(run)
    answers = unroll.load(run, trust_changed=True).predict(["good a", "bad b"])
    assert {a["label"] for a in answers} <= {"negative", "p"}


def test_a_run_without_a_manifest_is_refused_or_trusted(run: Path) -> None:
    (run / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"has no manifest\.json: .*`unroll resume .*--trust-changed"):
        unroll.load(run)
    with pytest.raises(RunError, match="unfinished run"):
        Run.claim(run)
    assert list(unroll.load(run, trust_changed=True).predict(["good a"]))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("labels.json", "lebals.json"),
        lambda text: text.replace("  ", " "),
        lambda text: text.replace('"bytes": ', '"bytes": 1'),
        lambda text: text.replace('"sha256": "', '"sha256": "0'),
        lambda text: text.replace("manifest/1", "manifest/2"),
        lambda text: text[:-9],
        lambda _: "[]",
        lambda _: "",
        lambda _: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_a_changed_manifest_is_refused(run: Path, change: Callable[[str], str]) -> None:
    path = run / "manifest.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match=r"manifest\.json|changed since"):
        unroll.load(run)


def test_a_manifest_that_leaves_a_file_out_is_refused(run: Path) -> None:
    path = run / "manifest.json"
    document = json.loads(path.read_text())
    del document["files"]["model.safetensors"]
    path.write_text(json.dumps(document, indent=2) + "\n")
    with pytest.raises(RunError, match=r"does not list model\.safetensors"):
        unroll.load(run)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("device", ["/dev/zero", "pipe", "itself", "nothing", "folder"])
def test_what_is_no_file_is_refused_at_once(run: Path, name: str, device: str) -> None:
    path = run / name
    path.unlink()
    if device == "pipe":
        os.mkfifo(path)
    elif device == "folder":
        path.mkdir()
    else:
        path.symlink_to(name if device == "itself" else device)
    with pytest.raises(RunError, match=name):
        unroll.load(run)
    if name not in ("metrics.json", "manifest.json"):
        with pytest.raises(RunError, match=name):
            unroll.load(run, trust_changed=True)


def test_replacing_a_run_removes_its_manifest_first(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    unlink = Path.unlink

    def noting(path: Path) -> None:
        removed.append(path.name)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", noting)
    Run.claim(run, files=run_files(), overwrite=True).begin()
    assert removed[0] == "manifest.json"
    assert removed[-1] == "config.yaml"
    assert sorted(removed) == sorted([*FILES, "manifest.json"])


def test_every_command_that_opens_a_run_takes_the_word_for_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from unroll.__main__ import main

    data = run.parent / "new.jsonl"
    data.write_text('{"text": "good a", "label": "p"}\n')
    (run / "metrics.json").write_text("{}")
    assert main(["predict", str(run), str(data)]) == 2
    assert "metrics.json has changed since the run was written" in capsys.readouterr().err
    assert main(["predict", str(run), str(data), "--trust-changed"]) == 0
    assert '"label": ' in capsys.readouterr().out
    assert main(["evaluate", str(run), str(data), "--trust-changed"]) == 0
    for command, more in (("generate", []), ("score", [str(data)]), ("backtest", [str(data)])):
        assert main([command, str(run), *more]) == 2
        assert "metrics.json has changed" in capsys.readouterr().err
        assert main([command, str(run), *more, "--trust-changed"]) == 2
        assert "holds a classification run" in capsys.readouterr().err
