"""Show the training progress: a progress bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


class Reporter:
    """Report progress, losses, speed and remaining time on standard error.

    Args:
        total: steps of the whole training, at most.
        epochs: epochs of the whole training, at most.
        monitor: the monitored value's column in the history; shown with the losses.
        quiet: print nothing.
        console: where to print; standard error by default.
    """

    def __init__(
        self, total: int, epochs: int, monitor: str, *, quiet: bool = False, console: Console | None = None
    ) -> None:
        self._total, self._epochs, self._monitor = total, epochs, monitor
        self._quiet = quiet
        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started = self._shown = self._said = time.monotonic()
        self._steps = self._passed = 0
        self._counts = "rows"
        self._left = 0
        self._value = ""

    def start(self, step: int) -> None:
        """Start reporting, after `step` steps of the training."""
        self._left = self._total - step
        self._started = self._shown = self._said = time.monotonic()
        if self._quiet or not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[text]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=1, text="")
        self._bar.start()

    def epoch(self, epoch: int, batches: int, done: int) -> None:
        """Start epoch number `epoch` (from 1); `done` of its `batches` are already finished."""
        self._epoch, self._batches, self._done = f"epoch {epoch}/{self._epochs}", batches, done
        if self._bar is not None:
            self._bar.reset(self._task, total=batches, completed=done, description=self._epoch)

    def step(self, total: int, mean_loss: float, counts: str = "rows") -> None:
        """Report one more batch of `total` rows (or the unit `counts`); `mean_loss` is the epoch's so far."""
        self._steps += 1
        self._passed += total
        self._counts = counts
        self._done += 1
        now = time.monotonic()
        if self._quiet or now - self._shown < 0.2:
            return
        self._shown = now
        text = f"loss {figure(mean_loss)}  {self._value}{self._pace(now)}"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, text=text)
        elif now - self._said >= max(10.0, 0.1 * self._batches * (now - self._started) / self._steps):
            self._said = now
            self._line(f"{self._epoch}  {self._done / self._batches:>4.0%}  {text}")

    def validating(self) -> None:
        """Show that a validation pass is running."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._batches, text="validation")

    def row(self, row: Mapping[str, float], best: bool) -> None:
        """Print a finished epoch's line from its `row` of the history."""
        if self._quiet:
            return
        parts = [f"loss {figure(row['train_loss'])}"]
        if "valid_loss" in row:
            parts.append(f"validation loss {figure(row['valid_loss'])}")
        self._value = ""
        if self._monitor in row and self._monitor != "valid_loss":
            name, value = self._monitor.removeprefix("valid_"), figure(row[self._monitor])
            self._value = f"{name} {value} after {self._epoch.split('/')[0]}  "
            parts.append(f"{name} {value}")
        self._said = now = time.monotonic()
        self._line("  ".join([self._epoch, *parts, self._pace(now), *(["best"] if best else [])]))

    def say(self, text: str) -> None:
        """Print a message on its own line."""
        if not self._quiet:
            self._line(text)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _pace(self, now: float) -> str:
        if not self._steps:
            return ""
        elapsed = max(now - self._started, 1e-9)
        left = (self._left - self._steps) * elapsed / self._steps
        rate = self._passed / elapsed
        return f"{rate:.{0 if rate >= 10 else 1}f} {self._counts}/s  {duration(left)} left"


def figure(value: float) -> str:
    """Format a number with four decimals or about five digits: `0.2500`, `115.23`, `12346`, `1.2e-05`."""
    size = abs(value)
    if 0 < size < 1e-3:
        return f"{value:.2g}"
    if size >= 1e7:
        return f"{value:.5g}"
    return f"{value:.{next((d for d in range(4) if size >= 10 ** (4 - d)), 4)}f}"


def duration(seconds: float) -> str:
    """Format seconds as `42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
