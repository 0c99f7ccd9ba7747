"""What a result depends on beside the program: written into every results file."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]


def about(command: str) -> dict[str, Any]:
    """Date, command, hardware, versions and commit; `dirty` where a tracked file is not as the commit has it."""
    return {
        "date": date.today().isoformat(),
        "command": command,
        "hardware": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
    }


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def git(*arguments: str) -> str:
    """What git answers about this checkout; empty outside of one."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def default_out(name: str) -> str:
    """results/DATE-NAME.json."""
    return str(ROOT / "benchmarks" / "results" / f"{date.today().isoformat()}-{name}.json")
