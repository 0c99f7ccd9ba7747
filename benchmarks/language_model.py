"""Two ways to train one language model, in turns on the very same windows.

    python benchmarks/language_model.py awd      # recipes/ptb-awd.yaml beside the same recipe in plain PyTorch
    python benchmarks/language_model.py softmax  # recipes/wikitext2.yaml, its adaptive softmax beside a full one

awd: the other side is `nn.Embedding`, three `nn.LSTM`, dropped recurrent weights, locked dropout, tied vectors,
activation penalties and SGD whose rate is scaled by the window's length, after Merity, Keskar & Socher 2018
("Regularizing and optimizing LSTM language models"). There the rate is scaled, and with it weight decay; here the loss,
before the gradient is clipped. softmax: the other side is the recipe with `softmax: full`.

Neither side has a schedule, an average of its weights, checkpoints or a watch: what is compared are steps of the recipe
at its learning rate. Both have what is no part of the question: the same windows, subnormal numbers flushed, an
optimizer in one pass (`fused`), and a softmax that keeps its scores for the gradient, however many they are.

Both sides train in one process, each from weights of its own. After every epoch (or `--steps` windows of it)
each is measured on the validation part, every token once. Given: losses, perplexities, and how many times longer the
second side takes for a step.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from environment import ROOT, about, default_out
from unroll.commands.fit import parser
from unroll.data.text.bptt import BPTTBatch, BPTTBatches
from unroll.layers import softmax as adaptive_softmax
from unroll.ops.denormals import flush_subnormals
from unroll.tasks.base import DataPaths, TrainingData
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.task import LanguageTask
from unroll.training.optim import make_optimizer

States = list[tuple[Tensor, Tensor]]


def locked(x: Tensor, share: float, training: bool) -> Tensor:
    """One mask (1, B, E) for all steps of (T, B, E)."""
    if not training:
        return x
    return x * (x.new_empty(1, *x.shape[1:]).bernoulli_(1 - share) / (1 - share))


class Plain(nn.Module):
    """The paper's model: 400 -> 1150 -> 1150 -> 400, tied."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 400)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.lstms = nn.ModuleList([nn.LSTM(400, 1150), nn.LSTM(1150, 1150), nn.LSTM(1150, 400)])
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor, states: States | None) -> tuple[Tensor, Tensor, Tensor, States]:
        """Logits (T, B, V), the last layer's outputs after and before dropout, and the states."""
        table = self.embedding.weight
        if self.training:
            table = table * (table.new_empty(len(table), 1).bernoulli_(0.9) / 0.9)
        y = locked(nn.functional.embedding(x, table), 0.4, self.training)
        after, raw = [], y
        for i, lstm in enumerate(self.lstms):
            assert isinstance(lstm, nn.LSTM)  # noqa: S101
            zero = y.new_zeros(1, x.shape[1], lstm.hidden_size)
            recurrent = nn.functional.dropout(lstm.weight_hh_l0, 0.5, self.training)
            weights = [lstm.weight_ih_l0, recurrent, lstm.bias_ih_l0, lstm.bias_hh_l0]
            state = (zero, zero) if states is None else states[i]
            raw, h, c = torch.lstm(y, state, weights, True, 1, 0.0, self.training, False, False)
            after.append((h.detach(), c.detach()))
            y = locked(raw, 0.25 if i < 2 else 0.4, self.training)
        return nn.functional.linear(y, self.embedding.weight, self.bias), y, raw, after


class PlainSide:
    """Its training loop."""

    def __init__(self, vocabulary: int) -> None:
        self.model = Plain(vocabulary)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=30.0, weight_decay=1.2e-6, fused=True)
        self.states: States | None = None

    def step(self, batch: BPTTBatch, nominal: float) -> float:
        """Train on a window of about `nominal` steps; the mean loss of its tokens, without the penalties."""
        self.model.train()
        nll, y, raw = self._nll(batch)
        self.optimizer.zero_grad()
        (nll + 2 * y.square().mean() + (raw[1:] - raw[:-1]).square().mean()).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.25)
        self.optimizer.param_groups[0]["lr"] = 30.0 * batch.x.shape[1] / nominal
        self.optimizer.step()
        return nll.item()

    @torch.no_grad()
    def perplexity(self, windows: BPTTBatches) -> float:
        """Of every token, in evaluation mode."""
        self.model.eval()
        kept, nats, tokens = self.states, 0.0, 0
        for batch in windows:
            nats += self._nll(batch)[0].item() * batch.total
            tokens += batch.total
        self.states = kept
        return math.exp(nats / tokens)

    def _nll(self, batch: BPTTBatch) -> tuple[Tensor, Tensor, Tensor]:
        assert batch.target is not None  # noqa: S101
        states = None if batch.first else self.states
        logits, y, raw, self.states = self.model(batch.x.t(), states)
        logits, target = logits.flatten(0, 1), batch.target.t().flatten()
        if not batch.whole:
            there = batch.counted().t().flatten()
            logits, target = logits[there], target[there]
        return nn.functional.cross_entropy(logits, target), y, raw


