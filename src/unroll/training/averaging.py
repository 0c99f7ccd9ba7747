"""Average the weights over the training steps; the average is validated and saved instead of the weights."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unroll.training.options import TrainingOptions


class WeightAverage(ABC):
    """Base class of weight averaging: a running average of a model's trained parameters.

    Buffers are not averaged: the model keeps its own. Until the averaging has started, the model's current weights
    serve as the average.

    Args:
        model: the model whose trained parameters are averaged.
    """

    def __init__(self, model: nn.Module) -> None:
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._names, self._weights = list(trained), list(trained.values())
        self._average: list[Tensor] = []
        self.steps = 0

    @abstractmethod
    def update(self) -> None:
        """Update the average with the weights after one more step."""

    def validated(self, value: float) -> float | None:
        """Record a validation's monitored value; if it starts the averaging, return the better earlier value."""
        return None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Iterate over (parameter name, average) pairs; empty until the averaging has started."""
        return zip(self._names, self._average, strict=True) if self._average else iter(())

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the average into the model within the context, and the model's own weights back after it."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Swap the model's weights and the average."""
        if not self._average:
            return
        for p, a in zip(self._weights, self._average, strict=True):
            kept = p.detach().clone()
            p.copy_(a)
            a.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to resume the averaging from."""
        return {"steps": self.steps, "average": list(self._average)}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict()` returned.

        Raises:
            ValueError: the state belongs to another model.
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
    """Exponential moving average: a <- d a + (1 - d) w, with d = min(decay, (1 + n) / (10 + n)) after n steps.

    The smaller d of the first steps reduces the weight of the random initialization.

    Args:
        model: the model whose trained parameters are averaged.
        decay: the share of the old average that is kept.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay
        self._begin()

    @torch.no_grad()
    def update(self) -> None:
        """Update the average with the weights after one more step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for a, w in zip(self._average, self._weights, strict=True):
            a.lerp_(w.detach(), 1.0 - decay)


class TriggeredMean(WeightAverage):
    """Averaged SGD with a trigger: a <- a + (w - a) / n at the n-th step after the trigger.

    The trigger is the first validation worse than the best of the earlier ones without the latest `patience`: the
    weights then oscillate around a minimum, and their mean is closer to it than they are. Polyak & Juditsky, 1992,
    "Acceleration of stochastic approximation by averaging"; the trigger is that of NT-ASGD in Merity, Keskar & Socher,
    2018, "Regularizing and optimizing LSTM language models".

    Args:
        model: the model whose trained parameters are averaged.
        patience: the latest validations left out of the comparison; 0 averages from the first step on.
        better: whether a lower ("min") or a higher ("max") monitored value is better.
    """

    def __init__(self, model: nn.Module, patience: int, better: Literal["min", "max"]) -> None:
        super().__init__(model)
        self.patience = patience
        self.started = patience == 0
        self._sign = 1.0 if better == "max" else -1.0
        self._values: list[float] = []

    @torch.no_grad()
    def update(self) -> None:
        """Update the mean with the weights after one more step, once averaging has been triggered."""
        if not self.started:
            return
        self.steps += 1
        if self.steps == 1:
            self._begin()
            return
        for a, w in zip(self._average, self._weights, strict=True):
            a.lerp_(w.detach(), 1.0 / self.steps)

    def validated(self, value: float) -> float | None:
        """Record a validation's monitored value; if it is the trigger, return the better earlier value."""
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
        """Return the state of the mean and of its trigger."""
        return {**super().state_dict(), "started": self.started, "values": list(self._values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict()` returned.

        Raises:
            ValueError: the state belongs to another model.
        """
        self.started, self._values = bool(state["started"]), [float(v) for v in state["values"]]
        if state["steps"]:
            super().load_state_dict(state)
        else:
            self.steps, self._average = 0, []


def make_average(model: nn.Module, options: TrainingOptions, better: Literal["min", "max"]) -> WeightAverage | None:
    """Make the weight average chosen in the options; `None` for no averaging."""
    if options.average == "ema":
        return MovingAverage(model, 0.999 if options.ema_decay is None else options.ema_decay)
    if options.average == "asgd":
        return TriggeredMean(model, 5 if options.average_patience is None else options.average_patience, better)
    return None
