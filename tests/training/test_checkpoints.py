from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import pytest
import torch

from unroll import atomic_write
from unroll.errors import RunError
from unroll.training import checkpoints

OLD = {"step": 1, "w": torch.arange(4.0)}
NEW = {"step": 2, "w": torch.arange(4.0) * 2}


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs in the code under test but `finally` and `except`."""


def test_save_and_load(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "last"
    assert not checkpoints.exists(folder)
    for state in (OLD, NEW, OLD, NEW):
        checkpoints.save(folder, state)
        back = checkpoints.load(folder)
        assert back["step"] == state["step"]
        assert torch.equal(back["w"], state["w"])
        assert len(list(folder.iterdir())) == 2


def test_what_was_loaded_does_not_change_with_the_file(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, OLD)
    back = checkpoints.load(tmp_path)
    for _ in range(3):
        checkpoints.save(tmp_path, NEW)
    assert torch.equal(back["w"], OLD["w"])


@pytest.mark.parametrize("at", range(12))
def test_a_stop_at_any_call_to_the_system_leaves_a_whole_checkpoint(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, OLD)
    count = 0

    def counted(name: str):
        real = getattr(os, name)

        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == at + 1:
                raise Killed
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace", "open", "unlink"):
            patch.setattr(os, name, counted(name))
        patch.setattr(atomic_write, "_remove", lambda path: None)
        with contextlib.suppress(Killed):
            checkpoints.save(tmp_path, NEW)
    back = checkpoints.load(tmp_path)
    expected = OLD if back["step"] == 1 else NEW
    assert torch.equal(back["w"], expected["w"])
    assert back["step"] == (1 if at < 7 else 2)
    checkpoints.save(tmp_path, NEW)
    assert checkpoints.load(tmp_path)["step"] == 2


@pytest.mark.parametrize("at", [1, 2])
def test_a_full_disk_is_one_sentence_and_the_old_checkpoint_stays(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, OLD)
    count = 0

    def full(handle: int) -> None:
        nonlocal count
        count += 1
        if count == 2 * at - 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"^the disk is full: cannot write .*; what was written before is intact"):
            checkpoints.save(tmp_path, NEW)
    assert checkpoints.load(tmp_path)["step"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-a.safetensors", "state.json"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        checkpoints.save(tmp_path / "file" / "last", OLD)


def damage_json(folder: Path) -> None:
    (folder / "state.json").write_text("[]")


def damage_encoding(folder: Path) -> None:
    (folder / "state.json").write_bytes(b"\xff\xfe")


def other_version(folder: Path) -> None:
    text = (folder / "state.json").read_text()
    (folder / "state.json").write_text(text.replace('"format": 3', '"format": 99'))


def outside_name(folder: Path) -> None:
    text = (folder / "state.json").read_text()
    (folder / "state.json").write_text(text.replace("state-a.safetensors", "../../etc/passwd"))


def cut_tensors(folder: Path) -> None:
    file = folder / "state-a.safetensors"
    file.write_bytes(file.read_bytes()[:-3])


def scramble_tensors(folder: Path) -> None:
    file = folder / "state-a.safetensors"
    file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:])


def remove_tensors(folder: Path) -> None:
    (folder / "state-a.safetensors").unlink()


def deep_json(folder: Path) -> None:
    (folder / "state.json").write_text("[" * 200_000)


def no_state(folder: Path) -> None:
    text = (folder / "state.json").read_text()
    start = text.index('"state": ')
    (folder / "state.json").write_text(text[:start] + '"state": 3}')


@pytest.mark.parametrize(
    "damage",
    [
        *(damage_json, damage_encoding, other_version, outside_name, cut_tensors),
        *(scramble_tensors, remove_tensors, deep_json, no_state),
    ],
)
def test_damage_is_said_in_one_sentence(damage, tmp_path: Path) -> None:
    checkpoints.save(tmp_path, OLD)
    damage(tmp_path)
    with pytest.raises(RunError, match=r"(is damaged|cannot read the checkpoint)"):
        checkpoints.load(tmp_path)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no checkpoint"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("name", ["state.json", "state-a.safetensors"])
@pytest.mark.parametrize("device", ["/dev/zero", "pipe", "itself"])
def test_a_checkpoint_that_is_no_file_is_refused_at_once(tmp_path: Path, name: str, device: str) -> None:
    checkpoints.save(tmp_path, OLD)
    (tmp_path / name).unlink()
    if device == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to(name if device == "itself" else device)
    with pytest.raises(RunError, match=name if device != "itself" else "cannot read"):
        checkpoints.load(tmp_path)