class OurSide:
    """The recipe's model, objective and optimizer."""

    def __init__(self, task: LanguageTask) -> None:
        self.model, self.objective = task.network(), task.objective()
        self.optimizer = make_optimizer(self.model.parameters(), task.settings.training)
        self.clip = task.settings.training.max_grad_norm

    def step(self, batch: BPTTBatch, nominal: float) -> float:
        """Train on a window; the mean loss of its tokens, without the penalties."""
        self.model.train()
        scored = self.objective.output(self.model, batch)
        self.optimizer.zero_grad()
        self.objective.loss(scored, batch).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return scored.nll.detach().mean().item()

    @torch.no_grad()
    def perplexity(self, windows: BPTTBatches) -> float:
        """Of every token, in evaluation mode; the objective carries that state apart from the training's."""
        self.model.eval()
        nats, tokens = 0.0, 0
        for batch in windows:
            scored = self.objective.output(self.model, batch)
            nats += float((scored.nll * scored.counted).sum())
            tokens += batch.total
        return math.exp(nats / tokens)


def timed(step: Callable[[BPTTBatch, float], float], batch: BPTTBatch, nominal: float) -> tuple[float, float]:
    """Loss and seconds."""
    with flush_subnormals():
        start = time.perf_counter()
        loss = step(batch, nominal)
        return loss, time.perf_counter() - start


def prepared(folder: Path, recipe: str, train: str, valid: str, **changed: Any) -> tuple[LanguageTask, TrainingData]:
    """The task of a recipe, with some options changed, and its data."""
    files = [str(folder / train), "--out", "-", "--config", str(ROOT / "recipes" / recipe)]
    given = vars(parser("language-model").read(files))
    options = {k: v for k, v in given.items() if k not in ("data", "test", "valid", "out", "overwrite")} | changed
    settings = LanguageSettings.from_flat(options)
    made = LanguageTask.prepare("language-model", settings, DataPaths([files[0]], [str(folder / valid)]), print)
    assert isinstance(made.task, LanguageTask)  # noqa: S101
    return made.task, made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=("awd", "softmax"))
    default = os.environ.get("UNROLL_DATA", str(ROOT.parent / "shared" / "data"))
    arguments.add_argument("--data", default=default, help="folder that holds ptb/ and wikitext2/")
    arguments.add_argument("--epochs", type=int, default=1)
    arguments.add_argument("--steps", type=int, default=0, help="windows of an epoch, at most; 0: all")
    arguments.add_argument("--threads", type=int, default=0)
    arguments.add_argument("--out", default="")
    given = arguments.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)

    adaptive_softmax._BLOCK = sys.maxsize
    torch.manual_seed(0)
    if given.what == "awd":
        task, made = prepared(Path(given.data) / "ptb", "ptb-awd.yaml", "ptb.train.txt.gz", "ptb.valid.txt.gz")
        sides: dict[str, Any] = {"unroll": OurSide(task), "plain": PlainSide(task.encoder.size)}
    else:
        files = (Path(given.data) / "wikitext2", "wikitext2.yaml", "wiki.train.tokens.gz", "wiki.valid.tokens.gz")
        task, made = prepared(*files)
        full, _ = prepared(*files, softmax="full")
        sides = {"adaptive": OurSide(task), "full": OurSide(full)}
    first, second = sides
    for name, side in sides.items():
        print(f"{name}: {sum(p.numel() for p in side.model.parameters()):,} parameters")
    windows, valid = task.batches(made.train, training=True), BPTTBatches(made.valid, 10, 70)

    said = [f"--{name} {value}" for name in ("epochs", "steps", "threads")
            if (value := getattr(given, name)) != arguments.get_default(name)]  # fmt: skip
    result = about(" ".join(["python", "benchmarks/language_model.py", given.what, *said])) | {"epochs": []}
    out = Path(given.out or default_out(f"language_model_{given.what}"))
    for epoch in range(given.epochs):
        windows.set_epoch(epoch)
        steps = min(given.steps or len(windows), len(windows))
        losses: dict[str, list[float]] = {name: [] for name in sides}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number, batch in zip(range(steps), windows, strict=False):
            for name in (first, second) if number % 2 else (second, first):
                loss, took = timed(sides[name].step, batch, windows.mean)
                losses[name].append(loss)
                seconds[name].append(took)
            if (number + 1) % 50 == 0:
                shown = ", ".join(
                    f"{name} {sum(values[-50:]) / 50:.3f} ({statistics.median(seconds[name]):.2f} s)"
                    for name, values in losses.items()
                )
                print(f"epoch {epoch + 1}, step {number + 1} of {steps}: {shown}", flush=True)
        ratios = sorted(b / a for b, a in zip(seconds[second], seconds[first], strict=True))
        row = {
            "steps": steps,
            "train_loss": {name: [round(sum(v[i : i + 50]) / len(v[i : i + 50]), 4) for i in range(0, len(v), 50)]
                           for name, v in losses.items()},
            "valid_perplexity": {name: side.perplexity(valid) for name, side in sides.items()},
            "median_seconds_per_step": {name: statistics.median(v) for name, v in seconds.items()},
            f"{second}_takes_times_as_long": {
                "median": statistics.median(ratios),
                "quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
            },
        }  # fmt: skip
        result["epochs"].append(row)
        out.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(row["valid_perplexity"]), json.dumps(row[f"{second}_takes_times_as_long"]), flush=True)


if __name__ == "__main__":
    main()
