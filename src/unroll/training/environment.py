"""Global settings for the time of a training: threads, determinism, logging; restored afterwards."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Set PyTorch's number of CPU threads within the context; 0 keeps the current number."""
    before = torch.get_num_threads()
    if number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if number:
            torch.set_num_threads(before)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Use PyTorch's deterministic algorithms within the context; PyTorch warns about an operation that has none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Silence Lightning's log messages and two irrelevant warnings within the context; all others come through."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    before = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="GPU available but not used")
            # Lightning's own use of a class that PyTorch has since renamed
            warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated", category=FutureWarning)
            yield
    finally:
        for log, level in zip(loggers, before, strict=True):
            log.setLevel(level)
