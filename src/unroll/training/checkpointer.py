"""Write and restore the checkpoints and tables of a training run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unroll.errors import RunError
from unroll.training import checkpoints
from unroll.training.diagnostics import GradientMonitor, OutputMonitor
from unroll.training.distributed import gather
from unroll.training.history import write_gradients, write_history
from unroll.training.objective import Objective, objective_state
from unroll.training.options import TrainingOptions
from unroll.training.state import Feed, TrainingState

PAUSE = 2.0
"""Seconds between two checkpoints that only the end of an epoch asks for: files cost more than a tiny epoch's steps."""


class Training(Protocol):
    """The parts of a training that a checkpoint saves, and the trainer, which knows the processes."""

    model: nn.Module
    objective: Objective
    course: TrainingState
    schedule: Any
    average: Any
    scaler: Any
    feed: Feed
    watch: GradientMonitor
    outputs: OutputMonitor

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        ...

    @property
    def trainer(self) -> Any:
        """Lightning's trainer, which knows the other processes."""
        ...


class Checkpointer:
    """Write the checkpoints and tables of one run folder; only the first process writes.

    Args:
        folder: the run folder.
        options: checkpoint_every, checkpoint_minutes, tensorboard.
        settings: the settings that a resumed run must repeat; saved in the checkpoint.
        monitor: the monitored value's name; saved with the best weights.
    """

    def __init__(self, folder: Path, options: TrainingOptions, settings: dict[str, Any], monitor: str) -> None:
        self.folder = folder
        self._options = options
        self._settings = settings
        self._monitor = monitor
        self._board: Any = None
        self._begun = self._saved = time.monotonic()
        self._before = 0.0
        self._any = False
        self._best: dict[str, Any] | None = None

    @property
    def last(self) -> Path:
        """The folder of the checkpoint to resume from."""
        return self.folder / "checkpoints" / "last"

    @property
    def best(self) -> Path:
        """The folder of the best weights."""
        return self.folder / "checkpoints" / "best"

    def start(self, module: Training) -> None:
        """Start the clock, and the TensorBoard log if asked for."""
        self._begun = self._saved = time.monotonic()
        self._before = module.course.seconds
        if self._options.tensorboard and module.trainer.is_global_zero:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=module.course.step or None)

    def seconds(self, course: TrainingState) -> float:
        """Return the training time so far, including before a resume."""
        return self._before + time.monotonic() - self._begun

    def due(self, step: int) -> bool:
        """Whether to write a checkpoint after this step."""
        every, minutes = self._options.checkpoint_every, self._options.checkpoint_minutes
        by_time = minutes and time.monotonic() - self._saved >= 60.0 * minutes
        return bool((every and step % every == 0) or by_time)

    def _pausing(self, module: Training) -> bool:
        # several processes must agree, and their clocks do not
        return module.trainer.world_size == 1 and self._any and time.monotonic() - self._saved < PAUSE

    def save_epoch(self, module: Training, row: dict[str, float], *, at_once: bool) -> None:
        """Save as `save` does, and log the epoch's row; within two seconds of the last time only if `at_once`."""
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["step"]))
            self._board.flush()
        if at_once or not self._pausing(module):
            self.save(module)

    def save(self, module: Training) -> None:
        """Save the checkpoint to resume from, and the current tables.

        Raises:
            RunError: the disk is full or the folder cannot be written; the existing files are intact.
        """
        self._write_best()
        random = gather(_random_state(module.device), module.device)
        objective = objective_state(module.objective)
        carried = None if objective is None else gather(objective, module.device)
        self._saved, self._any = time.monotonic(), True
        if module.trainer.is_global_zero:
            self._write(module, {"random": random, "objective": carried})
        # no process may go on to stop, and perhaps to resume, before the checkpoint is there
        module.trainer.strategy.barrier()

    def _write(self, module: Training, by_process: dict[str, Any]) -> None:
        module.course.seconds = self.seconds(module.course)
        optimizer = module.trainer.optimizers[0]
        state = {
            "settings": self._settings,
            "course": module.course.state_dict(),
            "model": dict(module.model.state_dict()),
            "optimizer": optimizer.state_dict(),
            "schedule": None if module.schedule is None else module.schedule.state_dict(),
            "average": None if module.average is None else module.average.state_dict(),
            "scaler": None if module.scaler is None else module.scaler.state_dict(),
            "data": module.feed.batches.state_dict(),
            "gradients": module.watch.state_dict(),
            "outputs": module.outputs.state_dict(),
            **by_process,
        }
        checkpoints.save(self.last, state)
        write_history(self.folder / "history.csv", module.course.history)
        write_gradients(self.folder / "gradients.csv", module.watch.layers, module.watch.rows)

    def save_best(self, module: Training) -> None:
        """Save the model's current weights as the best checkpoint, at the latest when `save` or `close` is called.

        Raises:
            RunError: as `save`.
        """
        if module.trainer.is_global_zero:
            course = module.course
            about = {"epoch": course.epoch + 1, "step": course.step, "monitor": self._monitor}
            model = dict(module.model.state_dict())
            self._best = {**about, "value": course.best_value, "model": model}
            if self._pausing(module):
                self._best["model"] = {name: tensor.clone() for name, tensor in model.items()}
            else:
                self._write_best()

    def _write_best(self) -> None:
        if self._best is not None:
            checkpoints.save(self.best, self._best)
            self._best = None

    def hold_best(self, module: Training) -> None:
        """Load the best weights into the model, in every process."""
        self._write_best()
        if module.trainer.is_global_zero:
            load_best(module.model, self.folder)
        if module.trainer.world_size > 1:
            for tensor in module.model.state_dict().values():
                torch.distributed.broadcast(tensor, src=0)

    def close(self) -> None:
        """Write the best weights, if they are not, and close the TensorBoard log."""
        self._write_best()
        if self._board is not None:
            self._board.close()
            self._board = None

    def restore_random(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore this process's random number generators from the checkpoint."""
        with checkpoints.restoring(self.last, "random state"):
            own = state["random"][_rank()]
            torch.set_rng_state(own["cpu"])
            if device.type == "cuda" and own["cuda"] is not None:
                torch.cuda.set_rng_state(own["cuda"], device)

    def restore(self, module: Training, state: dict[str, Any]) -> None:
        """Restore what `save` wrote, except the weights, optimizer, schedule, data and random state.

        Raises:
            RunError: the checkpoint is damaged.
        """
        with checkpoints.restoring(self.last, "record of the gradients and outputs"):
            module.watch.load_state_dict(state["gradients"])
            module.outputs.load_state_dict(state["outputs"])
        if module.average is not None:
            with checkpoints.restoring(self.last, "average"):
                module.average.load_state_dict(state["average"])
        if module.scaler is not None:
            with checkpoints.restoring(self.last, "scaler"):
                module.scaler.load_state_dict(state["scaler"])
        with checkpoints.restoring(self.last, "objective's state"):
            carried: list[Any] = state["objective"]
            if carried is not None or objective_state(module.objective) is not None:
                objective = _moved(carried[_rank()], module.device)
                getattr(module.objective, "load_state_dict")(objective)  # noqa: B009 - not every objective has it


def load_best(model: nn.Module, folder: Path) -> None:
    """Load the best weights of the run in `folder` into `model`.

    Raises:
        RunError: there are none, they are damaged, or they belong to another model.
    """
    put_weights(model, checkpoints.load(folder / "checkpoints" / "best"), folder)


def put_weights(model: nn.Module, state: dict[str, Any], folder: Path) -> None:
    """Load a checkpoint's weights into `model`.

    Raises:
        RunError: they belong to another model.
    """
    saved = state.get("model")
    if not isinstance(saved, dict) or not all(isinstance(t, Tensor) for t in saved.values()):
        raise RunError(f"the checkpoint in {folder} is damaged: it holds no weights")
    expected = model.state_dict()
    for name in sorted(expected.keys() ^ saved.keys()):
        has = "lacks" if name in expected else "has"
        raise RunError(f"the checkpoint in {folder} belongs to another model: it {has} '{name}'")
    for name, tensor in expected.items():
        if tensor.shape != saved[name].shape:
            raise RunError(
                f"the checkpoint in {folder} belongs to another model: '{name}' has shape {list(saved[name].shape)}"
                f" there and {list(tensor.shape)} here"
            )
    model.load_state_dict(saved)


def _moved(value: Any, device: torch.device) -> Any:
    """Move the tensors of a nested value to the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {k: _moved(v, device) for k, v in value.items()}
    return type(value)(_moved(v, device) for v in value) if isinstance(value, (list, tuple)) else value


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _random_state(device: torch.device) -> dict[str, Tensor | None]:
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}
