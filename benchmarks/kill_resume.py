"""Is a training that is killed at any moment, and gone on with, the same to the last bit?

    python benchmarks/kill_resume.py --kills 100 --seed 0

A tiny training of every task is run once whole. Then it is begun again and again, killed (SIGKILL) at a random moment
of its life, and gone on with by `resume`, which may be killed too, until it ends. What was killed before there was
anything to go on from is begun anew with `--overwrite`. The weights, what was learnt, the options, the history and the
figures (but for times) are then the whole run's, byte for byte. Now and then the folder that a kill left is copied and
replaced by a new training with `--overwrite`, whose files are the same again. Exit status 1 if any of it differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch

from environment import ROOT, about, default_out

sys.path.insert(0, str(ROOT / "tests" / "fuzz"))

from fuzzing.trained import EXAMPLES, quiet

from unroll.errors import UserError
from unroll.tasks import train
from unroll.tasks.base import DataPaths
from unroll.tasks.registry import entry
from unroll.tasks.transfer import resolve_settings

_OPTIONS = {"epochs": 3, "hidden_size": 8, "threads": 1, "batch_size": 4, "checkpoint_every": 3, "output_dropout": 0.2}
_UNTIMED = ("config.yaml", "gradients.csv", "model.safetensors")
_REFUSED = 3
_ENDED, _NOTHING = "has ended its training", ("is not a run folder", "there is no run folder", "no checkpoint")
_MOST_KILLS = 3


@dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        name: of the example.
        data: its file.
        seconds: how long the whole takes.
        files: what the whole run left, but times.
    """

    name: str
    data: Path
    seconds: float = 0.0
    files: dict[str, Any] = field(default_factory=dict)

    def fit(self, out: Path) -> Callable[[], None]:
        """Begin."""
        example = EXAMPLES[self.name]
        settings = resolve_settings(entry(example.task).load_settings(), example.options | _OPTIONS)
        sources = DataPaths([str(self.data)])
        return lambda: void(train.train_from_files(example.task, sources, settings, out, overwrite=True, say=silent))


def silent(_: str) -> None:
    pass


def void(_: Any) -> None:
    pass


def child(action: Callable[[], None], note: Path) -> multiprocessing.Process:
    """Do `action` in a process of its own; what it was refused for is written to `note`."""

    def work() -> None:
        torch.set_num_threads(1)
        try:
            with quiet():
                action()
        except UserError as error:
            note.write_text(str(error))
            os._exit(_REFUSED)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def finished(process: multiprocessing.Process, after: float | None) -> bool:
    """Whether the process came to its end; it is killed after so many seconds."""
    process.join(after)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    return process.exitcode != -signal.SIGKILL


