"""Data-parallel training: several processes, each with its own device and its own rows."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

import torch
import torch.multiprocessing
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors

from unroll.errors import OptionError, UserError
from unroll.training.errors import Interrupted
from unroll.training.serialization import decode, encode
from unroll.training.signals import StopRequest

_GRACE = 10.0


def launched_outside() -> bool:
    """Whether an external launcher (torchrun, or SLURM's srun) started this process as one of several."""
    return "LOCAL_RANK" in os.environ or ("SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1)


def is_main() -> bool:
    """Whether this process is the one that writes and prints."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return int(os.environ.get("NODE_RANK", "0")) == 0 and int(os.environ.get("LOCAL_RANK", "0")) == 0


def run_processes(
    work: Callable[..., Any], arguments: dict[str, Any], devices: int, nodes: int, stop_at_once: Callable[[], Any]
) -> Any:
    """Run `work(**arguments, stopped=...)` in `devices` new processes; return the result of the first.

    `stopped()` tells the processes that the user asked for a stop. A `UserError` or `Interrupted` raised in a
    process is raised again here.

    Args:
        work: a function that can be imported.
        arguments: its arguments; they are pickled.
        devices: processes on this machine.
        nodes: machines; with several, MASTER_ADDR, MASTER_PORT and NODE_RANK must be set.
        stop_at_once: called at a second Ctrl-C, after the processes were ended.

    Raises:
        OptionError: several machines, and MASTER_ADDR, MASTER_PORT or NODE_RANK is not set.
        RuntimeError: a process ended without a result or an error.
    """
    context = torch.multiprocessing.get_context("spawn")
    event, answers = context.Event(), context.SimpleQueue()
    variables = environment(devices, nodes)
    processes = [
        context.Process(target=_child, args=(work, arguments, variables, rank, event, answers), daemon=True)
        for rank in range(devices)
    ]

    def end() -> None:
        # a checkpoint is whole at every moment, so nothing is lost by ending them without a word
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()

    def second() -> None:
        end()
        stop_at_once()

    with StopRequest().listening(first=event.set, second=second):
        try:
            for process in processes:
                process.start()
            return _collect(processes, answers)
        finally:
            end()


def _collect(processes: list[Any], answers: Any) -> Any:
    sentinels = {p.sentinel: p for p in processes}
    result: Any = None
    failure: BaseException | None = None
    until = float("inf")
    while sentinels:
        timeout = None if until == float("inf") else max(0.0, until - time.monotonic())
        ready = wait([answers._reader, *sentinels], timeout)
        if not ready:
            break
        while not answers.empty():
            rank, kind, value = answers.get()
            if kind == "error":
                failure = failure or value
                until = time.monotonic() + _GRACE
            elif rank == 0:
                result = value
        for sentinel in ready:
            if sentinel in sentinels:
                process = sentinels.pop(sentinel)
                process.join()
                if process.exitcode and failure is None and answers.empty():
                    failure = RuntimeError(f"a training process ended with status {process.exitcode}")
                    until = time.monotonic() + _GRACE
    if failure is not None:
        raise failure
    return result


def _child(
    work: Callable[..., Any],
    arguments: dict[str, Any],
    environment: dict[str, str],
    rank: int,
    event: Any,
    answers: Any,
) -> None:
    import signal

    # a terminal sends Ctrl-C to every process; the parent decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment | {"LOCAL_RANK": str(rank)})
    try:
        answers.put((rank, "result", work(**arguments, stopped=event.is_set)))
    except (UserError, Interrupted) as error:
        answers.put((rank, "error", error))
    finally:
        with contextlib.suppress(Exception):
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, even by `kill -9`.

    Otherwise it would keep writing into a run folder that another training may be using by then.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def environment(devices: int, nodes: int) -> dict[str, str]:
    """Return the environment variables by which the processes find each other.

    Raises:
        OptionError: several machines, and MASTER_ADDR, MASTER_PORT or NODE_RANK is not set.
    """
    if nodes == 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "WORLD_SIZE": str(devices)}
    missing = [n for n in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if n not in os.environ]
    if missing:
        raise OptionError(
            f"nodes is {nodes}, but {' and '.join(missing)} are not set; start the command on every machine with "
            "torchrun or srun, or set MASTER_ADDR and MASTER_PORT (of the first machine) and NODE_RANK (0, 1, ...)"
        )
    return {"WORLD_SIZE": str(devices * nodes)}


def gather(value: Any, device: torch.device) -> list[Any]:
    """Gather `value` (nested; see `serialization`) from all processes, in order of rank; all must call this.

    Args:
        value: this process's value.
        device: the device to communicate through. With several processes the tensors come back on the CPU.

    Raises:
        TypeError: `value` holds a kind of object that a checkpoint cannot.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return [value]
    node, tensors = encode(value)
    text = json.dumps(node).encode()
    content = torch.frombuffer(
        bytearray(len(text).to_bytes(8, "little") + text + write_tensors(tensors)), dtype=torch.uint8
    )
    world = torch.distributed.get_world_size()
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world)]
    torch.distributed.all_gather(sizes, torch.tensor([len(content)], device=device))
    longest = max(int(size) for size in sizes)
    parts = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in range(world)]
    torch.distributed.all_gather(parts, torch.nn.functional.pad(content, (0, longest - len(content))).to(device))
    return [_read(part[: int(size)].cpu().numpy().tobytes()) for part, size in zip(parts, sizes, strict=True)]


def _read(content: bytes) -> Any:
    start = 8 + int.from_bytes(content[:8], "little")
    return decode(json.loads(content[8:start]), read_tensors(content[start:]))
