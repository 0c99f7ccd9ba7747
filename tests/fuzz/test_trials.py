from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing.kinds import SHARES, Trial, run_trial, trials
from fuzzing.trained import train

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