def untimed(run: Path) -> dict[str, Any]:
    """What a run holds that a training decides, without times."""
    found: dict[str, Any] = {}
    for path in sorted(run.iterdir()):
        if path.name == "metrics.json":
            found[path.name] = json.loads(path.read_text())
            found[path.name]["training"].pop("seconds")
        elif path.name == "history.csv":
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            found[path.name] = [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
        elif path.name in _UNTIMED or (path.suffix == ".json" and path.name != "manifest.json"):
            found[path.name] = path.read_bytes()
    return found


def whole(name: str, folder: Path) -> Training:
    """The example trained without a stop: how long it takes and what it leaves."""
    example = EXAMPLES[name]
    data = folder / f"{name}{example.suffix}"
    data.write_text(example.write(Random(0)))  # noqa: S311 (no secret)
    training = Training(name, data)
    for _ in range(2):  # the first also fills caches
        began = time.monotonic()
        process = child(training.fit(folder / name), folder / "note")
        finished(process, None)
        if process.exitcode:
            raise RuntimeError(f"{name} cannot be trained: status {process.exitcode}, {read_note(folder / 'note')}")
    return Training(name, data, time.monotonic() - began, untimed(folder / name))


def read_note(note: Path) -> str:
    return note.read_text() if note.exists() else ""


def killed_and_resumed(training: Training, random: Random, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """Train with kills until it ends: what is wrong then, and what happened."""
    run, note = folder / "run", folder / "note"
    told: dict[str, Any] = {"task": training.name, "kills": [], "anew": 0, "replaced": False}
    action, resuming = training.fit(run), False
    while True:
        note.unlink(missing_ok=True)
        kills = len(told["kills"])
        wanted = kills == 0 or (kills < _MOST_KILLS and random.random() < 0.5)
        after = random.uniform(0, training.seconds) if wanted else None
        process = child(action, note)
        ended = finished(process, after)
        if not ended:
            told["kills"].append(round(after or 0, 3))
            if random.random() < 0.2:
                told["replaced"] = True
                if wrong := replaced(training, run, folder):
                    return wrong, told
        elif process.exitcode == 0 and not kills:  # it was quicker than the whole run, which is no trial
            shutil.rmtree(run)
        elif process.exitcode == 0:
            break
        elif process.exitcode != _REFUSED or not resuming:
            return [f"the process ended with status {process.exitcode}: {read_note(note)}"], told
        elif _ENDED in (why := read_note(note)):
            break
        elif any(words in why for words in _NOTHING):
            told["anew"] += 1
            action, resuming = training.fit(run), False
            continue
        else:
            return [f"resume was refused: {why}"], told
        if run.exists():
            action, resuming = (lambda: void(train.resume(run, say=silent))), True
    return differing(training, run), told


def replaced(training: Training, run: Path, folder: Path) -> list[str]:
    """What is wrong with a copy of what a kill left once `fit --overwrite` has replaced it."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    if run.exists():
        shutil.copytree(run, copy, ignore_dangling_symlinks=True)
    process = child(training.fit(copy), folder / "note")
    finished(process, None)
    if process.exitcode:
        return [f"--overwrite did not replace it: {read_note(folder / 'note')}"]
    return [f"replaced: {wrong}" for wrong in differing(training, copy)]


def differing(training: Training, run: Path) -> list[str]:
    """The files that are not those of the whole run, and whether it can be loaded."""
    import unroll

    found = untimed(run)
    wrong = [name for name in sorted({*found, *training.files}) if found.get(name) != training.files.get(name)]
    try:
        unroll.load(run)
    except UserError as error:
        wrong.append(f"load: {error}")
    return wrong


def main() -> int:
    """Kill and resume, and say how many runs were the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="trainings that are killed, each once or more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", choices=list(EXAMPLES), default=list(EXAMPLES))
    parser.add_argument("--out", default=default_out("kill_resume"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    same, failures, kills = 0, [], Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unroll-kill-") as name:
        import datasets.config

        datasets.config.HF_DATASETS_CACHE = Path(name) / "cache"
        trainings = [whole(task, Path(name)) for task in given.tasks]
        for i in range(given.kills):
            training, folder = trainings[i % len(trainings)], Path(name) / f"{i}"
            folder.mkdir()
            seed = given.seed * 1_000_000 + i
            wrong, told = killed_and_resumed(training, Random(seed), folder)  # noqa: S311 (no secret)
            shutil.rmtree(folder)
            kills[training.name] += len(told["kills"])
            same += not wrong
            if wrong:
                failures.append({"seed": seed, "wrong": wrong, **told})
                print(f"{seed}: {told}: {'; '.join(wrong)}", flush=True)
    took = time.monotonic() - began
    print(f"{same} of {given.kills} the same after {kills.total()} kills, in {took:.0f} s: {dict(kills)}")
    result = {"same": same, "of": given.kills, "kills": dict(kills), "seconds": round(took, 1), "failures": failures}
    lasting = {training.name: round(training.seconds, 2) for training in trainings}
    written = {**about(shlex.join(sys.argv)), "seconds_whole": lasting, **result}
    Path(given.out).write_text(json.dumps(written, indent=1) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
