"""Check the options against the task, the data and the hardware before the first training step."""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch

from unroll.errors import OptionError, nearest
from unroll.training.distributed import environment, launched_outside
from unroll.training.objective import Objective
from unroll.training.options import TrainingOptions

Monitor = tuple[str, Literal["min", "max"]]


def check(objective: Objective, options: TrainingOptions, *, has_valid: bool) -> Monitor:
    """Check the options before training; return the monitored value that chooses the best weights.

    Raises:
        OptionError: options that do not fit the task, the data, the hardware or the installed packages.
    """
    monitor = _monitor(objective, has_valid, options)
    _check_hardware(options)
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise OptionError("tensorboard is on, but the package is not installed: pip install 'unroll[tensorboard]'")
    if (options.devices > 1 or options.nodes > 1) and not launched_outside():
        environment(options.devices, options.nodes)
    return monitor


def _monitor(objective: Objective, has_valid: bool, options: TrainingOptions) -> Monitor:
    if not has_valid:
        for name, used in (
            ("monitor", options.monitor),
            ("patience", options.patience),
            ("schedule 'plateau'", options.schedule == "plateau"),
            ("average 'asgd'", options.average == "asgd" and options.average_patience != 0),
        ):
            if used:
                raise OptionError(f"{name} needs validation data, and there is none")
    if not options.monitor:
        return objective.monitor
    if options.monitor == "loss":
        return "loss", "min"
    metrics = objective.metrics()
    known = [str(k) for k in metrics]
    if options.monitor not in known:
        raise OptionError(f"monitor is {options.monitor!r}{nearest(options.monitor, [*known, 'loss'])}")
    higher = metrics[options.monitor].higher_is_better
    if higher is None:
        raise OptionError(f"monitor is {options.monitor!r}, of which neither more nor less is better")
    return options.monitor, "max" if higher else "min"


def _check_hardware(options: TrainingOptions) -> None:
    if options.accelerator == "gpu":
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if gpus < options.devices:
            raise OptionError(f"devices is {options.devices} with accelerator 'gpu', but this machine has {gpus}")
    elif options.accelerator == "auto" and torch.cuda.is_available():
        if torch.cuda.device_count() < options.devices:
            raise OptionError(
                f"devices is {options.devices}, but there are {torch.cuda.device_count()} GPUs; "
                "set accelerator to 'cpu' to use processors"
            )
    elif options.precision == "float16":
        raise OptionError("precision 'float16' needs a GPU; on the CPU there are float32 and bfloat16")
