"""Flush subnormal (denormal) numbers to zero on every thread that computes.

When a long sequence makes the gradient vanish, most of it falls below the smallest normal number, where
many processors are ten to a hundred times slower. `torch.set_flush_denormal` reaches the calling thread
only; PyTorch's tensors are computed by a pool of OpenMP threads besides it.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from unroll.ops.openmp import library

# Where glibc's fenv_t holds the control word, and the bits that flush: MXCSR's FTZ and DAZ; FPCR's FZ.
_CONTROL = {"x86_64": (28, 0x8040), "aarch64": (0, 1 << 24)}
_ENV_BYTES = 64  # more than any fenv_t has

_inside = threading.local()


@contextmanager
def flush_subnormals() -> Iterator[None]:
    """Inside, the calling thread and PyTorch's own threads treat subnormal numbers as zero.

    Every thread gets back the mode it had. May be nested. Where the threads cannot be reached
    (`covers_all_threads()` is then false) only the calling thread is changed. It takes some microseconds,
    and more on a machine that has more to do than it has cores: not for the smallest of operations.
    """
    if getattr(_inside, "now", False):
        yield
        return
    _inside.now = True
    restore = _flush()
    try:
        yield
    finally:
        restore()
        _inside.now = False


@functools.cache
def covers_all_threads() -> bool:
    """Whether `flush_subnormals` reaches every thread of PyTorch's here; shown once, by a large product."""
    pool = _pool()
    if pool is None:
        return False
    tiny = torch.full((max(1, torch.get_num_threads()) * (1 << 17),), 1e-39)
    restore = pool.flush()
    try:
        return not bool((tiny * 1.0).any())
    finally:
        restore()


def _flush() -> Callable[[], None]:
    pool = _pool()
    if pool is not None and covers_all_threads():
        return pool.flush()
    flushed = not bool(torch.tensor(1e-39) * 1.0)
    torch.set_flush_denormal(True)

    def restore() -> None:
        if not flushed:
            torch.set_flush_denormal(False)

    return restore


class _Pool:
    """The OpenMP threads that serve the calling thread, reached through GNU libgomp's own entry points.

    A parallel region started here runs glibc's `fegetenv` or `fesetenv` on the workers and not on the
    caller. The workers share one buffer when read: nothing sets one of them apart from the others.
    """

    def __init__(self, library: ctypes.PyDLL, offset: int, bits: int) -> None:
        self._offset, self._bits = offset, bits
        self._get, self._set = library.fegetenv, library.fesetenv
        self._start, self._end = library.GOMP_parallel_start, library.GOMP_parallel_end
        self._start.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)
        self._start.restype = self._end.restype = None
        self._get_address = ctypes.cast(self._get, ctypes.c_void_p)
        self._set_address = ctypes.cast(self._set, ctypes.c_void_p)

    def flush(self) -> Callable[[], None]:
        """Make all threads flush; returns what gives each its own mode back."""
        own = ctypes.create_string_buffer(_ENV_BYTES)
        self._get(own)
        if torch.get_num_threads() == 1:
            self._set(self._flushing(own))
            return lambda: self._set(own)
        workers = ctypes.create_string_buffer(own.raw, _ENV_BYTES)
        self._on_workers(self._get_address, workers)
        self._on_workers(self._set_address, self._flushing(workers))
        self._set(self._flushing(own))

        def restore() -> None:
            self._on_workers(self._set_address, workers)
            self._set(own)

        return restore

    def _on_workers(self, function: ctypes.c_void_p, env: ctypes.Array[ctypes.c_char]) -> None:
        self._start(function, env, 0)
        self._end()

    def _flushing(self, env: ctypes.Array[ctypes.c_char]) -> ctypes.Array[ctypes.c_char]:
        copy = ctypes.create_string_buffer(env.raw, _ENV_BYTES)
        word = ctypes.c_uint32.from_buffer(copy, self._offset)
        word.value |= self._bits
        return copy


@functools.cache
def _pool() -> _Pool | None:
    """The pool, if this is a system whose ways are known."""
    openmp = library()
    if openmp is None or platform.machine() not in _CONTROL:
        return None
    try:
        return _Pool(openmp, *_CONTROL[platform.machine()])
    except AttributeError:
        return None
