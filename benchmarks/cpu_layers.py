"""Speed and memory of `unroll.RNN`, `LSTM` and `GRU` on the CPU beside `torch.nn`'s, and beside other libraries.

    python benchmarks/cpu_layers.py [--isa avx512|avx2|portable] [--quick] [--threads N] [--rounds N] [--out FILE]
        [--backend NAME]
        [--cells LIST] [--directions LIST] [--modes LIST] [--lengths LIST] [--shapes LIST]
        [--peers LIST --peer-python PROGRAM]

Every combination of cell, directions, mode, lengths and shape (B, T, D, H) is a case, as is one step from Python.
Modes: `inference`; `training`, with the loss on all outputs; `training-last`, with the loss on the last state only.
Training is forward and backward, to the parameters and to the input, without an optimizer. Lengths are equal, or
uniform in 10 to 100 % of T, the longest row having T. The sides: `unroll`; `torch.nn` on the padded batch, once as it
stands and once under `torch.set_flush_denormal(True)`; where lengths differ, `torch.nn` packed, with what packing and
unpacking takes. A step of `unroll` is beside a call of `torch.nn`'s layer on one step and beside its cell.

All sides have the same weights, inputs, lengths and gradient of the loss, and must agree on outputs and gradients
before they are timed. They take turns in one process, in rotating order; ratios are taken within a round, and the
median and the quartiles over the rounds are reported. GFLOP/s count the products of valid steps only, also as a share
of what `torch.mm` reaches on square matrices in the same run. A case during which other processes were busy is
marked: threads that wait for each other step by step then lose most of their time, and not each side the same. Peak
memory is measured in a process for each side. Peers run in processes of their own and take turns with one that has
`unroll`. --isa holds both `unroll` and PyTorch to an instruction set, so that a processor that has a better one shows
what others do.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cpu_layers_memory
import cpu_layers_peers
import unroll
from cpu_layers_report import figures, line, peer_line, shares, slowest, summary
from cpu_layers_sides import CELLS, Case, Others, check, compare, matrix_rate, measure, prepare
from environment import ISAS, default_out, git, held, hold_to, processor
from unroll.ops.cpu.extension import kernels

ROOT = Path(__file__).resolve().parents[1]
SHAPES = (
    (1, 256, 128, 128), (32, 400, 128, 128), (32, 256, 128, 256), (64, 100, 512, 512), (32, 1000, 1, 64),
    (256, 50, 64, 64), (8, 2000, 80, 320),
)  # fmt: skip
QUICK = ("1x256x128x128", "256x50x64x64")
MODES = ("inference", "training", "training-last", "step", "memory")
LENGTHS = ("equal", "differing")
MEMORY = (32, 2000, 128, 256)


def cases(given: argparse.Namespace) -> Iterator[Case]:
    """The grid's, shape by shape, and the steps'."""
    every = ["x".join(map(str, s)) for s in SHAPES]
    chosen = QUICK if given.quick and given.shapes == every else given.shapes
    shapes = [s for s, name in zip(SHAPES, every, strict=True) if name in chosen]
    modes = [m for m in given.modes if m not in ("step", "memory")]
    for shape, cell, directions, mode, lengths in itertools.product(
        shapes, given.cells, given.directions, modes, given.lengths
    ):
        if lengths == "equal" or shape[0] > 1:  # the lengths of one row do not differ
            yield Case(cell, int(directions), mode, lengths, *shape)
    if "step" in given.modes and "1" in given.directions:
        for B, cell in itertools.product((1, 64), given.cells):
            yield Case(cell, 1, "step", "equal", B, 1, 128, 128)


def measured(case: Case, given: argparse.Namespace, rate: float) -> dict[str, Any]:
    prepared = prepare(case, given.backend)
    error = check(prepared)
    others = Others()
    seconds = measure(prepared, given.rounds, 0.3 if given.quick else 1.5)
    sides: dict[str, dict[str, Any]] = {}
    for side in prepared.sides:
        times = seconds[side.name]
        sides[side.name] = {"seconds": times, "median": statistics.median(times), "same_numbers": side.comparable}
        sides[side.name] |= compare(seconds["unroll"], times)
    flop = case.flop(prepared.valid_steps)
    speed = flop / sides["unroll"]["median"] / 1e9
    return {
        **dataclasses.asdict(case),
        "valid_steps": prepared.valid_steps,
        "flop": flop,
        "error": error,
        "others": others.share(),
        "used": prepared.used(),
        "sides": sides,
        "gflops": speed,
        "share": speed / rate,
    }


def memory(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Peak memory of each side, in a process of its own."""
    shape = [str(n) for n in MEMORY]
    if given.quick:
        shape[1] = "200"
    for side in cpu_layers_memory.SIDES:
        command = [sys.executable, cpu_layers_memory.__file__, side, *shape]
        command += ["--threads", str(torch.get_num_threads()), "--backend", given.backend]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = done.stderr.strip().splitlines()
            found = {"skipped": said[-1] if said else f"exit status {done.returncode}"}
        else:
            found = json.loads(done.stdout)
        yield {"side": side, "shape": "x".join(shape)} | found


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, choices in (
        ("cells", tuple(CELLS)), ("directions", ("1", "2")), ("modes", MODES), ("lengths", LENGTHS),
        ("shapes", tuple("x".join(map(str, s)) for s in SHAPES)),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=_some(choices), default=",".join(choices), help=",".join(choices))
    parser.add_argument("--isa", choices=ISAS, help="instruction set of all sides; default: each takes its best")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--rounds", type=int, default=0, help="0: as many as fit in about a second, at least 5")
    parser.add_argument("--backend", default="auto", help="of unroll")
    parser.add_argument(
        "--peers", type=_some(cpu_layers_peers.PEERS), default=[], help=",".join(cpu_layers_peers.PEERS)
    )
    parser.add_argument("--peer-python", default=sys.executable, help="of an environment that has the peers")
    parser.add_argument(
        "--quick", action="store_true", help="a trial: 3 rounds of two small shapes, kept only by --out"
    )
    parser.add_argument("--out", help="default: benchmarks/results/DATE-cpu_layers.json")
    return parser


