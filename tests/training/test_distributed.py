"""Two processes on one machine give what one gives."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers import training_work
from helpers.training_toy import Toy, ToyObjective, toy_data, whole_cut_and_resumed
from unroll.errors import OptionError
from unroll.training import checkpoints, distributed
from unroll.training.distributed import is_main, launched_outside, run_processes
from unroll.training.errors import Interrupted, TrainingError
from unroll.training.loop import fit
from unroll.training.options import TrainingOptions

pytestmark = pytest.mark.slow

LAYERED = {"unfreeze_every": 1, "layer_decay": 0.5, "weight_decay": 0.01}
BASE = {"epochs": 3, "learning_rate": 0.02, "threads": 1, "accelerator": "cpu", "checkpoint_every": 4}


def stop_at_once() -> None:
    raise Interrupted(0, 0, saved=False)


def run(work, **arguments):
    return run_processes(work, arguments, 2, 1, stop_at_once)


def timeless(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def test_two_processes_give_what_one_gives(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    one, two = Toy(0.0), Toy(0.0)
    base = BASE | LAYERED
    alone = fit(one, ToyObjective(), *toy_data(), TrainingOptions(**base), tmp_path / "one", quiet=True)
    both = fit(two, ToyObjective(), *toy_data(), TrainingOptions(**base, devices=2), tmp_path / "two")
    # three epochs open three of the four layers, and nothing moves the fourth
    for model in (one, two):
        assert torch.equal(model.embedding.weight, Toy().embedding.weight)
    for name, p in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], p, rtol=0, atol=1e-6, msg=name)
    for ours, theirs in zip(timeless(both.history), timeless(alone.history), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert both.best_epoch == alone.best_epoch
    assert both.steps == alone.steps == 27
    # only the first process speaks
    assert capfd.readouterr().err.count("epoch 3/3") == 1
    with pytest.raises(OptionError, match="devices was 2 in the run to resume, and cannot become 1"):
        fit(one, ToyObjective(), *toy_data(), TrainingOptions(**base), tmp_path / "two", resume=True)


def test_two_processes_stop_together_and_resume_exactly(tmp_path: Path) -> None:
    answers = run(whole_cut_and_resumed, folder=tmp_path, base=BASE | LAYERED | {"devices": 2})
    for whole, cut, resumed in answers.values():
        assert cut == (2, 14, True)
        assert timeless(resumed[0]) == timeless(whole[0])
        for name, array in whole[1].items():
            assert (resumed[1][name] == array).all(), name
    last = checkpoints.load(tmp_path / "rows" / "cut" / "checkpoints" / "last")
    assert not torch.equal(last["random"][0]["cpu"], last["random"][1]["cpu"])
    assert torch.equal(last["model"]["embedding.weight"], Toy().embedding.weight)
    assert last["objective"] is None
    # each process carries the state of its own two streams
    first, second = (checkpoints.load(tmp_path / "streams" / "cut" / "checkpoints" / "last"))["objective"]
    assert first["state"].shape == second["state"].shape == (1, 2, 8)
    assert not torch.equal(first["state"], second["state"])


def test_an_error_in_a_process_comes_out_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_GRACE", 0.5)
    with pytest.raises(TrainingError, match=r"^the loss became nan$"):
        run(training_work.fail)


def test_a_process_that_dies_ends_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_GRACE", 0.5)
    with pytest.raises(RuntimeError, match="a training process ended with status -9"):
        run(training_work.die)


def test_one_interrupt_asks_and_two_end() -> None:
    assert run(training_work.wait, number=21) == (42, "0", "2")
    with pytest.raises(Interrupted, match="at once"):
        run(training_work.insist)


def test_no_process_outlives_the_one_that_started_it(tmp_path: Path) -> None:
    code = (
        "from helpers import training_work; from unroll.training.distributed import run_processes\n"
        f"run_processes(training_work.stay, {{'folder': {str(tmp_path)!r}}}, 2, 1, lambda: None)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(training_work.__file__).parents[1]) as parent:
        end = time.monotonic() + 120
        while len(beats := list(tmp_path.glob("*.pid"))) < 2:
            assert parent.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        parent.kill()
    end = time.monotonic() + 20
    while time.time() - max(beat.stat().st_mtime for beat in beats) < 2:
        assert time.monotonic() < end
        time.sleep(0.02)


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
