from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def public_data() -> Path:
    folder = Path(os.environ.get("UNROLL_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("the public data sets are not there (UNROLL_DATA)")
    return folder
