"""What one training call of an LSTM adds to this process's peak memory, for `cpu_layers.py`, in a process of its own.

    python benchmarks/cpu_layers_memory.py torch.nn|unroll|recompute B T D H [--threads N] [--backend NAME]

Prints JSON: `bytes` above what the inputs, the weights and a short call before it have taken. The peak is Linux's
`VmHWM`, set back before the call; where it cannot be, the process's largest so far.
"""

from __future__ import annotations

import argparse
import inspect
import json
import resource
from pathlib import Path

import torch
from torch import nn

import unroll

SIDES = ("torch.nn", "unroll", "recompute")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("side", choices=SIDES)
    arguments.add_argument("shape", type=int, nargs=4, metavar="N", help="B T D H")
    arguments.add_argument("--threads", type=int, default=0)
    arguments.add_argument("--backend", default="auto")
    given = arguments.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    print(json.dumps(measure(given.side, given.backend, *given.shape)))


def measure(side: str, backend: str, B: int, T: int, D: int, H: int) -> dict[str, object]:
    if side == "recompute" and "recompute" not in inspect.signature(unroll.LSTM).parameters:
        return {"skipped": "unroll.LSTM takes no `recompute` here"}
    if side == "torch.nn":
        layer: nn.Module = nn.LSTM(D, H, batch_first=True)
    else:
        options = {"recompute": True} if side == "recompute" else {}
        layer = unroll.LSTM(D, H, batch_first=True, backend=backend, **options)
    x = torch.randn(B, T, D, requires_grad=True)
    gradient = torch.randn(B, T, H) / (B * T)

    layer(x[:, : min(T, 8)])[0].backward(gradient[:, : min(T, 8)])  # what libraries and threads take once
    x.grad = None
    layer.zero_grad(set_to_none=True)
    method = _reset()
    before = _memory("VmRSS") if method == "VmHWM" else _largest()
    layer(x)[0].backward(gradient)
    after = _memory("VmHWM") if method == "VmHWM" else _largest()
    served = [] if side == "torch.nn" else [u.backend for u in layer.used]  # type: ignore[union-attr]
    return {"bytes": after - before, "before": before, "method": method, "used": served}


def _reset() -> str:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        _memory("VmHWM")
    except OSError:
        return "ru_maxrss"
    return "VmHWM"


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


def _largest() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
