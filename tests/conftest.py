from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unroll.ops.cpu.extension import kernels, missing

CACHE = tempfile.mkdtemp(prefix="unroll-tests-")
# read by `datasets` when it is first imported, in this process and in those that tests start
os.environ["HF_HOME"] = CACHE
os.environ["HF_DATASETS_CACHE"] = str(Path(CACHE) / "datasets")

if not torch.cuda.is_available():
    # Triton looks at this as soon as it is imported, whoever does that
    os.environ["TRITON_INTERPRET"] = "1"

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
"""How far two numbers may be apart, relative to the largest of them all (at least 1)."""

Values = Tensor | None | Iterable["Values"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file of slow tests is not even imported where they are left out."""
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return True if "pytest.mark.slow" in collection_path.read_text(encoding="utf-8") else None


def pytest_unconfigure() -> None:
    shutil.rmtree(CACHE, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test of the backend `cpu` needs the compiled kernels."""
    callspec = getattr(item, "callspec", None)
    reason = missing()
    if reason is not None and callspec is not None and callspec.params.get("backend") == "cpu":
        pytest.skip(reason)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors only lose time on several threads; a test that wants them sets them."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that PyTorch hands out uninitialised holds NaN, or the largest integers: reading it shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def own_instruction_set() -> Iterator[None]:
    """A test that takes another instruction set of the kernels leaves the one it found: their bits differ."""
    if kernels is None:
        yield
        return
    found = kernels.instruction_set()
    yield
    kernels.use(found)


@pytest.fixture
def close() -> Callable[..., None]:
    """`close(actual, expected)`: tensors, or nests of them, are the same numbers; None is zeros."""

    def check(actual: Values, expected: Values, at: str = "result") -> None:
        if actual is None or expected is None:
            for v in (actual, expected):
                assert v is None or not bool(v.any()), f"{at}: one is missing, the other is not zero"
            return
        if isinstance(actual, Tensor) and isinstance(expected, Tensor):
            assert actual.shape == expected.shape, at
            assert actual.dtype == expected.dtype, at
            assert not bool(actual.isnan().any()), f"{at} has NaN"
            if actual.numel():
                scale = max(1.0, float(expected.detach().abs().max()))
                apart = float((actual - expected).detach().abs().max())
                assert apart <= TOLERANCE[actual.dtype] * scale, f"{at}: {apart:.3g} apart at scale {scale:.3g}"
            return
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            check(a, e, f"{at}[{i}]")

    return check
