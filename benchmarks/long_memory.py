"""Can a recurrence remember over hundreds of steps? The adding problem, copy memory, and a noisy sine.

    python benchmarks/long_memory.py              # all, about an hour and a half
    python benchmarks/long_memory.py --tasks sine

adding  T 600, two features a step: a number from U(0, 1) and a mark, set at one step of each half; the target is the
        sum of the two marked numbers. Always answering 1 gives a mean squared error of 1/6. (Hochreiter & Schmidhuber
        1997; published at T 600: GRU 5.3e-5, LSTM 0.164, Bai et al. 2018.)
copy    T 500: ten symbols out of eight, T - 1 blanks, a mark, then ten steps at which the symbols must be given back.
        Loss: cross-entropy over all T + 20 steps; without a memory 10 ln 8 / (T + 20). An LSTM with orthogonal
        recurrent matrices and biases that remember (`remember`, Tallec & Ollivier 2018; `init="orthogonal"` sets the
        input matrices and the other biases too); copy-torch: one that starts with torch.nn's weights, on the same data,
        by the same optimizer for as many steps. Training ends early where the loss is below 0.001. Inputs, blank and
        mark too, are one-hot vectors times 20, which is not the published task: in trials the gates learnt slowly from
        ones. The rate falls to zero in the last third of the steps. One seed.
sine    100 noisy samples of a sine of period 25: trained on 75, the last period forecast from its own answers.
        Root mean squared error against the clean sine, beside repeating the last value and the last period.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import unroll
from environment import about, default_out
from unroll.ops.denormals import flush_subnormals

SYMBOLS, KEPT, COPY_STEPS = 8, 10, 500


class Reader(nn.Module):
    """A recurrence and a linear head; the head reads the last step alone, or every step."""

    def __init__(self, recurrent: nn.Module, hidden: int, outputs: int, *, last: bool) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.head = nn.Linear(hidden, outputs)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """The head's output, (B, K) or (B, T, K)."""
        y, _ = self.recurrent(x)
        return self.head(y[:, -1] if self.last else y)


