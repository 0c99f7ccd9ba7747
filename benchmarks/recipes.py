"""Speed of recipes beside the same models with `torch.nn`'s layers.

    python benchmarks/recipes.py ptb|etth1|imdb [--isa avx512|avx2|portable] [--steps N] [--data DIR] [--out FILE]

ptb: `recipes/ptb.yaml`, a language model. etth1: `recipes/etth1.yaml`, a forecaster. imdb: `recipes/imdb-lstm.yaml`, a
classifier of texts of unequal lengths, which `torch.nn` gets packed and, as another side, padded to the longest of the
batch, where it computes other numbers.

Both sides have the same weights at the start, the same batches in turns, loss, optimizer and clipping, in one process.
The other side's layers are `torch.nn`'s own (`unroll.layers.twins`), and subnormal numbers are as PyTorch leaves them.
Locked dropout, which `torch.nn` has not, is off on both sides. Given: how many times longer a step takes there, the
median and the quartiles over the steps, and what that makes of an epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from environment import ISAS, ROOT, about, default_out, hold_to
from unroll.commands.fit import parser
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.twins import scriptable
from unroll.ops.denormals import flush_subnormals
from unroll.tasks.base import DataPaths
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.task import ClassificationTask
from unroll.tasks.forecasting.task import ForecastingSettings, ForecastingTask
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.task import LanguageTask
from unroll.training.optim import make_optimizer

RECIPES: dict[str, tuple[str, Any, Any, str, str]] = {
    "ptb": ("language-model", LanguageTask, LanguageSettings, "ptb/ptb.train.txt.gz", "ptb.yaml"),
    "etth1": ("forecasting", ForecastingTask, ForecastingSettings, "ett/ETTh1.csv.gz", "etth1.yaml"),
    "imdb": ("classification", ClassificationTask, ClassificationSettings, "imdb/train.jsonl.xz", "imdb-lstm.yaml"),
}
NOT_OPTIONS = ("data", "test", "valid", "out", "overwrite")


def prepared(name: str, folder: Path) -> Any:
    """The recipe's task and its training part."""
    task, kind, settings, data, recipe = RECIPES[name]
    read = parser(task).read([str(folder / data), "--out", "-", "--config", str(ROOT / "recipes" / recipe)])
    options = {k: v for k, v in vars(read).items() if k not in NOT_OPTIONS}
    return kind.prepare(task, settings.from_flat(options), DataPaths([str(folder / data)]), print)


def plain(model: nn.Module, packed: bool) -> nn.Module:
    """A copy with `torch.nn`'s layers, which get rows of unequal lengths packed, or padded as they stand."""
    made = scriptable(model)
    for layer in made.modules():
        if isinstance(layer, nn.RNNBase):
            layer.forward = _called(layer, packed)
    return made


def _called(layer: nn.RNNBase, packed: bool) -> Callable[..., Any]:
    def forward(x: Any, hx: Any = None, *, lengths: Any = None, resets: Any = None) -> Any:
        if resets is not None:
            raise SystemExit("torch.nn has no resets")
        return type(layer).forward(layer, x, hx, lengths if packed else None)

    return forward


class Side:
    """A model with its optimizer."""

    def __init__(self, task: Any, model: nn.Module) -> None:
        self.model, self.objective = model.train(), task.objective()
        self.optimizer = make_optimizer(model.parameters(), task.settings.training)
        self.clip = task.settings.training.max_grad_norm

    def step(self, batch: Any) -> float:
        """Train on a batch; its loss."""
        loss = self.objective.loss(self.objective.output(self.model, batch), batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return float(loss.detach())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("recipe", choices=tuple(RECIPES))
    arguments.add_argument("--isa", choices=ISAS, help="instruction set that both sides are held to; default: the best")
    arguments.add_argument("--steps", type=int, default=60)
    default = os.environ.get("UNROLL_DATA", str(ROOT.parent / "shared" / "data"))
    arguments.add_argument("--data", default=default, help="folder of the data sets")
    arguments.add_argument("--out", help="default: benchmarks/results/DATE-recipe-RECIPE[-ISA].json")
    given = arguments.parse_args()
    hold_to(given.isa)

    made = prepared(given.recipe, Path(given.data))
    torch.manual_seed(0)
    model = made.task.network(made.train)
    for layer in model.modules():
        if isinstance(layer, RecurrentLayer):
            layer.input_dropout = layer.hidden_dropout = layer.output_dropout = 0.0
    sides = {"unroll": Side(made.task, model)}
    for name, packed in (("packed", True), ("padded", False)) if given.recipe == "imdb" else (("torch.nn", False),):
        sides[name] = Side(made.task, plain(model, packed))
    order = list(sides)
    batches = made.task.batches(made.train, training=True)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for number, batch in zip(range(given.steps + 2), batches, strict=False):
        for name in order[number % len(order) :] + order[: number % len(order)]:
            start = time.perf_counter()
            with flush_subnormals() if name == "unroll" else contextlib.nullcontext():
                loss = sides[name].step(batch)
            if number >= 2:
                seconds[name].append(time.perf_counter() - start)
                losses[name].append(loss)
    longer = {}
    for name in order[1:]:
        ratios = sorted(b / a for a, b in zip(seconds["unroll"], seconds[name], strict=True))
        middle, low, high = statistics.median(ratios), ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
        longer[name] = {"median": middle, "quartiles": [low, high]}
        print(f"{given.recipe}: {name} takes {middle:.2f} times as long ({low:.2f} to {high:.2f})")
    epoch = {name: statistics.median(v) * len(batches) for name, v in seconds.items()}
    loss = {name: sum(v) / len(v) for name, v in losses.items()}
    print(f"mean losses {loss}")
    tail = f"-{given.isa}" if given.isa else ""
    command = f"python benchmarks/recipes.py {given.recipe}" + (f" --isa {given.isa}" if given.isa else "")
    result = about(command) | {
        "steps": given.steps,
        "steps_in_an_epoch": len(batches),
        "seconds_in_an_epoch": epoch,
        "mean_loss": loss,
        "times_as_long": longer,
    }
    Path(given.out or default_out(f"recipe-{given.recipe}{tail}")).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
