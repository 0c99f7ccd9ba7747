"""The kinds of trials, each a function of a random generator and an empty folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from fuzzing.arrays import damaged_npz, damaged_parquet
from fuzzing.columns import damaged_columns
from fuzzing.configs import odd_config, odd_flags
from fuzzing.oracle import Finding
from fuzzing.run_folders import DamagedRun
from fuzzing.series import written_series
from fuzzing.tables import damaged_csv, damaged_json, damaged_lines
from fuzzing.trained import Trained
from fuzzing.values import OddFitted, OddPredicted

Trial = Callable[[Random, Path], bool]
"""True where there was an answer, False where it was refused; raises `Finding`."""

SHARES = {
    "run": 20,
    "csv": 18,
    "json": 12,
    "lines": 3,
    "columns": 8,
    "npz": 6,
    "parquet": 6,
    "series": 12,
    "config": 6,
    "flags": 4,
    "predict": 4,
    "estimators": 1,
}
"""How many of a hundred trials are of each kind."""


def trials(trained: dict[str, Trained]) -> dict[str, Trial]:
    """The function of every kind."""
    return {
        "run": DamagedRun(trained),
        "csv": damaged_csv,
        "json": damaged_json,
        "lines": damaged_lines,
        "columns": damaged_columns,
        "npz": damaged_npz,
        "parquet": damaged_parquet,
        "series": written_series,
        "config": odd_config,
        "flags": odd_flags,
        "predict": OddPredicted(trained),
        "estimators": OddFitted(),
    }


def kind_of(number: int) -> str:
    """The kind of the trial of that number, so that every hundred has its shares."""
    at = number * 37 % 100  # 37 and 100 have no common factor: the kinds are spread
    for kind, share in SHARES.items():
        if at < share:
            return kind
        at -= share
    raise AssertionError("the shares make up a hundred")


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, with all that was cached of the files in it."""
    import datasets.config

    before = datasets.config.HF_DATASETS_CACHE
    with tempfile.TemporaryDirectory(prefix="unroll-fuzz-", ignore_cleanup_errors=True) as name:
        datasets.config.HF_DATASETS_CACHE = Path(name) / "cache"
        files = Path(name) / "files"
        files.mkdir()
        try:
            yield files
        finally:
            datasets.config.HF_DATASETS_CACHE = before


def run_trial(trial: Trial, seed: int) -> tuple[Finding | None, bool]:
    """Do a trial in a folder of its own: what it found, and whether there was an answer."""
    with empty_folder() as folder:
        try:
            return None, trial(Random(seed), folder)  # noqa: S311 (no secret)
        except Finding as found:
            return found, False
        except Exception as error:
            return Finding(f"the trial itself: {type(error).__name__}", str(error)), False