def adding(rows: int, steps: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Features (B, T, 2), target (B, 1)."""
    values = torch.rand(rows, steps, generator=random)
    marks = torch.zeros(rows, steps)
    half = steps // 2
    first = torch.randint(half, (rows,), generator=random)
    second = half + torch.randint(steps - half, (rows,), generator=random)
    marks[torch.arange(rows), first] = marks[torch.arange(rows), second] = 1.0
    return torch.stack([values, marks], -1), (values * marks).sum(1, keepdim=True)


def copying(rows: int, steps: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Twenty times one-hot (B, T + 20, 10), target (B, T + 20): symbols are 1 ... 8, 0 is the blank, 9 the mark."""
    kept = torch.randint(1, SYMBOLS + 1, (rows, KEPT), generator=random)
    x = torch.zeros(rows, steps + 2 * KEPT, dtype=torch.long)
    x[:, :KEPT] = kept
    x[:, steps + KEPT - 1] = SYMBOLS + 1
    target = torch.zeros_like(x)
    target[:, -KEPT:] = kept
    return 20.0 * functional.one_hot(x, SYMBOLS + 2), target


def cosine(done: float) -> float:
    """From one to zero along a cosine."""
    return (1 + math.cos(math.pi * done)) / 2


def last_third(done: float) -> float:
    """One, and in the last third straight to zero."""
    return min(1.0, 3 * (1 - done))


def train(
    model: nn.Module,
    batch: Callable[[], tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    rate: float,
    clip: float,
    *,
    falling: Callable[[float], float] = cosine,
    solved: float = 0.0,
    say: str = "",
) -> list[float]:
    """The loss at every step of a training on new rows at each; `rate` is multiplied by `falling(share of steps done)`.

    It ends early where the mean over the last 100 steps is below `solved`.
    """
    made = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda step: falling(step / steps))
    losses = []
    with flush_subnormals():
        for step in range(steps):
            x, target = batch()
            value = loss(model(x), target)
            made.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            made.step()
            schedule.step()
            losses.append(value.item())
            if (step + 1) % 250 == 0:
                print(f"  {say} step {step + 1}: {sum(losses[-100:]) / 100:.3g}", flush=True)
            if len(losses) >= 100 and sum(losses[-100:]) / 100 < solved:
                break
    return losses


def thinned(losses: list[float]) -> list[float]:
    """Means over a hundredth of the training each."""
    size = max(1, len(losses) // 100)
    return [float(f"{sum(losses[i : i + size]) / len(losses[i : i + size]):.4g}") for i in range(0, len(losses), size)]


def run_adding(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for seed in range(given.seeds):
        torch.manual_seed(seed)
        random = torch.Generator().manual_seed(1000 + seed)
        layer = unroll.GRU(2, 64, batch_first=True, init="orthogonal")
        model, began = Reader(layer, 64, 1, last=True), time.monotonic()
        losses = train(
            model,
            lambda random=random: adding(32, 600, random),
            functional.mse_loss,
            given.adding_steps,
            0.003,
            1.0,
            say=f"adding, GRU, seed {seed}",
        )
        x, target = adding(2000, 600, torch.Generator().manual_seed(77))
        with torch.no_grad():
            error = functional.mse_loss(model(x), target).item()
        yield {
            "task": "adding",
            "model": "GRU 64, orthogonal",
            "seed": seed,
            "steps": len(losses),
            "test_mse": error,
            "minutes": (time.monotonic() - began) / 60,
            "losses": thinned(losses),
        }


def run_copy(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    remember = COPY_STEPS + 2 * KEPT
    yield copy_row(given, f"LSTM 256, orthogonal, remember {remember}", init="orthogonal", chrono_init=remember)


def run_copy_torch(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield copy_row(given, "LSTM 256, as torch.nn starts it")


def copy_row(given: argparse.Namespace, name: str, **start: Any) -> dict[str, Any]:
    """One row of results, of an LSTM that starts like this."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(1)
    layer = unroll.LSTM(SYMBOLS + 2, 256, batch_first=True, **start)
    model, began = Reader(layer, 256, SYMBOLS + 1, last=False), time.monotonic()

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output.flatten(0, 1), target.flatten())

    losses = train(
        model,
        lambda: copying(32, COPY_STEPS, random),
        loss,
        given.copy_steps,
        0.005,
        1.0,
        falling=last_third,
        solved=1e-3,
        say=f"copy, {name}",
    )
    x, target = copying(256, COPY_STEPS, torch.Generator().manual_seed(77))
    with torch.no_grad():
        output = model(x)
    return {
        "task": "copy",
        "model": name,
        "steps": len(losses),
        "test_loss": loss(output, target).item(),
        "symbols_right": (output[:, -KEPT:].argmax(-1) == target[:, -KEPT:]).double().mean().item(),
        "without_memory": 10 * math.log(8) / (COPY_STEPS + 2 * KEPT),
        "minutes": (time.monotonic() - began) / 60,
        "losses": thinned(losses),
    }


def run_sine(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    period, total = 25, 100
    for seed in range(given.seeds):
        torch.manual_seed(seed)
        clean = torch.sin(2 * math.pi * torch.arange(float(total)) / period)
        noisy = clean + 0.1 * torch.randn(total, generator=torch.Generator().manual_seed(seed))
        seen = noisy[: total - period]
        layer = unroll.GRU(1, 32, batch_first=True, output_dropout=0.1)
        model = Reader(layer, 32, 1, last=False)
        x, target = seen[None, :-1, None], seen[None, 1:, None]
        losses = train(model, lambda x=x, target=target: (x, target), functional.mse_loss, 600, 0.01, 1.0)
        model.eval()
        answers = []
        with torch.no_grad():
            y, state = layer(seen[None, :, None])
            value = model.head(y[:, -1])
            for _ in range(period):
                answers.append(value.item())
                y_t, state = layer.step(value, state)
                value = model.head(y_t)
        truth = clean[-period:]

        def error(guess: Tensor, truth: Tensor = truth) -> float:
            return (guess - truth).square().mean().sqrt().item()

        yield {
            "task": "sine",
            "model": "GRU 32",
            "seed": seed,
            "noise": 0.1,
            "rmse": error(torch.tensor(answers)),
            "rmse_last_value": error(seen[-1].expand(period)),
            "rmse_last_period": error(seen[-period:]),
            "losses": thinned(losses),
        }


RUNS = {"sine": run_sine, "adding": run_adding, "copy": run_copy, "copy-torch": run_copy_torch}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--adding-steps", type=int, default=5000)
    parser.add_argument("--copy-steps", type=int, default=7000)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", default=default_out("long_memory"))
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    said = ["python", "benchmarks/long_memory.py"]
    for name in ("tasks", "seeds", "adding_steps", "copy_steps", "threads"):
        if (value := getattr(given, name)) != parser.get_default(name):
            said += ["--" + name.replace("_", "-"), *(value if isinstance(value, list) else [str(value)])]
    result = about(shlex.join(said)) | {"runs": []}
    for task in given.tasks:
        for row in RUNS[task](given):
            result["runs"].append(row)
            shown = {k: v for k, v in row.items() if k != "losses"}
            print(
                ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items()), flush=True
            )
            Path(given.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
