"""Train a model, from the first step or from a checkpoint."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from unroll.data.batches import BatchSource
from unroll.errors import OptionError, RunError
from unroll.ops.denormals import flush_subnormals
from unroll.training import checkpoints
from unroll.training.check import Monitor, check
from unroll.training.checkpointer import Checkpointer, load_best, put_weights
from unroll.training.console import Reporter
from unroll.training.distributed import is_main, launched_outside, run_processes
from unroll.training.environment import deterministic, silence, threads
from unroll.training.errors import Halt, Interrupted, halting
from unroll.training.lightning_module import TrainingModule
from unroll.training.objective import Objective
from unroll.training.optim import depends_on_length, total_steps
from unroll.training.options import TrainingOptions, seconds_of
from unroll.training.signals import StopRequest
from unroll.training.state import Feed, Stopped, TrainingState

_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
# what a resumed run may change: when to stop, what to write, how to compute the same numbers
_FREE = (
    *("epochs", "max_steps", "max_time", "patience", "min_delta", "checkpoint_every", "checkpoint_minutes"),
    *("tensorboard", "threads", "accelerator"),
)


@dataclass
class Outcome:
    """Result of a training.

    Attributes:
        history: one row per epoch, as in `history.csv`: epoch, step, seconds, learning_rate, gradient_norm,
            train_loss, and of the validation data valid_loss and valid_<metric>.
        monitor: the value that chose the best weights.
        best_epoch: the epoch, from 1, whose weights the model now holds.
        best_value: the monitored value there; `None` without validation data, when the last weights are kept.
        steps: optimizer steps taken.
        seconds: training time, including before a resume.
        stopped: "finished" (all epochs), "early" (patience), "steps", "time" or "cut" (by `conclude`).
        warnings: the warnings of the training diagnostics, each once.
    """

    history: list[dict[str, float]]
    monitor: str
    best_epoch: int
    best_value: float | None
    steps: int
    seconds: float
    stopped: Stopped
    warnings: list[str]


def fit(
    model: nn.Module,
    objective: Objective,
    train: BatchSource,
    valid: BatchSource | None,
    options: TrainingOptions,
    folder: Path | str,
    *,
    resume: bool = False,
    quiet: bool = False,
    seed: int = 0,
    identity: str = "",
) -> Outcome:
    """Train `model`; afterwards it holds the weights that were best on the validation data.

    Written under `folder`: `checkpoints/best` and `checkpoints/last` (safetensors and JSON), `history.csv`,
    `gradients.csv`, and `tensorboard/` if asked. The same model, data, options and seed give the same
    weights bit for bit, also when the training was stopped (at any moment and in any way) and resumed.
    PyTorch's random state and number of threads are restored afterwards.

    Args:
        model: any module that `objective.output` can call.
        objective: the loss and the metrics.
        train: the training data; each process takes a shard of it.
        valid: the validation data, which chooses the best weights; without it the last ones are kept.
        options: the training options.
        folder: the run folder; created if it does not exist.
        resume: resume from the last checkpoint in `folder`, if there is one; if False, an old one is removed.
        quiet: print nothing.
        seed: seed of the random numbers drawn in training, such as dropout's.
        identity: identifies the data and everything else that must not change, e.g. a hash of them; a run is only
            resumed with the identity that it was started with.

    Raises:
        OptionError: options that do not fit the task, the data or the hardware, or (resuming) the run.
        RunError: the folder cannot be written or the disk is full; or (resuming) the checkpoint is damaged or
            belongs to another model, or the run had another identity.
        TrainingError: a loss, a gradient or a weight is not finite. The checkpoints are those from before it;
            the message says what state the model's weights are in.
        Interrupted: the user stopped it, by Ctrl-C or SIGTERM.
    """
    folder = Path(folder)
    monitor = check(objective, options, has_valid=valid is not None)
    if not any(p.requires_grad for p in model.parameters()):
        raise OptionError("the model has no weights to train")
    arguments: dict[str, Any] = {
        "model": model,
        "objective": objective,
        "train": train,
        "valid": valid,
        "options": options,
        "folder": folder,
        "resume": resume,
        "quiet": quiet,
        "seed": seed,
        "identity": identity,
        "monitor": monitor,
    }
    if (options.devices > 1 or options.nodes > 1) and not launched_outside():

        def stop_at_once() -> None:
            raise Interrupted(0, 0, saved=False)

        outcome = run_processes(_work, arguments, options.devices, options.nodes, stop_at_once)
        if is_main():
            load_best(model, folder)
        return outcome
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=cuda), threads(options.threads):
        return _train(**arguments)


def _work(model: nn.Module, options: TrainingOptions, stopped: Callable[[], bool], **arguments: Any) -> Outcome:
    # weights that came from another process lie in memory shared with it and with the other ranks
    model = copy.deepcopy(model)
    share = max(1, (os.cpu_count() or 1) // options.devices)
    with threads(options.threads or share):
        return _train(model=model, options=options, stopped=stopped, **arguments)


def _train(
    model: nn.Module,
    objective: Objective,
    train: BatchSource,
    valid: BatchSource | None,
    options: TrainingOptions,
    folder: Path,
    resume: bool,
    quiet: bool,
    seed: int,
    identity: str,
    monitor: Monitor,
    stopped: Callable[[], bool] | None = None,
) -> Outcome:
    settings = {
        "options": {k: v for k, v in dataclasses.asdict(options).items() if k not in _FREE},
        "length": [options.epochs, options.max_steps] if depends_on_length(options) else None,
        "seed": seed,
        "monitor": list(monitor),
        "identity": identity,
    }
    keeper = Checkpointer(folder, options, settings, monitor[0])
    course, restored = TrainingState(), None
    if resume and checkpoints.exists(keeper.last):
        restored = checkpoints.load(keeper.last)
        course = _continue(restored, settings, model, options, folder)
        if course.stopped:
            load_best(model, folder)
            return _outcome(course, monitor)
    elif is_main():
        # else a run that dies early would be resumed from another run's checkpoint
        checkpoints.discard(keeper.last)
        checkpoints.discard(keeper.best)
    with halting(), silence(), contextlib.ExitStack() as stack:
        trainer = _trainer(options, folder, has_valid=valid is not None)
        rank, world = trainer.global_rank, trainer.world_size
        batches, valid_batches = train.shard(rank, world), None if valid is None else valid.shard(rank, world)
        if restored is not None:
            _restore_place(batches, restored, course, keeper.last)
            _check_world(restored, world, keeper.last)
        torch.manual_seed(seed + 1_000_003 * rank)
        quiet = quiet or not trainer.is_global_zero
        reporter = Reporter(total_steps(options, len(batches)), options.epochs, f"valid_{monitor[0]}", quiet=quiet)
        request = StopRequest(stopped)
        module = TrainingModule(
            model,
            objective,
            options,
            Feed(batches, course),
            has_valid=valid is not None,
            monitor=monitor,
            course=course,
            keeper=keeper,
            reporter=reporter,
            request=request,
            restored=restored,
        )
        stack.callback(module.layers.release)
        _start_at(trainer, course)

        def first() -> None:
            if not quiet:
                # a signal may come while a line is being printed, so past Python's own buffers
                os.write(2, b"\nstopping after this batch; Ctrl-C again stops at once\n")

        def second() -> None:
            raise Halt(course.epoch + 1, course.step, saved=False)

        if stopped is None:
            module.take_signals = stack.enter_context(request.listening(first, second))
        stack.callback(keeper.close)
        stack.callback(reporter.close)
        if torch.cuda.is_available() and options.accelerator != "cpu":
            stack.enter_context(deterministic())
        stack.enter_context(flush_subnormals())
        model.train()
        trainer.fit(module, Feed(batches, course), valid_batches if valid_batches is not None else [])
    if trainer.strategy.root_device.type != "cpu":
        model.cpu()
    return _outcome(course, monitor)


def conclude(
    model: nn.Module, objective: Objective, options: TrainingOptions, folder: Path, *, has_valid: bool
) -> Outcome:
    """End a stopped training: `model` gets its best weights so far, or its last where no epoch has ended.

    Raises:
        RunError: there is no checkpoint, it is damaged, or it belongs to another model.
    """
    monitor = check(objective, options, has_valid=has_valid)
    last, best = (folder / "checkpoints" / name for name in ("last", "best"))
    if not checkpoints.exists(last):
        raise RunError(f"{folder} has no checkpoint: nothing was trained; start it again with `unroll resume`")
    state = checkpoints.load(last)
    with checkpoints.restoring(last, "counters"):
        course = TrainingState.from_state(state["course"])
    if checkpoints.exists(best):
        load_best(model, folder)
    else:
        put_weights(model, state, folder)
    course.stopped = course.stopped or "cut"
    return _outcome(course, monitor)


def _outcome(course: TrainingState, monitor: Monitor) -> Outcome:
    return Outcome(
        history=course.history,
        monitor=monitor[0],
        best_epoch=course.best_epoch,
        best_value=course.best_value,
        steps=course.step,
        seconds=course.seconds,
        stopped=course.stopped,
        warnings=list(course.warnings.values()),
    )


def _continue(
    state: dict[str, Any], settings: dict[str, Any], model: nn.Module, options: TrainingOptions, folder: Path
) -> TrainingState:
    with checkpoints.restoring(folder, "settings"):
        was, course = state["settings"], TrainingState.from_state(state["course"])
        for name, value in settings["options"].items():
            if was["options"][name] != value:
                then = was["options"][name]
                raise OptionError(f"{name} was {then!r} in the run to resume, and cannot become {value!r}")
        for name in ("length", "seed", "monitor"):
            if was[name] != settings[name]:
                what = "epochs and steps (which the schedule is laid out over)" if name == "length" else name
                raise OptionError(f"{what} was {was[name]!r} in the run to resume, not {settings[name]!r}")
        if was["identity"] != settings["identity"]:
            raise RunError("the data or the options have changed since the run was started; it cannot go on exactly")
    put_weights(model, state, folder)
    longer = course.stopped == "finished" and options.epochs > course.epoch
    further = course.stopped == "steps" and (not options.max_steps or options.max_steps > course.step)
    patient = course.stopped == "early" and (not options.patience or options.patience > course.waited)
    slower = course.stopped == "time" and seconds_of(options.max_time) > course.seconds
    if longer or further or patient or slower:
        course.stopped = ""
    return course


def _restore_place(batches: BatchSource, state: dict[str, Any], course: TrainingState, folder: Path) -> None:
    """Restore the position in the data, which must agree with the counters.

    Raises:
        RunError: it does not agree.
    """
    with checkpoints.restoring(folder, "place in the data"):
        batches.load_state_dict(state["data"])
        place = batches.position if batches.epoch == course.epoch else 0
        if place != course.batch or course.batch >= len(batches):
            raise ValueError(f"batch {place} of the data is not batch {course.batch} of the counters")


def _check_world(state: dict[str, Any], world: int, folder: Path) -> None:
    with checkpoints.restoring(folder, "random state"):
        was = len(state["random"])
    if was != world:
        raise OptionError(f"the run was trained by {was} processes, and can only be resumed by as many")


def _start_at(trainer: Trainer, course: TrainingState) -> None:
    """Set Lightning's epoch counters to the checkpoint's epoch."""
    progress = trainer.fit_loop.epoch_progress.current
    progress.ready = progress.completed = course.epoch
    progress.started = progress.processed = course.epoch  # pyright: ignore[reportAttributeAccessIssue]


def _trainer(options: TrainingOptions, folder: Path, *, has_valid: bool) -> Trainer:
    gpu = options.accelerator == "gpu" or (options.accelerator == "auto" and torch.cuda.is_available())
    precision = options.precision
    if precision == "auto":
        precision = "bfloat16" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    several = options.devices > 1 or options.nodes > 1
    return Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=DDPStrategy(process_group_backend="nccl" if gpu else "gloo") if several else "auto",
        precision=_PRECISION[precision],
        max_epochs=options.epochs,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if has_valid else 0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
    )
