from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from unroll import atomic_write
from unroll.errors import RunError
from unroll.runs import Run
from unroll.tasks.registry import run_files


def written(path: Path) -> tuple[Run, nn.Module]:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    run = Run.claim(path)
    run.begin()
    run.write_config("classification", {"hidden_size": 3, "text": "评论"}, {"data": ["a.csv"], "valid": [], "test": []})
    run.write_weights(model)
    run.finish(())
    return run, model


def test_config_and_weights_come_back_as_they_were(tmp_path: Path) -> None:
    run, model = written(tmp_path / "run")
    config = Run.open(tmp_path / "run").config()
    assert config["options"] == {"hidden_size": 3, "text": "评论"}
    assert "评论" in (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    with torch.device("meta"):
        other = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    run.read_weights(other)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_folder_that_holds_something_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty and holds no run"):
        Run.claim(tmp_path)
    with pytest.raises(RunError, match="not empty and holds no run"):
        Run.claim(tmp_path, overwrite=True)
    with pytest.raises(RunError, match="is a file"):
        Run.claim(tmp_path / "notes.txt")


def test_a_run_is_replaced_only_on_request_and_what_else_lies_there_stays(tmp_path: Path) -> None:
    written(tmp_path / "run")
    for mine in ("notes.txt", "mine.csv", "other.yaml"):
        (tmp_path / "run" / mine).write_text("mine")
    with pytest.raises(RunError, match="already holds a run"):
        Run.claim(tmp_path / "run")
    Run.claim(tmp_path / "run", overwrite=True).begin()
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["mine.csv", "notes.txt", "other.yaml"]


def test_claiming_a_folder_touches_nothing(tmp_path: Path) -> None:
    written(tmp_path / "run")
    before = sorted(p.name for p in (tmp_path / "run").iterdir())
    Run.claim(tmp_path / "run", overwrite=True)
    Run.claim(tmp_path / "new")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("left", [["encoder.json"], ["checkpoints"], ["model.safetensors.part", "labels.json"]])
def test_the_rest_of_a_run_that_was_stopped_anywhere_can_be_replaced(tmp_path: Path, left: list[str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in left:
        if name == "checkpoints":
            (run / name).mkdir()
        else:
            (run / name).write_text("x")
    with pytest.raises(RunError, match="unfinished run"):
        Run.claim(run, files=run_files())
    Run.claim(run, files=run_files(), overwrite=True).begin()
    assert not list(run.iterdir())


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    run, model = written(tmp_path / "run")
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("nan")
    run.write_weights(model)
    with pytest.raises(RunError, match=r"'0.weight' holds a value that is not finite"):
        run.read_weights(model)


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    run, _ = written(tmp_path / "run")
    (run.path / "model.safetensors").unlink()
    (run.path / "manifest.json").unlink()
    with pytest.raises(RunError, match="unroll resume"):
        Run.claim(run.path)
    with pytest.raises(RunError, match="its training has not ended"):
        Run.open(run.path)
    Run.open(run.path, finished=False)


def test_a_missing_run_names_the_near_folder(tmp_path: Path) -> None:
    written(tmp_path / "reviews")
    with pytest.raises(RunError, match="did you mean 'reviews'"):
        Run.open(tmp_path / "reviewz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: [", "not valid YAML at line"),
        ("3", "holds no mapping"),
        ("format: 99\nunroll: x\ntask: t\nsources: {}\noptions: {}", "format 99"),
        ("format: 1\nunroll: x\ntask: t\nsources: {}\nopions: {}", "unknown key 'opions'; did you mean 'options'"),
        ("format: 1\nunroll: x\ntask: 3\nsources: {}\noptions: {}", "'task' is missing or is not of type str"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_an_edited_config_is_refused(tmp_path: Path, text: str, message: str) -> None:
    run, _ = written(tmp_path / "run")
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=message):
        run.config()


def header(content: dict[str, object], length: int | None = None, tail: bytes = b"") -> bytes:
    text = json.dumps(content).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + tail


def tensor(shape: list[int], dtype: str = "F32", offsets: tuple[int, int] = (0, 0)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


FITTING = {
    "0.weight": tensor([2, 3], offsets=(0, 24)),
    "0.bias": tensor([2], offsets=(24, 32)),
    "1.weight": tensor([1, 2], offsets=(32, 40)),
    "1.bias": tensor([1], offsets=(40, 44)),
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its header claims 0 bytes in a file of 0"),
        (b"abc", "its header claims"),
        (b"\x80\x04pickle" * 9, "its header claims"),
        (header({}, length=2**60), "its header claims 1152921504606846976 bytes"),
        (header({}, length=90 * 2**20), "its header claims 94371840 bytes"),
        ((5).to_bytes(8, "little") + b"{a{a{", "its header cannot be read"),
        (header({"0.weight": 3}), "its header cannot be read"),
        (header({}), "it has no '0.bias'"),
        (header(FITTING | {"0.wieght": tensor([1])}, tail=bytes(44)), "no '0.wieght'; did you mean '0.weight'"),
        (header(FITTING | {"1.bias": tensor([7])}, tail=bytes(44)), r"'1.bias' has shape \[7\] and type F32"),
        (header(FITTING | {"1.bias": tensor([1], "F16")}, tail=bytes(44)), "type F16"),
        (header(FITTING, tail=bytes(10)), "is damaged"),
        (header(FITTING | {"1.bias": tensor([1], offsets=(0, 10**12))}, tail=bytes(44)), "is damaged"),
    ],
)
def test_damaged_or_foreign_weights_are_refused_before_they_are_loaded(
    tmp_path: Path, content: bytes, message: str
) -> None:
    run, _ = written(tmp_path / "run")
    (run.path / "model.safetensors").write_bytes(content)
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    with pytest.raises(RunError, match=message):
        run.read_weights(model)


def test_a_full_disk_is_said_in_one_sentence_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, model = written(tmp_path / "run")
    before = (run.path / "model.safetensors").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic_write.os, "fsync", full)
    with torch.no_grad():
        next(model.parameters()).zero_()
    with pytest.raises(RunError, match="the disk is full"):
        run.write_weights(model)
    assert (run.path / "model.safetensors").read_bytes() == before
    assert not list(run.path.glob("*.part"))


def test_json_holds_no_nan(tmp_path: Path) -> None:
    run, _ = written(tmp_path / "run")
    run.write_json("metrics.json", {"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads((run.path / "metrics.json").read_text()) == {"a": None, "b": [None, 1.5]}
    (run.path / "metrics.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        run.read_json("metrics.json")
    (run.path / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"metrics.json is missing"):
        run.read_json("metrics.json")


def test_a_document_names_its_form_and_is_json(tmp_path: Path) -> None:
    run = written(tmp_path / "run")[0]
    for text, why in (
        ('{"format": "other/1"}', "is not in the form 'own/1'"),
        ("[]", "is not in the form 'own/1'"),
        ('{"format": ', "is not JSON"),
        ('{"format": "own/1", "n": ' + "1" * 5000 + "}", "is not JSON"),
    ):
        run.write("d.json", text)
        with pytest.raises(RunError, match=why):
            run.read_document("d.json", "own/1")
    run.write("d.json", '{"format": "own/1", "n": 1}')
    assert run.read_document("d.json", "own/1")["n"] == 1
