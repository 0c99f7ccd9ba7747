"""Speed of the backend `triton` on a GPU beside `torch.nn` on cuDNN, and beside what the hardware allows.

    python benchmarks/gpu_layers.py [--minutes N] [--rounds N] [--cells LIST] [--dtypes LIST] [--lengths LIST]
        [--modes LIST] [--shapes LIST] [--out FILE]

Every combination of cell, dtype, lengths, mode and shape (B, T, D, H) is a case; the most telling come first, and
after `--minutes` no other is begun. Lengths: `equal`; `differing`, uniform in 10 to 100 % of T, the longest row having
T; `resets`, equal with one reset a row on average. Modes: `inference`; `training`, forward and backward to the
parameters and the input with the loss on all outputs, without an optimizer.

Sides: `triton`; `cudnn`, which is `torch.nn` on the padded batch (on `resets`, which it cannot serve: without them);
`packed`, `torch.nn` on a packed sequence, with what packing and unpacking takes; `torch`, unroll's layer on cuDNN,
which is what `auto` takes where `triton` is not known to be faster. Before they are timed, `triton` must give the
numbers of the definition in float64 on the CPU for a part of the batch.

Each round times every side once by device events, in rotating order, on the next of several input sets; ratios are
taken within a round, and the median and the quartiles are written. The limit of a case is

    input product + T * (one dependent step) or bytes / bandwidth, whichever is more,

from measurements in the same run: the product by torch.mm, a step by one row of the smallest layer, the bandwidth by a
copy. Bytes: inputs, outputs and kept gates once each, and in training once more with their gradients.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
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
    resets: Tensor | None


def inputs(case: Case, seed: int) -> Given:
    """Random ones of the case's kind."""
    g = torch.Generator().manual_seed(seed)
    dtype = DTYPES[case.dtype]
    x = torch.randn(case.T, case.B, case.D, generator=g).to(DEVICE, dtype)
    dy = torch.randn(case.T, case.B, case.H, generator=g).to(DEVICE, dtype)
    lengths = resets = None
    if case.lengths == "differing":
        lengths = torch.randint(max(1, case.T // 10), case.T + 1, (case.B,), generator=g)
        lengths[0] = case.T
    if case.lengths == "resets":
        resets = (torch.rand(case.T, case.B, generator=g) < 1 / case.T).to(DEVICE)
    return Given(x, dy, lengths, resets)


Side = Callable[[Given], None]


def sides(case: Case) -> dict[str, Side]:
    """Each does the case's work once."""
    ours, theirs, more = CELLS[case.cell]
    dtype, training = DTYPES[case.dtype], case.mode == "training"
    torch.manual_seed(0)
    reference = theirs(case.D, case.H, **more).to(DEVICE, dtype)

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
        on_device = None if given.lengths is None else given.lengths.to(DEVICE)
        return module(x, lengths=on_device, resets=given.resets)[0]

    def packed(module: nn.Module, x: Tensor, given: Given) -> Tensor:
        done = module(pack_padded_sequence(x, given.lengths, enforce_sorted=False))[0]  # pyright: ignore[reportArgumentType]
        return pad_packed_sequence(done)[0]

    found = {"triton": work(layer("triton"), own), "torch": work(layer("torch"), own)}
    found["cudnn"] = work(reference, lambda module, x, given: module(x)[0])
    if case.lengths == "differing":
        found["packed"] = work(reference, packed)
    return found


def error(case: Case) -> float:
    """|triton - definition| / |definition| over outputs and gradients of a few rows and steps, in float64 there."""
    ours, _, more = CELLS[case.cell]
    small = Case(**asdict(case) | {"B": min(case.B, 20), "T": min(case.T, 40)})
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
    """Milliseconds of one dependent step, and bytes a millisecond of a copy (read and written)."""
    times = []
    for T in (512, 2048):
        case = Case("rnn", dtype, "equal", "inference", 1, T, 16, 16)
        side, given = sides(case)["triton"], inputs(case, 0)
        times.append(median(lambda side=side, given=given: side(given)))
    source = torch.empty(1 << 28, dtype=torch.int8, device=DEVICE)
    target = torch.empty_like(source)
    return {"step": (times[1] - times[0]) / 1536, "bytes": 2 * source.numel() / median(lambda: target.copy_(source))}


def limit(case: Case, found: dict[str, float]) -> float:
    """Milliseconds that the case takes at least."""
    gates, size = {"lstm": 4, "gru": 3, "rnn": 1}[case.cell], DTYPES[case.dtype].itemsize
    a = torch.randn(case.T * case.B, case.D, device=DEVICE, dtype=DTYPES[case.dtype])
    w = torch.randn(gates * case.H, case.D, device=DEVICE, dtype=DTYPES[case.dtype])
    product = median(lambda: a @ w.t(), 5)
    passes = 3 if case.mode == "training" else 1
    each = (case.D + case.H * (1 + gates * (case.mode == "training"))) * size
    moved = case.T * case.B * each * (2 if case.mode == "training" else 1)
    steps = case.T * found["step"] * (2 if case.mode == "training" else 1)
    return passes * product + max(steps, moved / found["bytes"])


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

    result = about("python benchmarks/gpu_layers.py")
    result["hardware"] = torch.cuda.get_device_name()
    result["versions"] |= {
        "triton": triton.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }
    result |= {"limits": {}, "cases": []}
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
            if dtype not in result["limits"]:
                result["limits"][dtype] = hardware(dtype)
            row["error"] = error(case)
            row["limit"] = limit(case, result["limits"][dtype])
            row |= measured(case, given.rounds)
            own = statistics.median(row["milliseconds"]["triton"])
            said = ", ".join(f"{n} {r['median']:.2f}" for n, r in row["times_as_long"].items())
            wrong = "" if row["error"] <= TOLERANCE[dtype] else "  WRONG"
            print(
                f"{case}: {own:.2f} ms, limit {row['limit']:.2f}; {said}; error {row['error']:.1e}{wrong}", flush=True
            )
        except torch.cuda.OutOfMemoryError as why:
            row["failed"] = str(why)
            torch.cuda.empty_cache()
        result["cases"].append(row)
        Path(given.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
