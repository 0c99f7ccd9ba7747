"""An average of the weights, validated and kept in the weights' place."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unroll.training.options import TrainingOptions


class WeightAverage(ABC):
    """An average of a model's trained parameters, taken in step by step.

    Buffers are not averaged: the model's own stand beside the averaged weights. While nothing has been averaged the
    model's own weights stand for the average.

    Args:
        model: whose trained parameters are averaged.
    """

    def __init__(self, model: nn.Module) -> None:
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._names, self._weights = list(trained), list(trained.values())
        self._average: list[Tensor] = []
        self.steps = 0

    @abstractmethod
    def update(self) -> None:
        """Take the weights of one more step into the average."""

    def validated(self, value: float) -> float | None:
        """Take in the watched value of a validation; if it starts the averaging, the value it fell behind."""
        return None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Each averaged parameter's name and its average; nothing while nothing has been averaged."""
        return zip(self._names, self._average, strict=True) if self._average else iter(())

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
        if not self._average:
            return
        for p, a in zip(self._weights, self._average, strict=True):
            kept = p.detach().clone()
            p.copy_(a)
            a.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """What the average depends on from here."""
        return {"steps": self.steps, "average": list(self._average)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: it is not of this model.
        """
        self.steps = state["steps"]
        self._begin()
        for a, b in zip(self._average, state["average"], strict=True):
            if a.shape != b.shape:
                raise ValueError(f"an average of shape {list(b.shape)} cannot be that of weights {list(a.shape)}")
            a.copy_(b)

    def _begin(self) -> None:
        self._average = [p.detach().clone() for p in self._weights]


class MovingAverage(WeightAverage):
    """a <- d a + (1 - d) w after every step, with d = min(decay, (1 + n) / (10 + n)) after n steps.

    The smaller d of the first steps forgets the random start.

    Args:
        model: whose trained parameters are averaged.
        decay: the share of the old average that is kept.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay
        self._begin()

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the average."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for a, w in zip(self._average, self._weights, strict=True):
            a.lerp_(w.detach(), 1.0 - decay)


class TriggeredMean(WeightAverage):
    """The mean of the weights after every step since a trigger: a <- a + (w - a) / n at the n-th of them.

    The trigger is the first validation whose value is worse than the best of all earlier ones but the last `patience`:
    the weights then wander about a minimum, and their mean is nearer to it than they are. Polyak & Juditsky, 1992,
    "Acceleration of stochastic approximation by averaging"; the trigger is that of NT-ASGD in Merity, Keskar & Socher,
    2018, "Regularizing and optimizing LSTM language models".

    Args:
        model: whose trained parameters are averaged.
        patience: how many validations are let off; 0 averages from the first step on.
        better: which way the watched value improves.
    """

    def __init__(self, model: nn.Module, patience: int, better: Literal["min", "max"]) -> None:
        super().__init__(model)
        self.patience = patience
        self.started = patience == 0
        self._sign = 1.0 if better == "max" else -1.0
        self._values: list[float] = []

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of one more step into the mean, once it has been triggered."""
        if not self.started:
            return
        self.steps += 1
        if self.steps == 1:
            self._begin()
            return
        for a, w in zip(self._average, self._weights, strict=True):
            a.lerp_(w.detach(), 1.0 / self.steps)

    def validated(self, value: float) -> float | None:
        """Take in the watched value of a validation; if it is the trigger, the value it fell behind."""
        if self.started:
            return None
        earlier = self._values[: -self.patience]
        self._values.append(value)
        if not earlier:
            return None
        best = max(earlier, key=lambda v: self._sign * v)
        self.started = self._sign * value < self._sign * best
        return best if self.started else None

    def state_dict(self) -> dict[str, Any]:
        """What the mean and its trigger depend on from here."""
        return {**super().state_dict(), "started": self.started, "values": list(self._values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises:
            ValueError: it is not of this model.
        """
        self.started, self._values = bool(state["started"]), [float(v) for v in state["values"]]
        if state["steps"]:
            super().load_state_dict(state)
        else:
            self.steps, self._average = 0, []


def make_average(model: nn.Module, options: TrainingOptions, better: Literal["min", "max"]) -> WeightAverage | None:
    """The average that the options name; `None` where the weights themselves are kept."""
    if options.average == "ema":
        return MovingAverage(model, 0.999 if options.ema_decay is None else options.ema_decay)
    if options.average == "asgd":
        return TriggeredMean(model, 5 if options.average_patience is None else options.average_patience, better)
    return None