def main() -> None:
    parser = options()
    given = parser.parse_args()
    hold_to(given.isa)
    if given.quick:
        given.rounds = given.rounds or 3
    if given.threads:
        torch.set_num_threads(given.threads)
    name = "-".join(["cpu_layers"] + ([given.isa] if given.isa else []))
    out = given.out or (None if given.quick else default_out(name))
    rate = matrix_rate(10)
    result = _about(parser, given) | {"memory": [], "peers": []}
    print(f"{torch.get_num_threads()} threads, torch.mm {rate:.0f} GFLOP/s. Each case: who served, the time of unroll,")
    print("how many times longer each side takes (quartiles), the products of the valid steps, of torch.mm's rate")
    rows, shape = [], ""
    for case in cases(given):
        if case.shape != shape:
            shape, rate = case.shape, max(rate, matrix_rate(3))
        rows.append(measured(case, given, rate))
        print(line(rows[-1]), flush=True)
        keep(out, result | concluded(rows, rate))  # the whole takes long: what is cut off is not lost
    result |= concluded(rows, max(rate, matrix_rate(10)))
    if "memory" in given.modes:
        result["memory"] = list(memory(given))
    print(summary(result), flush=True)
    for row in peers(given):
        print(peer_line(row), flush=True)
        result["peers"].append(row)
        keep(out, result)
    keep(out, result)


def concluded(rows: list[dict[str, Any]], rate: float) -> dict[str, Any]:
    """The cases, and what they show; shares of the best rate, which may have been found after them."""
    for row in rows:
        row["share"] = row["gflops"] / rate
    least, slower = slowest(rows)
    return {
        "matrix_gflops": rate,
        "figures": figures(rows),
        "least": least,
        "slower": slower,
        "shares": shares(rows),
        "load_after": os.getloadavg()[0],
        "cases": rows,
    }


def keep(out: str | None, result: dict[str, Any]) -> None:
    if out:
        Path(out).write_text(json.dumps(result, indent=1) + "\n")


def peers(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    wanted = {k: getattr(given, k) for k in ("cells", "modes", "lengths", "shapes")}
    for peer in given.peers:
        budget = 0.5 if given.quick else 3.0
        threads = torch.get_num_threads()
        yield from cpu_layers_peers.compared(
            peer, given.peer_python, threads, given.backend, given.rounds, budget, wanted
        )


def _some(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    """A list of some of the choices, in their order."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
        return [c for c in choices if c in names]

    return read


def _about(parser: argparse.ArgumentParser, given: argparse.Namespace) -> dict[str, Any]:
    """What a reader must know to judge the figures, and nothing of where they lay on this machine."""
    said = ["python", "benchmarks/cpu_layers.py"]
    for name, value in vars(given).items():
        default = parser.get_default(name)
        text = ",".join(value) if isinstance(value, list) else str(value)
        if value is True:
            said.append("--quick")
        elif name not in ("out", "peer_python") and value is not None and str(default) != text and value != default:
            said += [f"--{name}", text]
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "date": date.today().isoformat(),
        "command": shlex.join(said),
        "hardware": {
            "processor": processor(),
            "instruction_sets": kernels.instruction_sets(),
            "cores": os.cpu_count(),
            "cores_usable": len(affinity(0)) if affinity else os.cpu_count(),
            "caches": _caches(),
        },
        "isa": {"unroll": kernels.instruction_set(), "torch": torch.backends.cpu.get_cpu_capability(), "held": held()},
        "threads": torch.get_num_threads(),
        "load_before": os.getloadavg()[0],
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "unroll": unroll.__version__,
            "numpy": np.__version__,
        },
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain")),
    }


def _caches() -> list[str]:
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        found.append(f"L{level} {kind.lower()} {size}")
    return found


if __name__ == "__main__":
    main()
