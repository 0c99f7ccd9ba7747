"""Options of training: every setting of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from unroll.errors import OptionError
from unroll.options import check_range, check_types

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Schedule = Literal["constant", "step", "cosine", "warmup", "plateau", "onecycle"]
Average = Literal["none", "ema", "asgd"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
Accelerator = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class TrainingOptions:
    """The settings of one training run.

    An option that only some choices use is `None` until it is set; setting it together with a choice that does
    not use it is an error, so that no setting is silently ignored.

    Raises:
        OptionError: a value that cannot be used, or an option that the chosen optimizer, schedule or
            average does not use.
    """

    epochs: int = 10
    """Passes over the training data, at most."""

    max_steps: int = 0
    """Optimizer steps, at most; whichever of epochs and steps comes first ends the training (0: no limit)."""

    max_time: str = ""
    """Time for the training, at most, such as 90s, 5m or 2h; a cosine schedule ends with it, too ("": no limit)."""

    optimizer: Optimizer = "adam"
    """How gradients become changes of the weights: adam, adamw (weight decay kept apart), sgd or rmsprop."""

    learning_rate: float = 0.001
    """The step size; schedules scale it (the peak for warmup, cosine and onecycle)."""

    momentum: float | None = None
    """Momentum of sgd (default 0.9) and rmsprop (default 0)."""

    weight_decay: float = 0.0
    """Pull of the weights towards zero: in the gradient (adam, sgd, rmsprop) or apart from it (adamw)."""

    layer_decay: float = 1.0
    """The learning rate of each layer is this times that of the layer above it, towards the input (1: all the
    same)."""

    unfreeze_every: int = 0
    """Gradual unfreezing: train only the head for this many epochs, then unfreeze one more layer each time (0: train
    everything from the start)."""

    schedule: Schedule = "constant"
    """The learning rate over time: constant; step (times schedule_gamma every schedule_every epochs); cosine
    (down to zero over the whole run); warmup (rising, then constant); plateau (times schedule_gamma when the
    watched value has not improved for schedule_every epochs); onecycle (up, then far below the start)."""

    warmup_share: float | None = None
    """Share of all steps over which the rate rises to its full value: warmup (default 0.1), cosine
    (default 0) and onecycle (default 0.3, above 0)."""

    schedule_gamma: float | None = None
    """Factor applied to the learning rate by the schedules step and plateau (default 0.5)."""

    schedule_every: int | None = None
    """Epochs between two drops (step; default 1), or without improvement before one (plateau; default 2)."""

    max_grad_norm: float = 5.0
    """Scale the gradient down to this global norm when it is longer (0: never)."""

    max_grad_value: float = 0.0
    """Limit every number of the gradient to this size, before max_grad_norm (0: never)."""

    patience: int = 0
    """Stop after this many epochs without improvement of the watched value (0: train to the end)."""

    min_delta: float = 0.0
    """The smallest change of the watched value that patience counts as an improvement."""

    monitor: str = ""
    """The value that chooses the best weights and steers patience and plateau: a metric's name or "loss",
    both on the validation data ("": the task's own choice)."""

    average: Average = "none"
    """Validate and keep an average of the weights: ema is the exponential moving average over the steps; sgd the
    mean over the steps since the watched value ceased to improve."""

    ema_decay: float | None = None
    """How much of the old average ema keeps at each step (default 0.999; smaller in the first steps)."""

    average_patience: int | None = None
    """sgd averages from the end of the first validation on that is worse than the best of all before it but the last
    so many (default 5; 0: from the first step)."""

    precision: Precision = "auto"
    """Number format of the computation; those of 16 bits keep 32 where that is needed (mixed precision). auto
    takes bfloat16 on CUDA hardware that has it, and float32 elsewhere."""

    accelerator: Accelerator = "auto"
    """Where to compute: cpu, gpu, or whichever of the two is there."""

    devices: int = 1
    """Processes on this machine, each with its own device and its own part of every batch."""

    nodes: int = 1
    """Machines that train together; start the same command on each of them."""

    checkpoint_every: int = 0
    """Write the checkpoint to resume from every so many steps (0: not by steps); the end of an epoch writes
    it too, unless that was done less than 2 seconds ago."""

    checkpoint_minutes: float = 5.0
    """Write the checkpoint to resume from when the newest is older than this (0: not by time)."""

    tensorboard: bool = False
    """Also write the curves for TensorBoard (needs the extra unroll[tensorboard])."""

    threads: int = 0
    """Threads PyTorch computes with on the CPU (0: as many as it chooses)."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "epochs", "devices", "nodes", "schedule_every", least=1)
        check_range(self, "max_steps", "patience", "average_patience", "checkpoint_every", "unfreeze_every", least=0)
        check_range(self, "threads", least=0, below=4097)
        check_range(self, "weight_decay", "max_grad_norm", "max_grad_value", "min_delta", "checkpoint_minutes", least=0)
        check_range(self, "learning_rate", "layer_decay", above=0)
        check_range(self, "momentum", "warmup_share", least=0, below=1)
        check_range(self, "schedule_gamma", "ema_decay", above=0, below=1)
        self._used("momentum", "optimizer", "sgd", "rmsprop")
        self._used("warmup_share", "schedule", "warmup", "cosine", "onecycle")
        self._used("schedule_gamma", "schedule", "step", "plateau")
        self._used("schedule_every", "schedule", "step", "plateau")
        self._used("ema_decay", "average", "ema")
        self._used("average_patience", "average", "asgd")
        if self.layer_decay > 1:
            raise OptionError(f"layer_decay is {self.layer_decay:g}; it must be above 0 and at most 1")
        if self.schedule == "onecycle" and self.warmup_share == 0:
            raise OptionError("warmup_share is 0, but schedule 'onecycle' begins with a rise; it must be above 0")
        if self.max_time and self.schedule == "onecycle":
            raise OptionError("schedule 'onecycle' spans a number of steps that max_time may cut short; take 'cosine'")
        seconds_of(self.max_time)
        if self.min_delta and not self.patience:
            raise OptionError(f"min_delta is {self.min_delta:g}, but only patience uses it, and patience is off")

    def _used(self, name: str, by: str, *users: str) -> None:
        chosen = getattr(self, by)
        if getattr(self, name) is not None and chosen not in users:
            which = " or ".join(repr(u) for u in users)
            raise OptionError(f"{name} is set, but {by} {chosen!r} does not use it, only {which}")


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(max_time: str) -> float:
    """Convert a time such as "90s", "5m" or "1.5h" to seconds; "" is infinite.

    Raises:
        OptionError: it is not a number above 0 with a unit.
    """
    if not max_time:
        return math.inf
    number, unit = max_time[:-1], max_time[-1]
    try:
        seconds = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise OptionError(f"max_time is {max_time!r:.40}; give a number with s, m or h, such as 90s, 5m or 1.5h")
    return seconds
