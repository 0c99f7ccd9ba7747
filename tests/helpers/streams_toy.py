"""A toy language model over contiguous streams: its own kind of batch, a state carried from window to window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric, MetricCollection
from torchmetrics.text import Perplexity

from unroll.data.batches import Batch
from unroll.errors import RunError

WORDS = 11


@dataclass(frozen=True)
class Window(Batch):
    """Some steps of every stream; `first` is whether they are the first of an epoch, `weight` (B, T) of each target."""

    first: bool = False
    weight: Tensor | None = None

    counts: ClassVar[str] = "tokens"


class Windows:
    """Streams (B, N) cut into windows of `steps`; process number r has streams r, r + world, ..."""

    def __init__(self, tokens: np.ndarray, steps: int = 5, rank: int = 0, world: int = 1) -> None:
        self.tokens, self.steps, self.rank, self.world = tokens, steps, rank, world
        self.epoch = self.position = self._start = 0

    def __len__(self) -> int:
        return (self.tokens.shape[1] - 1) // self.steps

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.position, self._start = epoch, 0, 0

    def shard(self, rank: int, world: int) -> Windows:
        return Windows(self.tokens, self.steps, rank, world)

    def __iter__(self) -> Iterator[Window]:
        start, self._start = self._start, 0
        own = self.tokens[self.rank :: self.world]
        for at in range(start, len(self)):
            piece = torch.from_numpy(own[:, at * self.steps : (at + 1) * self.steps + 1])
            self.position = at + 1
            yield Window(
                x=piece[:, :-1],
                lengths=torch.full((len(own),), self.steps),
                target=piece[:, 1:],
                rows=torch.arange(self.rank, len(self.tokens), self.world),
                total=len(self.tokens) * self.steps,
                all_targets=None,
                first=at == 0,
                weight=torch.ones(len(own), self.steps),
            )

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position, "steps": self.steps}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if state["steps"] != self.steps:
            raise RunError(f"steps was {state['steps']}, now it is {self.steps}")
        self.epoch, self.position = state["epoch"], state["position"]
        self._start = self.position


class Speaker(nn.Module):
    """(logits (B, T, V), state) of tokens (B, T) and the state before them."""

    def __init__(self, dropout: float = 0.2, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(WORDS, 6)
            self.recurrent = nn.GRU(6, 8, batch_first=True)
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(8, WORDS)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        y, state = self.recurrent(self.embedding(x), state)
        return self.head(self.dropout(y)), state


class Carrying:
    """Cross-entropy over tokens with the state of the window before; `at` as in `ToyObjective`, for one stop."""

    monitor = ("perplexity", "min")

    def __init__(self, stop_at: int = 0, carries: bool = True) -> None:
        self.stop_at, self.carries = stop_at, carries
        self.calls = 0
        self.state: dict[bool, Tensor | None] = {True: None, False: None}

    def output(self, model: nn.Module, batch: Window) -> tuple[Tensor, Tensor]:
        before = None if batch.first else self.state[model.training]
        logits, state = model(batch.x, before)
        self.state[model.training] = state.detach()
        self.calls += model.training
        return logits, state

    def loss(self, output: tuple[Tensor, Tensor], batch: Window) -> Tensor:
        losses = functional.cross_entropy(output[0].transpose(1, 2), batch.target, reduction="none")
        return (losses * batch.weight).sum() / batch.total

    def metrics(self) -> MetricCollection:
        parts: dict[str, Metric] = {"perplexity": Perplexity()}
        return MetricCollection(parts)

    def update(self, metrics: MetricCollection, output: tuple[Tensor, Tensor], batch: Window) -> None:
        metrics.update(output[0], batch.target)

    def watched(self, output: tuple[Tensor, Tensor], batch: Window) -> tuple[Tensor, Tensor | None]:
        return output[0], batch.target

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state[True]} if self.carries else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.carries:
            self.state[True] = state["state"]


def streams(seed: int = 3) -> tuple[Windows, Windows]:
    """Four streams of 51 tokens that mostly count upwards, and four of 26 to validate on."""
    random = np.random.default_rng(seed)
    steps = random.choice([1, 1, 1, 4], (4, 77))
    tokens = steps.cumsum(1) % WORDS
    return Windows(tokens[:, :51]), Windows(tokens[:, 51:])
