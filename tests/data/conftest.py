from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def public_data() -> Path:
    folder = Path(os.environ.get("UNROLL_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("the public data sets are not there (UNROLL_DATA)")
    return folder
