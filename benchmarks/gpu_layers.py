"""Speed of the backend `triton` on a GPU beside `torch.nn` on cuDNN, and beside what the hardware allows.

    python benchmarks/gpu_layers.py [--minutes N] [--rounds N] [--cells LIST] [--dtypes LIST] [--lengths LIST]
        [--modes LIST] [--shapes LIST] [--out FILE]

Every combination of cell, dtype, lengths, mode and shape (B, T, D, H) is a case; the most telling come first, and
after `--minutes` no other is begun. Lengths: `equal`; `differing`, uniform in 10 to 100 % of T, the longest row having
T; `resets`, equal with one reset a row on average. Modes: `inference`; `training`, forward and backward to the
parameters and the input with the loss on all outputs, without an optimizer.

Sides: `triton`; `cudnn`, which is `torch.nn` on the padded batch (on `resets`, which it cannot serve: without them);
`packed`, `torch.nn` on a packed sequence, with what packing and unpacking takes; `torch`, unroll's layer on cuDNN,
which is what `auto` takes where `triton` is not known to be faster. A case in which `triton` does not give the numbers
of the definition in float64 on the CPU, for the whole batch and its first steps, is not timed. float32 is exact on all
sides: tf32 is switched off.

Each round times every side once by device events, in rotating order, on the next of several input sets, from an idle
device: what Python takes before the device has work counts. Ratios are taken within a round, and the median and the
quartiles are written. Beside them a floor of the case, the most of

    T * (a smallest step of ours: one row, 16 features), flops / rate of torch.mm, bytes / bandwidth of a copy,

measured in the same run. Bytes: inputs, outputs and kept gates once each, and in training once more with their
gradients. The first is no law of nature: it holds for a step of our own making.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unroll
from environment import about, default_out

SHAPES = (
    (64, 512, 256, 256), (64, 512, 512, 512), (256, 256, 256, 256), (16, 1024, 768, 768), (1024, 64, 128, 128),
    (64, 512, 384, 384), (128, 1024, 1, 64), (16, 4096, 80, 320), (64, 512, 1024, 1024), (256, 64, 64, 64),
)  # fmt: skip
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
CELLS = {
    "lstm": (unroll.LSTM, nn.LSTM, {}),
    "gru": (unroll.GRU, nn.GRU, {}),
    "rnn": (unroll.RNN, nn.RNN, {}),
}
TOLERANCE = {"bfloat16": 3e-2, "float16": 5e-3, "float32": 1e-5}
SETS = 3
DEVICE = torch.device("cuda")


@dataclass(frozen=True)
class Case:
    """What is measured."""

    cell: str
    dtype: str
    lengths: str
    mode: str
    B: int
    T: int
    D: int
    H: int


@dataclass
class Given:
    """One set of inputs."""

    x: Tensor
    dy: Tensor
    lengths: Tensor | None
    """On the device."""
    known: Tensor | None
    """The same on the CPU, where packing wants them."""
    resets: Tensor | None


def inputs(case: Case, seed: int) -> Given:
    """Random ones of the case's kind."""
    g = torch.Generator().manual_seed(seed)
    dtype = DTYPES[case.dtype]
    x = torch.randn(case.T, case.B, case.D, generator=g).to(DEVICE, dtype)
    dy = torch.randn(case.T, case.B, case.H, generator=g).to(DEVICE, dtype)
    known = resets = None
    if case.lengths == "differing":
        known = torch.randint(max(1, case.T // 10), case.T + 1, (case.B,), generator=g)
        known[0] = case.T
    if case.lengths == "resets":
        resets = (torch.rand(case.T, case.B, generator=g) < 1 / case.T).to(DEVICE)
    return Given(x, dy, None if known is None else known.to(DEVICE), known, resets)


Side = Callable[[Given], None]


def sides(case: Case) -> dict[str, Side]:
    """Each does the case's work once."""
    ours, theirs, more = CELLS[case.cell]
    dtype, training = DTYPES[case.dtype], case.mode == "training"
    torch.manual_seed(0)
    # in training mode cuDNN keeps what a gradient needs, whatever the grad mode
    reference = theirs(case.D, case.H, **more).to(DEVICE, dtype).train(training)

    def layer(backend: str) -> nn.Module:
        made = ours(case.D, case.H, **more, backend=backend).to(DEVICE, dtype)
        made.load_state_dict(reference.state_dict())
        return made

    def work(module: nn.Module, call: Callable[[nn.Module, Tensor, Given], Tensor]) -> Side:
        def once(given: Given) -> None:
            x = given.x.detach().requires_grad_(training)
            with torch.set_grad_enabled(training):
                y = call(module, x, given)
            if training:
                module.zero_grad(set_to_none=True)
                y.backward(given.dy[: len(y)])

        return once

    def own(module: nn.Module, x: Tensor, given: Given) -> Tensor:
        return module(x, lengths=given.lengths, resets=given.resets)[0]

    def packed(module: nn.Module, x: Tensor, given: Given) -> Tensor:
        done = module(pack_padded_sequence(x, given.known, enforce_sorted=False))[0]  # pyright: ignore[reportArgumentType]
        return pad_packed_sequence(done)[0]

    found = {"triton": work(layer("triton"), own), "torch": work(layer("torch"), own)}
    found["cudnn"] = work(reference, lambda module, x, given: module(x)[0])
    if case.lengths == "differing":
        found["packed"] = work(reference, packed)
    return found


def error(case: Case) -> float:
    """|triton - definition| / |definition| over outputs and gradients of a few steps, in float64 there."""
    ours, _, more = CELLS[case.cell]
    small = Case(**asdict(case) | {"T": min(case.T, 20)})
    given, results = inputs(small, 9), []
    torch.manual_seed(1)
    first = ours(case.D, case.H, **more).to(DTYPES[case.dtype])
    for device, dtype, backend in ((DEVICE, DTYPES[case.dtype], "triton"), ("cpu", torch.float64, "naive")):
        module = ours(case.D, case.H, **more, backend=backend).to(device, dtype)
        module.load_state_dict(first.state_dict())
        x = given.x.detach().to(device, dtype).requires_grad_()
        lengths = None if given.lengths is None else given.lengths.to(device)
        y, _ = module(x, lengths=lengths, resets=None if given.resets is None else given.resets.to(device))
        y.backward(given.dy.to(device, dtype))
        results.append([t.detach().double().cpu() for t in (y, x.grad, *(p.grad for p in module.parameters()))])
    return max(float((a - b).norm() / b.norm().clamp(min=1e-9)) for a, b in zip(*results, strict=True))


def milliseconds(work: Callable[[], object]) -> float:
    """By device events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def median(work: Callable[[], object], rounds: int = 20) -> float:
    for _ in range(3):
        work()
    return statistics.median(milliseconds(work) for _ in range(rounds))


def hardware(dtype: str) -> dict[str, float]:
    """Milliseconds of a smallest step; a millisecond's bytes of a copy (read and written) and flops of a product."""
    times = []
    for T in (512, 2048):
        case = Case("rnn", dtype, "equal", "inference", 1, T, 16, 16)
        side, given = sides(case)["triton"], inputs(case, 0)
        times.append(median(lambda side=side, given=given: side(given)))
    source = torch.empty(1 << 28, dtype=torch.int8, device=DEVICE)
    target = torch.empty_like(source)
    a, b = (torch.randn(4096, 4096, device=DEVICE, dtype=DTYPES[dtype]) for _ in range(2))
    return {
        "step": (times[1] - times[0]) / 1536,
        "bytes": 2 * source.numel() / median(lambda: target.copy_(source)),
        "flops": 2 * 4096**3 / median(lambda: a @ b),
    }


def floor(case: Case, found: dict[str, float]) -> float:
    """Milliseconds, as the head of this file has it."""
    gates, size = {"lstm": 4, "gru": 3, "rnn": 1}[case.cell], DTYPES[case.dtype].itemsize
    times = 3 if case.mode == "training" else 1
    flops = 2 * case.T * case.B * gates * case.H * (case.D + case.H) * times
    each = (case.D + case.H * (1 + gates * (times > 1))) * size * (2 if times > 1 else 1)
    chain = case.T * found["step"] * (2 if times > 1 else 1)
    return max(chain, flops / found["flops"], case.T * case.B * each / found["bytes"])


def measured(case: Case, rounds: int) -> dict[str, Any]:
    """Times and ratios."""
    every, sets = sides(case), [inputs(case, seed) for seed in range(SETS)]
    for side, given in itertools.product(every.values(), sets):
        side(given)
    torch.cuda.synchronize()
    names, times = list(every), {name: [] for name in every}
    for number in range(rounds):
        given = sets[number % SETS]
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times[name].append(milliseconds(lambda name=name, given=given: every[name](given)))
    ratios = {}
    for name in names[1:]:
        found = sorted(other / own for other, own in zip(times[name], times["triton"], strict=True))
        ratios[name] = {"median": statistics.median(found), "quartiles": [found[rounds // 4], found[3 * rounds // 4]]}
    return {"milliseconds": times, "times_as_long": ratios}


def driver() -> str:
    """The version of NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--lengths", nargs="+", default=["differing", "equal", "resets"])
    parser.add_argument("--modes", nargs="+", default=["training", "inference"])
    parser.add_argument("--shapes", nargs="+", default=["x".join(map(str, s)) for s in SHAPES])
    parser.add_argument("--out", default=default_out("gpu_layers"))
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device")
    began = time.monotonic()
    import triton

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    result = about(shlex.join(["python", "benchmarks/gpu_layers.py", *sys.argv[1:]]))
    result["hardware"] = torch.cuda.get_device_name()
    result["versions"] |= {
        "triton": triton.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver(),
    }
    result |= {"floors": {}, "cases": []}
    shapes = [tuple(map(int, s.split("x"))) for s in given.shapes]
    for mode, shape, dtype, lengths, cell in itertools.product(
        given.modes, shapes, given.dtypes, given.lengths, given.cells
    ):
        if time.monotonic() - began > 60 * given.minutes:
            print("time is up; the cases that follow were not run")
            break
        case = Case(cell, dtype, lengths, mode, *shape)
        row: dict[str, Any] = asdict(case)
        try:
            if dtype not in result["floors"]:
                result["floors"][dtype] = hardware(dtype)
            row["error"] = error(case)
            row["floor"] = floor(case, result["floors"][dtype])
            if row["error"] > TOLERANCE[dtype]:
                raise ArithmeticError(f"{row['error']:.1e} off the definition")
            row |= measured(case, given.rounds)
            own = statistics.median(row["milliseconds"]["triton"])
            said = ", ".join(f"{n} {r['median']:.2f}" for n, r in row["times_as_long"].items())
            print(f"{case}: {own:.2f} ms, floor {row['floor']:.2f}; {said}; {row['error']:.1e} off", flush=True)
        except (torch.cuda.OutOfMemoryError, ArithmeticError) as why:
            row["failed"] = str(why)
            print(f"{case}: not timed: {why}", flush=True)
            torch.cuda.empty_cache()
        result["cases"].append(row)
        Path(given.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
