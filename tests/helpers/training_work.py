"""Work for the tests of processes; imports next to nothing, so that a process starts quickly."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from unroll.training.errors import TrainingError


def fail(stopped) -> None:
    if os.environ["LOCAL_RANK"] == "1":
        raise TrainingError("the loss became nan")
    time.sleep(60)


def die(stopped) -> None:
    if os.environ["LOCAL_RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def wait(number: int, stopped) -> tuple[int, str, str]:
    if os.environ["LOCAL_RANK"] == "0":
        os.kill(os.getppid(), signal.SIGINT)
    while not stopped():
        time.sleep(0.01)
    return number * 2, os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"]


def insist(stopped) -> None:
    while True:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.2)


def stay(folder: str, stopped) -> None:
    for _ in range(2000):
        (Path(folder) / f"{os.getpid()}.pid").touch()
        time.sleep(0.02)
