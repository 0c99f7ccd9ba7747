"""The training step, the validation pass and the end of an epoch, as hooks of a `LightningModule`.

Lightning runs the loop, the devices and the precision. Besides the weights a run depends on `TrainingState`, the
optimizer, the schedule, the monitors and the random state; `Checkpointer` saves all of it in a checkpoint.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from unroll.data.batches import Batch
from unroll.training.averaging import WeightAverage, make_average
from unroll.training.checkpointer import Checkpointer
from unroll.training.checkpoints import restoring
from unroll.training.clipping import clip, step_numbers
from unroll.training.console import Reporter
from unroll.training.diagnostics import ADVICE, GradientMonitor, OutputMonitor, overfitting
from unroll.training.errors import Halt, TrainingError
from unroll.training.layerwise import Layerwise
from unroll.training.nonfinite import blame, blame_validation, first_unfinite
from unroll.training.objective import Objective, batch_weight
from unroll.training.optim import make_optimizer, make_schedule, total_steps
from unroll.training.options import TrainingOptions, seconds_of
from unroll.training.signals import StopRequest
from unroll.training.state import Feed, TrainingState
from unroll.training.validation import Validation, unfinite

_SKIPS_ALLOWED = 30
_ADVICE = "the checkpoints written before are as they were; start anew with a smaller learning_rate or max_grad_norm"


class TrainingModule(LightningModule):
    """Train a model on an objective, with monitoring, checkpoints and early stopping.

    Args:
        model: the model to train.
        objective: loss and metrics.
        options: the training options.
        feed: this process's training batches.
        has_valid: whether there is validation data.
        monitor: the monitored value's name, and "min" or "max" for the better direction.
        course: the training state.
        keeper: writes checkpoints and tables.
        reporter: shows the progress.
        request: whether the user asked to stop.
        restored: the checkpoint to resume from, if any.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        options: TrainingOptions,
        feed: Feed,
        *,
        has_valid: bool,
        monitor: tuple[str, Literal["min", "max"]],
        course: TrainingState,
        keeper: Checkpointer,
        reporter: Reporter,
        request: StopRequest,
        restored: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.options = options
        self.feed = feed
        self.has_valid = has_valid
        self.monitor = monitor[0]
        self.better: Literal["min", "max"] = monitor[1]
        self.course = course
        self.keeper = keeper
        self.reporter = reporter
        self.request = request
        self.restored = restored
        self.watch = GradientMonitor(model, options.max_grad_norm)
        self.outputs = OutputMonitor()
        self.validation = Validation(objective, self.outputs)
        self.layers = Layerwise(model, options)
        self.average: WeightAverage | None = None
        self.schedule: LRScheduler | ReduceLROnPlateau | None = None
        self.trained = [p for p in model.parameters() if p.requires_grad]
        per_epoch = len(feed.batches)
        self.total = total_steps(options, per_epoch)
        self._per_epoch = per_epoch
        # Lightning puts a SIGTERM handler of its own in place just before the training starts
        self.take_signals: Callable[[], None] = lambda: None
        self._stop = self._due = self._skip = False
        self._budget, self._spent = seconds_of(options.max_time), 0.0
        self._valid: dict[str, float] = {}
        self._rate = options.learning_rate
        self._improved = False

    # set-up

    def configure_optimizers(self) -> Optimizer:
        """Make the optimizer; its schedule is stepped here and not by Lightning, so that a resumed run is exact."""
        groups = self.layers.parameter_groups()
        optimizer = make_optimizer(groups, self.options, fused=self.options.precision != "float16")
        self.schedule = make_schedule(
            optimizer, self.options, self._per_epoch, self.total, better=self.better, spent=lambda: self._spent
        )
        if self.restored is not None:
            with restoring(self.keeper.last, "optimizer"):
                optimizer.load_state_dict(self.restored["optimizer"])
            if self.schedule is not None:
                with restoring(self.keeper.last, "schedule"):
                    self.schedule.load_state_dict(self.restored["schedule"])
        return optimizer

    def on_train_start(self) -> None:
        """Make the weight average and restore the rest of the checkpoint; everything is on its device by now."""
        self.take_signals()
        self.average = make_average(self.model, self.options, self.better)
        self._open_layers()
        if self.restored is not None:
            self.keeper.restore(self, self.restored)
        self.keeper.start(self)
        self.reporter.start(self.course.step)
        if not self.course.step and (plan := self.layers.plan()):
            self.reporter.say(plan)

    def _open_layers(self) -> None:
        self.layers.begin(self.course.epoch)
        self.watch.freeze(self.layers.frozen)

    @property
    def scaler(self) -> Any | None:
        """The gradient scaler of float16 training, or `None`."""
        return getattr(self.trainer.precision_plugin, "scaler", None)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the batch to the device."""
        return batch if device.type == "cpu" else batch.to(device, non_blocking=True)

    # a step

    def on_train_epoch_start(self) -> None:
        """Start or resume an epoch."""
        self._open_layers()
        self.reporter.epoch(self.course.epoch + 1, self._per_epoch, self.course.batch)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Restore the random state of a resumed run before its first batch."""
        if self.restored is not None:
            self.keeper.restore_random(self.restored, self.device)
            self.restored = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss, scaled with several processes so that averaging their gradients sums the losses."""
        self._batch = batch
        loss = self.objective.loss(self.objective.output(self.model, batch), batch)
        self._loss = loss.detach()
        self._weight = batch_weight(self.objective, batch)
        return loss * self.trainer.world_size if self.trainer.world_size > 1 else loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Check the loss and the gradients after backward: stop if they are not finite, else clip."""
        self.layers.drop()
        present = [i for i, p in enumerate(self.trained) if p.grad is not None]
        gradients = [g for p in self.trained if (g := p.grad) is not None]
        loss, weight, values = step_numbers(self._loss, self._weight, gradients)
        self._rate = float(optimizer.param_groups[-1]["lr"])
        self._due, self._stop = self.keeper.due(self.course.step + 1), self.request.asked
        self._spent = self.keeper.seconds(self.course) / self._budget
        if (world := self.trainer.world_size) > 1:
            numbers = [loss, self._due, self._stop, self._spent / world]
            shared = torch.tensor(numbers, dtype=torch.float64, device=self.device)
            torch.distributed.all_reduce(shared)
            loss, due, stop, self._spent = shared.tolist()
            self._due, self._stop = due > 0, stop > 0
        norm, layers = self.watch.norms(present, values)
        self._skip = self.scaler is not None and math.isfinite(loss) and not math.isfinite(norm)
        self.course.skipped = self.course.skipped + 1 if self._skip else 0
        if not self._skip and not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(self._account(loss))
        if self.course.skipped > _SKIPS_ALLOWED:
            raise TrainingError(f"{self._account(loss)} (precision float16; try bfloat16 or float32)")
        self.course.loss += loss * weight
        self.course.weight += weight
        self.course.norm += 0.0 if self._skip else norm
        if self._skip:
            return
        for name, what in self.watch.step(self.course.step + 1, norm, layers):
            self.warn(name, what)
        clip(gradients, norm, self.options)

    def _account(self, loss: float) -> str:
        """Describe the value that is not finite before step `step + 1`, and the state of the weights."""
        where = f"epoch {self.course.epoch + 1}, step {self.course.step + 1}"
        name = first_unfinite(self.model.named_parameters())
        if name is not None:
            if not self.course.step:
                return f"{where}: the weights of '{name}' are not finite from the start; give the model others"
            return f"{where}: the weights of '{name}' are not finite since an earlier step; {_ADVICE}"
        what = blame(self.model, self.objective, self._batch, loss)
        return f"{where}: {what}; the weights are as before this step"

    def _check_weights(self) -> None:
        """Check that all weights are finite before they are validated or saved."""
        named = [(f"the weights of '{n}'", p) for n, p in self.model.named_parameters()]
        if self.average is not None:
            named += [(f"the averaged weights of '{n}'", a) for n, a in self.average.named()]
        name = first_unfinite(named)
        if name is not None:
            course = self.course
            raise TrainingError(f"epoch {course.epoch + 1}, step {course.step}: {name} are no longer finite; {_ADVICE}")

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Count the step; save a checkpoint or stop if due."""
        course = self.course
        course.step += 1
        course.batch += 1
        if self.average is not None and not self._skip:
            self.average.update()
        schedule = None if self._skip else self.schedule
        if isinstance(schedule, LRScheduler) and not isinstance(schedule, ReduceLROnPlateau):
            schedule.step()
        self.reporter.step(batch.total, course.mean_loss(), batch.counts)
        whole = course.batch >= self._per_epoch
        ends = (bool(self.options.max_steps) and course.step >= self.options.max_steps) or self._spent >= 1.0
        if whole or ends or self._due or self._stop:
            self._check_weights()
        if ends:
            self.trainer.should_stop = True
        # the end of an epoch writes its own checkpoint, after the validation
        elif not whole and (self._due or self._stop):
            self.keeper.save(self)
            if self._stop:
                raise Halt(course.epoch + 1, course.step, saved=True)

    # validation

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics, and swap in the averaged weights if there are any."""
        self.reporter.validating()
        self.validation.start(self.device)
        if self.average is not None:
            self.average.swap()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the validation."""
        self.validation.step(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        """Compute the validation's numbers; save the weights if the monitored value is the best so far."""
        world = self.trainer.world_size
        self._valid = self.validation.numbers(world)
        if (name := unfinite(self._valid)) is not None:
            self._refuse(name)
        for name, what in self.validation.troubles(world):
            self.warn(name, what)
        value = self._valid[f"valid_{self.monitor}"]
        self._improved = self.course.judge(value, self.better, self.options.min_delta)
        if self._improved:
            self.keeper.save_best(self)
        if self.average is not None:
            self.average.swap()

    def _refuse(self, name: str) -> None:
        """Stop at a validation value that is not finite."""
        batches = self.trainer.val_dataloaders or []
        what = blame_validation(self.model, self.objective, batches, self.device, f"the validation value '{name}'")
        if self.average is not None:
            self.average.swap()
        where = f"epoch {self.course.epoch + 1}, step {self.course.step}"
        raise TrainingError(f"{where}: {what}; the weights are finite, and not kept as the best")

    # the end of an epoch

    def on_train_epoch_end(self) -> None:
        """Append a row to the history, apply early stopping, save the checkpoint."""
        course, options = self.course, self.options
        if not self.has_valid:
            course.best_epoch, self._improved = course.epoch + 1, False
            with self.average.in_place() if self.average is not None else contextlib.nullcontext():
                self.keeper.save_best(self)
        whole = course.batch >= self._per_epoch
        row = {
            "epoch": float(course.epoch + 1),
            "step": float(course.step),
            "seconds": self.keeper.seconds(course),
            "learning_rate": self._rate,
            "gradient_norm": course.norm / max(1, course.batch),
            "train_loss": course.mean_loss(),
            **self._valid,
        }
        course.close_epoch(row, whole=whole)
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(row[f"valid_{self.monitor}"])
        if (what := overfitting(course.history)) is not None:
            self.warn("overfitting", what)
        if course.epoch >= options.epochs:
            course.stopped = "finished"
        elif options.max_steps and course.step >= options.max_steps:
            course.stopped = "steps"
        elif self._spent >= 1.0:
            course.stopped = "time"
        elif options.patience and course.waited >= options.patience:
            course.stopped = "early"
        self.trainer.should_stop = bool(course.stopped)
        self.reporter.row(row, self._improved)
        self._maybe_average(row)
        halted = not course.stopped and (self._stop or self._asked_anywhere())
        self.keeper.save_epoch(self, row, at_once=bool(course.stopped) or halted)
        if halted:
            raise Halt(course.epoch, course.step, saved=True)

    def _maybe_average(self, row: dict[str, float]) -> None:
        """Pass the monitored value to the weight average, and report if it starts the averaging."""
        if self.average is None or not self.has_valid:
            return
        value = row[f"valid_{self.monitor}"]
        best = self.average.validated(value)
        if best is not None:
            what = f"{self.monitor} {value:.5g} is worse than the {best:.5g} of an earlier epoch"
            self.reporter.say(f"from here on the weights are averaged: {what}")

    def _asked_anywhere(self) -> bool:
        if self.trainer.world_size == 1:
            return self.request.asked
        asked = torch.tensor([float(self.request.asked)], device=self.device)
        torch.distributed.all_reduce(asked)
        return asked.item() > 0

    def on_train_end(self) -> None:
        """Load the best weights into the model, in every process."""
        self.keeper.hold_best(self)

    def warn(self, name: str, what: str) -> None:
        """Warn of a problem the first time it is found."""
        if name not in self.course.warnings:
            self.course.warnings[name] = f"{name}: {what}; {ADVICE[name]}"
            self.reporter.say(f"warning, {self.course.warnings[name]}")
