from __future__ import annotations

import threading

import pytest
import torch

from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.ops import denormals, openmp
from unroll.ops.denormals import covers_all_threads, flush_subnormals

TINY = 1e-39


@pytest.fixture
def many() -> torch.Tensor:
    return torch.full((1_000_000,), TINY)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    kept(torch.full((1_000_000,), TINY))  # makes the threads: they inherit the mode of the one that makes them
    yield request.param
    torch.set_num_threads(before)


def kept(values: torch.Tensor) -> int:
    return int((values * 1.0).count_nonzero())


def test_all_threads_flush_and_are_restored(many, threads):
    assert covers_all_threads()
    assert kept(many) == len(many)
    with flush_subnormals():
        assert kept(many) == 0
        with flush_subnormals():
            assert kept(many) == 0
        assert kept(many) == 0
    assert kept(many) == len(many)


def test_restored_after_an_error(many):
    with pytest.raises(KeyError), flush_subnormals():
        raise KeyError
    assert kept(many) == len(many)


def test_a_mode_set_before_stays(many, threads):
    torch.set_flush_denormal(True)
    try:
        before = kept(many)
        with flush_subnormals():
            assert kept(many) == 0
        assert kept(many) == before
        assert kept(many[:100]) == 0
    finally:
        torch.set_flush_denormal(False)


def test_other_threads_of_the_program_are_left_alone(many):
    found = []
    ready, go = threading.Event(), threading.Event()

    def other() -> None:
        ready.set()
        go.wait()
        found.append(kept(many))

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait()
    with flush_subnormals():
        go.set()
        thread.join()
    assert found == [len(many)]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_falls_back_to_the_calling_thread(monkeypatch, many, platform):
    for function in (covers_all_threads, denormals._pool, openmp.library):
        function.cache_clear()
    monkeypatch.setattr(openmp.sys, "platform", platform)
    try:
        assert not covers_all_threads()
        with flush_subnormals():
            assert kept(many[:100]) == 0
        assert kept(many[:100]) == 100
    finally:
        for function in (covers_all_threads, denormals._pool, openmp.library):
            function.cache_clear()


@pytest.mark.parametrize("cls", [LSTM, GRU])
@pytest.mark.parametrize("backend", ["naive", "torch", "cpu"])
def test_backward_flushes(cls, backend):
    module = cls(32, 32, backend=backend)
    x = torch.randn(4, 16, 32).requires_grad_()
    y, _ = module(x)
    y.backward(torch.full_like(y, 3e-38))
    magnitudes = torch.cat([g.flatten().abs() for g in (x.grad, *(p.grad for p in module.parameters()))])
    smallest = torch.finfo(torch.float32).smallest_normal
    assert not bool(((magnitudes > 0) & (magnitudes < smallest)).any())
    assert kept(torch.full((10,), TINY)) == 10
