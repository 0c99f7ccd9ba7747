"""What a result depends on beside the program: written into every results file."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
_HELD = {
    "avx512": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "portable": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
ISAS = tuple(_HELD)
"""The instruction sets that a comparison can be held to."""


def hold_to(isa: str | None) -> None:
    """Start this program anew with both `unroll` and PyTorch held to an instruction set, if they are not already.

    Both read the environment when they are imported. None: each takes the best that the processor has.
    """
    if isa is None:
        return
    wanted = {"UNROLL_ISA": isa, **_HELD[isa]}
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)  # noqa: S606  # this same program


def held() -> dict[str, str]:
    """What in the environment holds `unroll` or PyTorch to an instruction set."""
    return {name: os.environ[name] for name in ("UNROLL_ISA", *_HELD["avx2"]) if name in os.environ}


def about(command: str) -> dict[str, Any]:
    """Date, command, hardware, versions and commit; `dirty` where a tracked file is not as the commit has it."""
    return {
        "date": date.today().isoformat(),
        "command": command,
        "hardware": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "held": held(),
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
