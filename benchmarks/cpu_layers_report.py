"""What `cpu_layers.py` prints and concludes from the cases that it measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

Row = dict[str, Any]
ENOUGH = 0.95  # a ratio below it is listed: `unroll` is slower there than what a user could have instead
QUIET = 0.05  # of the machine, taken by others


def line(row: Row) -> str:
    """One case: the time of `unroll`, and how many times longer each other side takes."""
    ours = row["sides"]["unroll"]["median"]
    served = "+".join(u["backend"] for u in row["used"])
    parts = [f"{label(row):<61} {served:<6} {_time(ours):>10}"]
    for name, side in row["sides"].items():
        if name != "unroll":
            low, high = side["quartiles"]
            other = "*" if not side["same_numbers"] else ""
            parts.append(f"{name}{other} {side['ratio']:5.2f} {f'({low:.2f}-{high:.2f})':<13}")
    parts.append(f"{row['gflops']:5.1f} GFLOP/s {100 * row['share']:3.0f} %")
    return " | ".join(parts) + _mark(row)


def label(row: Row) -> str:
    direction = "one direction" if row["directions"] == 1 else "two directions"
    shape = "x".join(str(row[k]) for k in "BTDH")
    return f"{row['cell']}, {direction}, {row['mode']}, {row['lengths']}, {shape}"


def peer_line(row: Row) -> str:
    name = row["peer"] + (f" {label(row)}" if "cell" in row else "")
    if "skipped" in row:
        return f"{name}: skipped: {row['skipped']}"
    low, high = row["quartiles"]
    served = "+".join(row["used"])
    return f"{name:<77} {row['ratio']:.2f} ({low:.2f}-{high:.2f}) of the time of unroll ({served}){_mark(row)}"


def figures(rows: list[Row]) -> list[Row]:
    """Geometric means and smallest ratios of what is to be shown, of those cases that were measured."""
    grid = [r for r in rows if r["mode"] != "step"]
    steps = [r for r in rows if r["mode"] == "step"]

    def equal(mode: str, cell: str) -> Callable[[Row], bool]:
        return lambda r: r["mode"] == mode and r["lengths"] == "equal" and r["cell"] == cell

    def differing(mode: str, directions: tuple[int, ...] = (1, 2)) -> Callable[[Row], bool]:
        return lambda r: r["mode"] == mode and r["lengths"] == "differing" and r["directions"] in directions

    asked: list[tuple[str, Iterable[Row], Callable[[Row], bool], str]] = []
    for mode, name in (("training", "loss on all outputs"), ("training-last", "loss on the last state")):
        title = f"training, lengths differing, {name}"
        for side in ("packed", "padded", "padded, flushed"):
            asked.append((title, grid, differing(mode), side))
        asked.append((f"{title}, one direction", grid, differing(mode, (1,)), "padded"))
    for mode in ("training", "inference"):
        for cell in ("rnn", "gru", "lstm"):
            asked.append((f"{mode}, equal lengths, {cell}", grid, equal(mode, cell), "padded"))
    small = equal("inference", "lstm")
    asked.append(("inference, equal lengths, lstm, H <= 128", grid, lambda r: small(r) and r["H"] <= 128, "padded"))
    for B in sorted({r["B"] for r in steps}):
        for cell in ("lstm", "gru", "rnn"):
            for side in ("torch.nn", "torch.nn's cell"):
                asked.append((f"one step, B {B}, {cell}", steps, _is(B, cell), side))
    return [f for f in (_figure(*a) for a in asked) if f is not None]


def slowest(rows: list[Row]) -> tuple[Row | None, list[Row]]:
    """The smallest ratio in the grid, and all below `ENOUGH`."""
    ratios = [
        {"case": label(row), "side": name, "ratio": row["sides"][name]["ratio"]}
        for row in rows
        for name in ("padded", "packed")
        if row["mode"] != "step" and name in row["sides"]
    ]
    ratios.sort(key=lambda r: r["ratio"])
    return (ratios[0] if ratios else None), [r for r in ratios if r["ratio"] < ENOUGH]


def shares(rows: list[Row]) -> list[Row]:
    """Of the matrix rate: the large shapes' training."""
    return [
        {"case": label(r), "share": r["share"], "gflops": r["gflops"]}
        for r in rows
        if r["mode"] == "training" and r["lengths"] == "equal" and r["H"] >= 256 and r["B"] >= 32
    ]


def summary(result: Row) -> str:
    """What a reader wants at the end, from the result as it is stored."""
    lines = []
    if result["figures"]:
        lines += ["", f"{'how many times longer torch.nn takes':<78} {'geomean':>8} {'least':>7} {'cases':>6}"]
        for f in result["figures"]:
            name = f"{f['figure']}: {f['side']}"
            lines.append(f"{name:<78} {f['geomean']:>8.2f} {f['least']:>7.2f} {f['cases']:>6}")
    if result["least"] is not None:
        least = result["least"]
        lines += ["", f"smallest ratio of all: {least['ratio']:.2f}, {least['side']}: {least['case']}"]
        lines.append(f"below {ENOUGH}: {len(result['slower'])}")
        lines += [f"  {r['ratio']:.2f} {r['side']}: {r['case']}" for r in result["slower"]]
    if result["shares"]:
        lines += ["", f"share of the matrix rate ({result['matrix_gflops']:.0f} GFLOP/s), training, H >= 256, B >= 32"]
        lines += [f"  {100 * r['share']:.0f} % {r['case']}" for r in result["shares"]]
    if result["memory"]:
        lines += ["", f"peak memory of training an LSTM, {result['memory'][0]['shape']}"]
        lines += [f"  {_memory(m)}" for m in result["memory"]]
    disturbed = sum(_disturbed(r) for r in result["cases"])
    if disturbed:
        lines += ["", f"! {disturbed} of {len(result['cases'])} cases were disturbed: not fit to be quoted"]
    if any("*" in line(r) for r in result["cases"]):
        lines += ["", "* other numbers: PyTorch's reverse direction starts in the padding"]
    return "\n".join(lines)


def _disturbed(row: Row) -> bool:
    return row["others"] is not None and row["others"] > QUIET


def _mark(row: Row) -> str:
    return f" | ! others took {100 * row['others']:.0f} % of the machine" if _disturbed(row) else ""


def _is(B: int, cell: str) -> Callable[[Row], bool]:
    return lambda r: r["B"] == B and r["cell"] == cell


def _figure(name: str, rows: Iterable[Row], keep: Callable[[Row], bool], side: str) -> Row | None:
    ratios = [r["sides"][side]["ratio"] for r in rows if keep(r) and side in r["sides"]]
    if not ratios:
        return None
    geomean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return {"figure": name, "side": side, "geomean": geomean, "least": min(ratios), "cases": len(ratios)}


def _memory(row: Row) -> str:
    if "skipped" in row:
        return f"{row['side']}: skipped: {row['skipped']}"
    return f"{row['side']}: {row['bytes'] / 2**20:.0f} MiB {'+'.join(row['used'])}".rstrip()


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.1f} us"
