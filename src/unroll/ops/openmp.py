"""The OpenMP that PyTorch computes with, in this process."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

import torch


@functools.cache
def library() -> ctypes.PyDLL | None:
    """What finds OpenMP's functions as PyTorch's own code does; None where that is not known.

    Looked up through PyTorch's library: other packages bring an OpenMP, and threads, of their own.
    """
    if not sys.platform.startswith("linux"):
        return None
    path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        return ctypes.PyDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None


def addresses(*names: str) -> tuple[int, ...] | None:
    """Where these functions of it stand, or None if one is missing."""
    openmp = library()
    try:
        return None if openmp is None else tuple(_address(getattr(openmp, name)) for name in names)
    except AttributeError:
        return None


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]  # a function is a pointer
