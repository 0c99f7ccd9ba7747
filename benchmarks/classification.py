"""Speed of the recipe `recipes/imdb-lstm.yaml` against the same model written plainly in PyTorch.

    python benchmarks/classification.py [--data DIR] [--rounds N] [--only TEXT] [--out FILE]

The other side is `nn.Embedding`, `nn.LSTM`, the last output and `nn.Linear`, with Adam, in three ways of handling
length: padded to the longest review of all, padded to the longest of each batch, and packed; each as PyTorch stands
and with `torch.set_flush_denormal(True)`. All sides train on the same tokens of the same batches' worth of reviews
in one process. Each round times a sample of batches of every side, interleaved; an epoch is the sample's time per
review times the number of reviews. The plain sides take rows in random order, as a plain loop would.

Beside that, the recipe itself on the backends `auto` and `torch`, in turns on the very same batches.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from environment import ROOT, about, default_out
from unroll.commands.fit import parser
from unroll.data.batches import Batches
from unroll.data.ragged import RaggedDataset
from unroll.layers.recurrent import RecurrentLayer
from unroll.ops.denormals import flush_subnormals
from unroll.tasks.base import DataPaths
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.task import ClassificationTask


class Plain(nn.Module):
    """The textbook's model: embedding, two LSTM layers, the last output, a linear layer."""

    def __init__(self, vocabulary: int, packed: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 128, padding_idx=0)
        self.lstm = nn.LSTM(128, 128, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(128, 2)
        self.packed = packed

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits (32, 2)."""
        embedded = self.embedding(x)
        if self.packed:
            packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            _, (h, _) = self.lstm(packed)
            return self.head(h[-1])
        y, _ = self.lstm(embedded)
        return self.head(y[:, -1])


def plain_batches(examples: RaggedDataset, width: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of 32 rows in random order, padded in front to `width` steps (0: to the longest of the batch)."""
    order = np.random.default_rng(seed).permutation(len(examples))
    for start in range(0, len(order) - 31, 32):
        rows = order[start : start + 32]
        lengths = examples.lengths[rows]
        steps = width or int(lengths.max())
        x = np.zeros((32, steps), dtype=np.int64)
        for i, sequence in enumerate(examples.take(rows)):
            x[i, : len(sequence)] = sequence
        yield torch.from_numpy(x), torch.from_numpy(lengths), torch.from_numpy(examples.targets[rows])


def front_padded(batches: Iterator[tuple[Tensor, Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The padding in front, so that the last output is the last word's, as the textbooks have it."""
    for x, lengths, target in batches:
        shifted = torch.zeros_like(x)
        for i, n in enumerate(lengths.tolist()):
            shifted[i, x.size(1) - n :] = x[i, :n]
        yield shifted, lengths, target


def trainer(model: nn.Module) -> Callable[[Tensor, Tensor, Tensor], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    model.train()

    def step(x: Tensor, lengths: Tensor, target: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x, lengths), target).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def timed(step: Callable[..., None], batches: Iterator, count: int) -> float:
    """Seconds per row over `count` batches."""
    rows, seconds = 0, 0.0
    for _ in range(count):
        x, lengths, target = next(batches)
        start = time.perf_counter()
        step(x, lengths, target)
        seconds += time.perf_counter() - start
        rows += len(x)
    return seconds / rows


def in_turns(first: Callable[..., None], second: Callable[..., None], batches: list[tuple]) -> tuple[float, float]:
    """Seconds that each takes for all batches."""
    seconds = [0.0, 0.0]
    for number, batch in enumerate(batches):
        for i in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            (first, second)[i](*batch)
            seconds[i] += time.perf_counter() - start
    return seconds[0], seconds[1]


def ours(batches: Batches) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    epoch = 0
    while True:
        batches.set_epoch(epoch)
        for batch in batches:
            yield batch.x, batch.lengths, batch.target
        epoch += 1


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("UNROLL_DATA", str(ROOT.parent / "shared" / "data"))
    arguments.add_argument("--data", default=default, help="folder that holds imdb/train.jsonl.xz")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--out", default=default_out("classification"))
    arguments.add_argument("--only", default="", help="measure only the sides with this in their names")
    given = arguments.parse_args()

    train = str(Path(given.data) / "imdb" / "train.jsonl.xz")
    recipe = parser("classification").read([train, "--out", "-", "--config", str(ROOT / "recipes" / "imdb-lstm.yaml")])
    options = {k: v for k, v in vars(recipe).items() if k not in ("data", "test", "valid", "out", "overwrite")}
    settings = ClassificationSettings.from_flat(options)
    prepared = ClassificationTask.prepare("classification", settings, DataPaths([train]), print)
    encoder = prepared.task.encoder

    # The textbook keeps every word of a review; so do the plain sides that pad to the longest of all.
    whole = ClassificationTask.prepare(
        "classification", ClassificationSettings.from_flat(options | {"max_length": 0}), DataPaths([train]), print
    ).train
    same = prepared.train
    torch.manual_seed(0)
    model = prepared.task.network()
    step = trainer(model)

    def ours_step(x: Tensor, lengths: Tensor, target: Tensor) -> None:
        with flush_subnormals():
            step(x, lengths, target)

    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, RecurrentLayer):
            module.backend = "torch"
    other_step = trainer(other)

    def torch_step(x: Tensor, lengths: Tensor, target: Tensor) -> None:
        with flush_subnormals():
            other_step(x, lengths, target)

    longest = int(whole.lengths.max())
    padded_all = trainer(Plain(encoder.size, packed=False))
    padded_batch = trainer(Plain(encoder.size, packed=False))
    packed = trainer(Plain(encoder.size, packed=True))
    sides: dict[str, tuple[Callable[..., None], Callable[[int], Iterator], int]] = {
        "padded to the longest of all, all words": (
            padded_all, lambda seed: front_padded(plain_batches(whole, longest, seed)), 1),
        "padded to the longest of the batch, all words": (
            padded_batch, lambda seed: front_padded(plain_batches(whole, 0, seed)), 3),
        "packed, all words": (packed, lambda seed: plain_batches(whole, 0, seed), 2),
        "padded to the longest of the batch, the recipe's tokens": (
            padded_batch, lambda seed: front_padded(plain_batches(same, 0, seed)), 4),
        "packed, the recipe's tokens": (packed, lambda seed: plain_batches(same, 0, seed), 2),
    }  # fmt: skip
    sides = {name: side for name, side in sides.items() if given.only in name}
    stream = ours(Batches(same, settings.batch, shuffle=True, seed=0))
    timed(ours_step, stream, 3)
    timed(torch_step, stream, 3)
    seconds: dict[str, list[float]] = {"unroll": []}
    turns: list[tuple[float, float]] = []
    for number in range(given.rounds):
        turns.append(in_turns(ours_step, torch_step, [next(stream) for _ in range(30)]))
        seconds["unroll"].append(timed(ours_step, stream, 40))
        for name, (side, make, count) in sides.items():
            for flush in (False, True):
                torch.set_flush_denormal(flush)
                key = f"{name}{', flush_denormal' if flush else ''}"
                seconds.setdefault(key, []).append(timed(side, make(number), count))
                torch.set_flush_denormal(False)
                seconds["unroll"].append(timed(ours_step, stream, 10))
        print(f"round {number + 1} of {given.rounds}")

    base = statistics.median(seconds["unroll"])
    rows = len(prepared.train)
    print(f"\n{'side':<75} {'s/epoch':>9} {'ratio':>7}  spread of the ratio")
    table = {}
    for name, values in seconds.items():
        ratios = sorted(v / base for v in values)
        table[name] = {
            "seconds_per_row": values,
            "seconds_per_epoch": statistics.median(values) * rows,
            "ratio": statistics.median(ratios),
            "least": ratios[0],
            "most": ratios[-1],
        }
        t = table[name]
        print(f"{name:<75} {t['seconds_per_epoch']:>9.1f} {t['ratio']:>7.2f}  {t['least']:.2f} to {t['most']:.2f}")
    ratios = sorted(theirs / own for own, theirs in turns)
    middle = statistics.median(ratios)
    print(f"on the same batches backend torch takes {middle:.2f} times as long, {ratios[0]:.2f} to {ratios[-1]:.2f}")
    result = {
        "same batches": {
            "auto": [t[0] for t in turns],
            "torch": [t[1] for t in turns],
            "ratio": statistics.median(ratios),
        },
        **about("python benchmarks/classification.py"),
        "rows": rows,
        "longest_review": longest,
        "mean_tokens": {"recipe": float(same.lengths.mean()), "all words": float(whole.lengths.mean())},
        "sides": table,
    }
    Path(given.out).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
