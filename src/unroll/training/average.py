"""An exponential moving average of the weights, validated and kept in the weights' place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """a <- d a + (1 - d) w after every step, with d = min(decay, (1 + n) / (10 + n)) after n steps.

    The smaller d of the first steps forgets the random start. Buffers are not averaged: the model's own
    stand beside the averaged weights.

    Args:
        model: whose trained parameters are averaged.
        decay: the share of the old average that is kept.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._names, self._weights = list(trained), list(trained.values())
        self._average = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the average."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for a, w in zip(self._average, self._weights, strict=True):
            a.lerp_(w.detach(), 1.0 - decay)

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Each averaged parameter's name and its average."""
        return zip(self._names, self._average, strict=True)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the context the model holds the average; after it, its own weights again."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights and the average."""
        for p, a in zip(self._weights, self._average, strict=True):
            kept = p.detach().clone()
            p.copy_(a)
            a.copy_(kept)

    def state_dict(self) -> dict[str, int | list[Tensor]]:
        """What the average depends on from here."""
        return {"steps": self.steps, "average": list(self._average)}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Go on from `state_dict()`."""
        self.steps = state["steps"]
        for a, b in zip(self._average, state["average"], strict=True):
            a.copy_(b)
