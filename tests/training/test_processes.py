"""Two processes on one machine give what one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_toy import Toy, ToyObjective, toy_data

from unroll.errors import OptionError
from unroll.training import checkpoints
from unroll.training.fit import fit
from unroll.training.options import TrainingOptions
from unroll.training.processes import is_main, launched_outside

PROGRAM = Path(__file__).with_name("training_toy.py")
BASE = {"epochs": 3, "learning_rate": 0.02, "threads": 1, "accelerator": "cpu", "checkpoint_every": 4}


def start(folder: Path, **settings) -> subprocess.Popen:
    options = BASE | {"devices": 2} | settings.pop("options", {})
    text = json.dumps({"folder": str(folder), "options": options, **settings})
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(PROGRAM), text], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_give_the_weights_and_the_history_of_one(tmp_path: Path) -> None:
    process = start(tmp_path / "two", dropout=0.0)
    model = Toy(0.0)
    outcome = fit(model, ToyObjective(), *toy_data(), TrainingOptions(**BASE), tmp_path / "one", quiet=True)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    # one line per epoch: only the first process speaks
    assert len([line for line in said.splitlines() if line.startswith("epoch ")]) == 3
    weights = load_file(tmp_path / "two" / "weights.safetensors")
    for name, p in model.state_dict().items():
        torch.testing.assert_close(weights[name], p, rtol=0, atol=1e-6, msg=name)
    answer = json.loads((tmp_path / "two" / "answer.json").read_text())
    for ours, theirs in zip(answer["history"], outcome.history, strict=True):
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], abs=1e-6), name
    assert answer["best"][0] == outcome.best_epoch
    one = checkpoints.load(tmp_path / "one" / "checkpoints" / "last")
    two = checkpoints.load(tmp_path / "two" / "checkpoints" / "last")
    assert len(two["random"]) == 2
    assert not torch.equal(two["random"][0]["cpu"], two["random"][1]["cpu"])
    assert one["course"]["step"] == two["course"]["step"] == 27


def test_two_processes_stop_together_and_resume_exactly(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", options={"epochs": 40})
    cut = start(tmp_path / "cut", options={"epochs": 40})
    history = tmp_path / "cut" / "history.csv"
    for _ in range(600):
        if history.exists() and len(history.read_text().splitlines()) > 1:
            break
        time.sleep(0.05)
    cut.send_signal(signal.SIGINT)
    _, said = cut.communicate(timeout=60)
    assert cut.returncode == 3, said
    step = checkpoints.load(tmp_path / "cut" / "checkpoints" / "last")["course"]["step"]
    assert 9 <= step < 360
    again = start(tmp_path / "cut", options={"epochs": 40}, resume=True)
    for process in (whole, again):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    texts = [(tmp_path / name / "answer.json").read_text() for name in ("whole", "cut")]
    assert texts[0] == texts[1]


def test_an_error_in_a_process_comes_out_as_itself(tmp_path: Path) -> None:
    process = start(tmp_path, at={"5": "nan"})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "unroll.training.errors.TrainingError: epoch 1, step 5: the loss became nan" in said


def test_a_process_that_dies_ends_the_training(tmp_path: Path) -> None:
    process = start(tmp_path, at={"5": "kill"})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "RuntimeError: a training process ended with status -9" in said


def test_several_machines_need_to_know_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OptionError, match="MASTER_ADDR and MASTER_PORT and NODE_RANK are not set"):
        fit(Toy(), ToyObjective(), *toy_data(), TrainingOptions(**BASE, nodes=2), tmp_path, quiet=True)
    assert is_main()
    assert not launched_outside()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launched_outside()
    assert not is_main()
    monkeypatch.setenv("RANK", "0")
    assert is_main()
