"""Rounding error of `unroll`'s float32 layers beside `torch.nn`'s, both against `torch.nn` in float64.

    python benchmarks/rounding_error.py [--isa avx512|avx2|portable] [--hidden-size LIST] [--out FILE]

Every layer and hidden size H is run forward and backward on the same inputs, weights and gradient of the loss: B rows
of T steps of H features. For the outputs y and every gradient the error is the root of the mean square of the
difference from float64, relative to the root mean square of the float64 values. Printed is how many times
`torch.nn`'s error `unroll`'s is: below 1, `unroll` is nearer to the exact value.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import unroll
from environment import ISAS, about, default_out, hold_to
from unroll.ops.cpu.extension import kernels

LAYERS = ("RNN", "LSTM", "GRU")
SIZES = {64: (100, 32), 256: (100, 32), 1024: (30, 16), 4096: (6, 8)}
"""T and B for each H."""


def results(layer: nn.Module, x: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """The outputs and every gradient, in float64."""
    x = x.detach().clone().requires_grad_()
    y, _ = layer(x)
    y.backward(gradient)
    found = {"y": y.detach(), "dx": x.grad}
    for name, parameter in layer.named_parameters():
        found["d" + name.removesuffix("_l0")] = parameter.grad
    return {name: value.double() for name, value in found.items() if value is not None}


def error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


def measured(name: str, H: int) -> dict[str, Any]:
    T, B = SIZES[H]
    torch.manual_seed(0)
    theirs = getattr(nn, name)(H, H)
    ours = getattr(unroll, name)(H, H, backend="cpu")
    exact = getattr(nn, name)(H, H).double()
    ours.load_state_dict(theirs.state_dict())
    exact.load_state_dict(theirs.state_dict())
    x, gradient = torch.randn(T, B, H), torch.randn(T, B, H) / (T * B)
    wanted = results(exact, x.double(), gradient.double())
    errors = {}
    for side, layer in (("unroll", ours), ("torch.nn", theirs)):
        errors[side] = {k: error(v, wanted[k]) for k, v in results(layer, x, gradient).items()}
    ratio = {k: errors["unroll"][k] / errors["torch.nn"][k] for k in wanted}
    return {"layer": name, "H": H, "T": T, "B": B, "errors": errors, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", choices=ISAS, help="instruction set that both sides are held to; default: the best")
    parser.add_argument("--hidden-size", default=",".join(map(str, SIZES)), help="default: %(default)s")
    parser.add_argument("--out", help="default: benchmarks/results/DATE-rounding_error-ISA.json")
    given = parser.parse_args()
    hold_to(given.isa)
    isa = kernels.instruction_set()
    rows = []
    for name in LAYERS:
        for H in map(int, given.hidden.split(",")):
            rows.append(measured(name, H))
            ratios = "  ".join(f"{k} {v:.2f}" for k, v in rows[-1]["ratio"].items())
            print(f"{isa}, {name}, H {H}: {ratios}", flush=True)
    command = f"python benchmarks/rounding_error.py --isa {isa}"
    worst = max(v for row in rows for v in row["ratio"].values())
    print(f"largest: {worst:.2f}")
    out = given.out or default_out(f"rounding_error-{isa}")
    Path(out).write_text(json.dumps({**about(command), "isa": isa, "largest": worst, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
