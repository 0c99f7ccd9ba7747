"""Triton: whether it is here, and on what it computes."""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch

_COMPILER = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
_INSTALLED = importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether kernels are interpreted (TRITON_INTERPRET=1): slowly, on tensors of the CPU, to be tested or debugged."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def missing() -> str | None:
    """Why the kernels cannot run here, or None."""
    if not _INSTALLED:
        return "the package triton is not installed"
    if interpreted():
        return None
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if torch.version.hip is not None:
        return "it has not been tried on AMD's GPUs"
    if not _COMPILER:
        return "Triton builds its launchers with a C compiler, and none was found"
    return None


def about() -> str:
    """One line for a person."""
    return "kernels for NVIDIA GPUs, compiled by Triton" + (", interpreted on the CPU" if interpreted() else "")
