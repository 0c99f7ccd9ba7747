from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing.kinds import SHARES, Trial, run_trial, trials
from fuzzing.trained import train

pytestmark = pytest.mark.slow

_FEWER = {"run": 25, "predict": 20, "estimators": 5, "series": 20, "parquet": 15}


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder: Path = tmp_path_factory.mktemp("trained")
    return trials({name: train(name, folder) for name in ("text", "tagging", "language", "forecast")})


@pytest.mark.parametrize("kind", list(SHARES))
def test_what_is_odd_is_answered_rightly_or_refused_in_one_sentence(kind: str, every: dict[str, Trial]) -> None:
    found = {}
    answered = 0
    for seed in range(_FEWER.get(kind, 30)):
        finding, answer = run_trial(every[kind], seed)
        answered += answer
        if finding is not None:
            found.setdefault(finding.key, f"{kind}:{seed}: {finding}")
    assert not found, "\n".join(found.values())
    assert answered or kind == "estimators", "every trial was refused"


FOUND = (
    "columns:1000014861", "csv:1000010501", "csv:1000024179", "estimators:1000002027", "estimators:1000088727",
    "json:1000044277", "npz:1000000353", "npz:1000013726", "npz:1000086545", "parquet:1000068591",
    "parquet:1000080964", "predict:1000000181", "run:1000019414", "run:1000050419", "run:1000098895",
    "series:1000010694", "series:1000022986", "series:1000038875", "series:1000090767",
)  # fmt: skip
"""Trials of 100,000 (`benchmarks/fuzz.py --seed 1`, 2026-11-26) that found something."""


@pytest.mark.parametrize("trial", FOUND)
def test_what_was_found_is_found_no_more(trial: str, every: dict[str, Trial]) -> None:
    kind, seed = trial.split(":")
    assert run_trial(every[kind], int(seed))[0] is None
