"""A training that was stopped and resumed equals the one that never was, bit for bit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.training_toy import Toy, ToyObjective, toy_data
from unroll.errors import OptionError, RunError
from unroll.training import checkpoints
from unroll.training.errors import Interrupted
from unroll.training.history import read_table
from unroll.training.loop import Outcome, fit
from unroll.training.options import TrainingOptions

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parents[1] / "helpers" / "training_toy.py"
PER_EPOCH = 9
PLAIN = {"epochs": 4, "learning_rate": 0.02, "checkpoint_every": 4, "threads": 1}
RICH = PLAIN | {"average": "ema", "ema_decay": 0.9, "schedule": "plateau", "schedule_every": 1, "optimizer": "sgd"}
LONG = PLAIN | {"schedule": "onecycle", "optimizer": "adamw", "weight_decay": 0.1, "max_grad_norm": 0.3}
STEP = PLAIN | {"schedule": "cosine", "warmup_share": 0.2, "max_grad_value": 0.05, "average": "ema"}

AVERAGED = PLAIN | {"average": "asgd", "average_patience": 1, "optimizer": "sgd", "learning_rate": 0.5}
LAYERED = PLAIN | {"unfreeze_every": 1, "layer_decay": 0.4, "average": "ema", "weight_decay": 0.05}
LAYERED |= {"optimizer": "rmsprop", "momentum": 0.5, "schedule": "step", "learning_rate": 0.002}


def run(options: dict, folder: Path, at: dict[int, str] | None = None, **more) -> tuple[Toy, Outcome]:
    model = Toy()
    train, valid = toy_data()
    outcome = fit(model, ToyObjective(at), train, valid, TrainingOptions(**options), folder, quiet=True, **more)
    return model, outcome


def timeless(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same(one: tuple[Toy, Outcome], other: tuple[Toy, Outcome], a: Path, b: Path) -> None:
    for (name, p), q in zip(one[0].state_dict().items(), other[0].state_dict().values(), strict=True):
        assert torch.equal(p, q), name
    assert timeless(one[1].history) == timeless(other[1].history)
    assert (one[1].best_epoch, one[1].best_value) == (other[1].best_epoch, other[1].best_value)
    assert one[1].warnings == other[1].warnings
    assert one[1].steps == other[1].steps
    last, first = checkpoints.load(a / "checkpoints" / "last"), checkpoints.load(b / "checkpoints" / "last")
    for name, p in last["model"].items():
        assert torch.equal(p, first["model"][name]), name
    assert torch.equal(last["random"][0]["cpu"], first["random"][0]["cpu"])
    assert (a / "gradients.csv").read_text() == (b / "gradients.csv").read_text()
    ours, theirs = read_table(a / "history.csv"), read_table(b / "history.csv")
    assert [n for n in ours if n != "seconds" and ours[n] != theirs[n]] == []
    assert ours["epoch"] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("options", [PLAIN, RICH], ids=["plain", "average-plateau-momentum"])
def test_killed_in_the_middle_of_an_epoch(options: dict, tmp_path: Path) -> None:
    step = random.choice([n for n in range(6, 3 * PER_EPOCH) if n % PER_EPOCH > 1])  # noqa: S311 - any will do
    settings = {"options": options, "folder": str(tmp_path / "killed"), "at": {step: "kill"}}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(PROGRAM), json.dumps(settings)], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    written = checkpoints.load(tmp_path / "killed" / "checkpoints" / "last")["course"]["step"]
    assert 4 <= written < step
    whole = run(options, tmp_path / "whole")
    resumed = run(options, tmp_path / "killed", resume=True)
    assert_same(resumed, whole, tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize(
    "options",
    [PLAIN, RICH, LONG, STEP, AVERAGED, LAYERED],
    ids=["plain", "plateau", "onecycle", "cosine", "mean", "layers"],
)
def test_interrupted_again_and_again(options: dict, tmp_path: Path) -> None:
    whole = run(options, tmp_path / "whole")
    # the number of losses in each sitting: mid-epoch, the last batch of an epoch, the first of one, mid-epoch
    stops = []
    for sitting, name in ((5, "interrupt"), (4, "terminate"), (1, "interrupt"), (6, "interrupt")):
        with pytest.raises(Interrupted) as stop:
            run(options, tmp_path / "cut", {sitting: name}, resume=True)
        assert stop.value.saved
        stops.append(stop.value.step)
    assert stops == [5, 9, 10, 16]
    resumed = run(options, tmp_path / "cut", resume=True)
    assert_same(resumed, whole, tmp_path / "cut", tmp_path / "whole")
    averages = [checkpoints.load(tmp_path / n / "checkpoints" / "last")["average"] for n in ("cut", "whole")]
    if averages[0] is not None:
        assert all(map(torch.equal, *(a.pop("average") for a in averages)))
        assert averages[0] == averages[1]
    if options is AVERAGED:
        # the third value is the first that can fall behind, and here does
        assert averages[0]["steps"] == PER_EPOCH, averages[0]


def test_same_seed_same_run_and_another_seed_another(tmp_path: Path) -> None:
    one, two, three = (run(PLAIN, tmp_path / str(i), seed=s) for i, s in enumerate((5, 5, 6)))
    assert_same(one, two, tmp_path / "0", tmp_path / "1")
    assert not torch.equal(one[0].head.weight, three[0].head.weight)


def test_a_second_interrupt_stops_at_once_and_leaves_the_older_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as stop:
        run(PLAIN, tmp_path / "cut", {7: "interrupt twice"})
    assert not stop.value.saved
    assert "at once" in str(stop.value)
    assert checkpoints.load(tmp_path / "cut" / "checkpoints" / "last")["course"]["step"] == 4
    whole, resumed = run(PLAIN, tmp_path / "whole"), run(PLAIN, tmp_path / "cut", resume=True)
    assert_same(resumed, whole, tmp_path / "cut", tmp_path / "whole")


def test_handlers_random_numbers_and_threads_come_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    state = torch.get_rng_state()
    with pytest.raises(Interrupted):
        run(PLAIN, tmp_path, {3: "interrupt"})
    run(PLAIN | {"epochs": 1}, tmp_path / "b")
    after = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    assert after == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_finished_run_resumes_to_itself_and_more_epochs_go_on(tmp_path: Path) -> None:
    first = run(PLAIN | {"epochs": 2}, tmp_path / "a")
    again = run(PLAIN | {"epochs": 2}, tmp_path / "a", {1: "kill"}, resume=True)
    assert first[1] == again[1]
    assert torch.equal(first[0].head.weight, again[0].head.weight)
    whole, longer = run(PLAIN, tmp_path / "b"), run(PLAIN, tmp_path / "a", resume=True)
    assert_same(longer, whole, tmp_path / "a", tmp_path / "b")


def test_a_resumed_run_must_be_the_same_run(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(LONG, tmp_path, {5: "interrupt"})
    with pytest.raises(OptionError, match=r"learning_rate was 0.02 in the run to resume, and cannot become 0.01"):
        run(LONG | {"learning_rate": 0.01}, tmp_path, resume=True)
    with pytest.raises(OptionError, match=r"epochs and steps .* was \[4, 0\]"):
        run(LONG | {"epochs": 5}, tmp_path, resume=True)
    with pytest.raises(OptionError, match=r"seed was 0 in the run to resume, not 1"):
        run(LONG, tmp_path, resume=True, seed=1)
    train, valid = toy_data(rows=80)
    with pytest.raises(RunError, match=r"rows was 72"):
        fit(Toy(), ToyObjective(), train, valid, TrainingOptions(**LONG), tmp_path, resume=True, quiet=True)
    other = Toy()
    other.head = torch.nn.Linear(12, 4)
    with pytest.raises(RunError, match=r"belongs to another model: 'head.weight' has shape"):
        fit(other, ToyObjective(), *toy_data(), TrainingOptions(**LONG), tmp_path, resume=True, quiet=True)


def test_a_fresh_run_does_not_leave_another_runs_checkpoint_behind(tmp_path: Path) -> None:
    run(PLAIN, tmp_path / "a")
    with pytest.raises(Interrupted):
        run(PLAIN, tmp_path / "a", {2: "interrupt twice"})
    assert not checkpoints.exists(tmp_path / "a" / "checkpoints" / "last")
    whole, again = run(PLAIN, tmp_path / "b"), run(PLAIN, tmp_path / "a", resume=True)
    assert_same(again, whole, tmp_path / "a", tmp_path / "b")


def test_a_checkpoint_that_cannot_be_read_is_said_to_be_damaged(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(PLAIN, tmp_path, {5: "interrupt"})
    file = tmp_path / "checkpoints" / "last" / "state.json"
    file.write_text(file.read_text()[:-50])
    with pytest.raises(RunError, match=r"is damaged"):
        run(PLAIN, tmp_path, resume=True)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Interrupted):
        run(RICH, folder, {5: "interrupt"})
    return folder


DAMAGE = {
    "a counter that is text": ("course", "step", "5"),
    "a counter that is true": ("course", "epoch", True),
    "a counter below zero": ("course", "batch", -1),
    "a counter of another place": ("course", "batch", 3),
    "a sum that is missing": ("course", "loss", ...),
    "an end that does not exist": ("course", "stopped", "elsewhere"),
    "a history of numbers": ("course", "history", [1.0]),
    "counters that are a list": ("course", None, []),
    "an empty optimizer": ("optimizer", None, {}),
    "no optimizer": ("optimizer", None, ...),
    "groups that are text": ("optimizer", "param_groups", "x"),
    "no data": ("data", None, ...),
    "data that is nothing": ("data", None, None),
    "data without an epoch": ("data", "epoch", ...),
    "no random state": ("random", None, ...),
    "a random state that is a number": ("random", None, 3),
    "a random state of nothing": ("random", None, [None]),
    "no schedule": ("schedule", None, None),
    "no average": ("average", None, None),
    "an average of nothing": ("average", "average", []),
    "no gradients": ("gradients", None, ...),
    "gradients that are text": ("gradients", "rows", "x"),
    "outputs that are empty": ("outputs", None, {}),
    "no settings": ("settings", None, ...),
    "settings without options": ("settings", "options", None),
    "no weights": ("model", None, ...),
}


@pytest.mark.parametrize("by_hand", [True, False], ids=["edited", "written"])
@pytest.mark.parametrize("case", DAMAGE)
def test_every_damage_of_a_checkpoint_is_one_sentence(
    case: str, by_hand: bool, stopped_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped_run, tmp_path / "run")
    last = folder / "checkpoints" / "last"
    head = json.loads((last / "state.json").read_text()) if by_hand else {"state": checkpoints.load(last)}
    part, name, value = DAMAGE[case]
    place, key = (head["state"], part) if name is None else (head["state"][part], name)
    if value is ...:
        del place[key]
    else:
        place[key] = value
    if by_hand:
        (last / "state.json").write_text(json.dumps(head))
    else:
        checkpoints.save(last, head["state"])
    with pytest.raises(RunError, match=r"damaged") as error:
        run(RICH, folder, resume=True)
    assert "\n" not in str(error.value)


def test_a_number_of_a_tensor_that_changed_on_the_disk_is_noticed(stopped_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped_run, tmp_path / "run")
    (file,) = (folder / "checkpoints" / "last").glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match="is damaged: it is not as it was written"):
        run(RICH, folder, resume=True)


def test_a_run_goes_on_only_with_the_identity_it_was_started_with(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(PLAIN, tmp_path, {5: "interrupt"}, identity="a1")
    for other in ("b2", ""):
        with pytest.raises(RunError, match="the data or the options have changed since the run was started"):
            run(PLAIN, tmp_path, resume=True, identity=other)
    assert run(PLAIN, tmp_path, resume=True, identity="a1")[1].stopped == "finished"


def test_an_interrupt_is_not_taken_for_a_failure(tmp_path: Path) -> None:
    def swallow() -> None:
        # as a search over options does
        with contextlib.suppress(Exception):
            run(PLAIN, tmp_path, {3: "interrupt"})

    with pytest.raises(KeyboardInterrupt) as stop:
        swallow()
    assert isinstance(stop.value, Interrupted)
    assert (stop.value.epoch, stop.value.step, stop.value.saved) == (1, 3, True)
