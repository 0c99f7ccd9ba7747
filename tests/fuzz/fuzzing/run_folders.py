"""Run folders that were damaged, opened and used."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from random import Random
from typing import Any

import unroll
from fuzzing.mutations import change_text, replace_file
from fuzzing.oracle import Finding, attempt
from fuzzing.trained import Trained, quiet

MANIFEST = "manifest.json"
_UNUSED = {"metrics.json"}


class DamagedRun:
    """A trial that damages one file of a run, or two, and uses the run.

    A run with a manifest is refused when a file that is used has changed; with `trust_changed` it is refused or
    answers. Numbers that are answered are finite.
    """

    def __init__(self, trained: dict[str, Trained]) -> None:
        self._trained = trained
        self._others = [file for one in trained.values() for file in one.files()]

    def __call__(self, random: Random, folder: Path) -> bool:
        """Do it in an empty folder; True where the run answered."""
        one = self._trained[random.choice(list(self._trained))]
        run = folder / "run"
        run.mkdir()
        files = one.files()
        for file in files:
            os.link(file, run / file.name)
        done = [self._damage(random, run / f.name) for f in random.sample(files, random.choice((1, 1, 1, 2)))]
        trusting = {"trust_changed": True} if random.random() < 0.6 and _can_trust() else {}
        whole = random.random() < 0.3

        def use() -> Any:
            with quiet():
                return one.example.use(unroll.load(run, **trusting), str(one.data) if whole else "")

        outcome = attempt(use)
        if outcome.answered and not trusting and (one.run / MANIFEST).exists() and _differ(one, run):
            raise Finding("damaged run accepted", f"{one.name}: {'; '.join(done)}")
        return outcome.answered

    def _damage(self, random: Random, file: Path) -> str:
        if random.random() < 0.15:
            return f"{file.name}: {replace_file(random, file, self._others)}"
        before = file.read_bytes()
        after = change_text(random, file, before)
        file.unlink()  # it is a link to the sound one
        file.write_bytes(after)
        return f"{file.name}: {len(before)} bytes, then {len(after)}"


def _can_trust() -> bool:
    return "trust_changed" in inspect.signature(unroll.load).parameters


def _differ(one: Trained, run: Path) -> bool:
    used = [file.name for file in one.files() if file.name not in _UNUSED]
    return any(not (run / n).is_file() or (run / n).read_bytes() != (one.run / n).read_bytes() for n in used)
