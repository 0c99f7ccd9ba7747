"""Make optimizers and learning-rate schedules from the options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from unroll.training.options import TrainingOptions


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter] | Iterable[dict[str, Any]],
    options: TrainingOptions,
    *,
    fused: bool = True,
) -> Optimizer:
    """Make the optimizer chosen in the options.

    Args:
        parameters: parameters to train, or parameter groups ("params" and "lr", see `unroll.training.layerwise`);
            weight decay applies to all of them, biases included, as in `torch.optim`.
        options: optimizer, learning_rate, momentum, weight_decay.
        fused: update all weights in one pass over memory where their dtype allows it (rmsprop has no such form).
    """
    given = list(parameters)
    groups = [g for g in given if isinstance(g, dict)] or [{"params": given}]
    trained = [{**g, "params": [p for p in g["params"] if p.requires_grad]} for g in groups]
    every = [p for g in trained for p in g["params"]]
    fused = fused and all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in every)
    rate, decay = options.learning_rate, options.weight_decay
    if options.optimizer == "sgd":
        momentum = 0.9 if options.momentum is None else options.momentum
        return SGD(trained, lr=rate, momentum=momentum, weight_decay=decay, fused=fused)
    if options.optimizer == "rmsprop":
        return RMSprop(trained, lr=rate, momentum=options.momentum or 0.0, weight_decay=decay)
    kind = Adam if options.optimizer == "adam" else AdamW
    return kind(trained, lr=rate, weight_decay=decay, fused=fused)


def make_schedule(
    optimizer: Optimizer,
    options: TrainingOptions,
    per_epoch: int,
    total: int,
    *,
    better: Literal["min", "max"],
    spent: Callable[[], float] = lambda: 0.0,
) -> LRScheduler | ReduceLROnPlateau | None:
    """Make the learning-rate schedule chosen in the options; `None` is a constant rate.

    All but the plateau are stepped after every optimizer step; the plateau is stepped with the monitored
    value after every epoch.

    Args:
        optimizer: the optimizer whose learning rate is scheduled; all groups are scaled by the same factor.
        options: schedule, warmup_share, schedule_gamma, schedule_every.
        per_epoch: steps of an epoch.
        total: steps of the whole training.
        better: whether a lower ("min") or a higher ("max") monitored value is better.
        spent: the share of the time for the training that is over; cosine goes by it where it is ahead of the steps.
    """
    gamma = 0.5 if options.schedule_gamma is None else options.schedule_gamma
    match options.schedule:
        case "step":
            return StepLR(optimizer, step_size=(options.schedule_every or 1) * per_epoch, gamma=gamma)
        case "plateau":
            # torch's patience counts the epochs that are let pass before the one that lowers the rate
            wait = (options.schedule_every or 2) - 1
            return ReduceLROnPlateau(optimizer, mode=better, factor=gamma, patience=wait, threshold=0.0)
        case "onecycle":
            share = 0.3 if options.warmup_share is None else options.warmup_share
            # OneCycleLR divides by the length of each phase, so that the shortest rise is one step
            share = min(max(share, 2.0 / total), 1.0 - 1.0 / total) if total > 3 else 0.5
            # the momentum stays what was asked for
            return OneCycleLR(
                optimizer,
                max_lr=[group["lr"] for group in optimizer.param_groups],
                total_steps=max(total, 2) + 1,
                pct_start=share,
                cycle_momentum=False,
            )
        case "warmup":
            share = 0.1 if options.warmup_share is None else options.warmup_share
            return LambdaLR(optimizer, _rise(round(share * total)))
        case "cosine":
            return LambdaLR(optimizer, _rise_and_fall(round((options.warmup_share or 0.0) * total), total, spent))
    return None


def depends_on_length(options: TrainingOptions) -> bool:
    """Whether the schedule spans the whole training, so that the length cannot change later."""
    return options.schedule in ("cosine", "warmup", "onecycle")


def total_steps(options: TrainingOptions, per_epoch: int) -> int:
    """Return the maximal number of steps of the whole training."""
    steps = options.epochs * per_epoch
    return min(steps, options.max_steps) if options.max_steps else steps


def _rise(rise: int) -> Callable[[int], float]:
    """Linear warmup: min(1, (n + 1) / rise) for step n, counted from 0."""
    return lambda n: min(1.0, (n + 1) / rise) if rise else 1.0


def _rise_and_fall(rise: int, total: int, spent: Callable[[], float]) -> Callable[[int], float]:
    """Cosine annealing with warmup: linear over `rise` steps, then (1 + cos(pi u)) / 2 with u from 0 to 1.

    u is the share of the steps that are over, or of the time, whichever is the more.
    """

    def factor(n: int) -> float:
        if n < rise:
            return (n + 1) / rise
        share = max((n - rise) / max(1, total - rise), spent())
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))

    return factor
