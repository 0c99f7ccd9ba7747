from __future__ import annotations

import errno
import io
import logging
import math
import os
import threading
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional
from torchmetrics import MetricCollection

from helpers.training_toy import Toy, ToyObjective, toy_data, toy_examples
from unroll.data.batches import Batch, Batches
from unroll.data.ragged import RaggedDataset
from unroll.errors import OptionError, RunError
from unroll.training import checkpoints
from unroll.training.console import Reporter, duration, figure
from unroll.training.errors import TrainingError
from unroll.training.history import read_table
from unroll.training.loop import Outcome, fit
from unroll.training.optim import make_optimizer, make_schedule
from unroll.training.options import TrainingOptions

pytestmark = pytest.mark.slow

QUICK = {"epochs": 3, "learning_rate": 0.02, "threads": 1}


def run(
    folder: Path, model: nn.Module | None = None, objective=None, data=None, **options
) -> tuple[nn.Module, Outcome]:
    model = Toy() if model is None else model
    train, valid = data or toy_data()
    settings = TrainingOptions(**(QUICK | options))
    return model, fit(model, objective or ToyObjective(), train, valid, settings, folder, quiet=True)


def accuracy(model: nn.Module, batches: Batches) -> float:
    model.eval()
    with torch.no_grad():
        right = sum((model(b.x, b.lengths).argmax(1) == b.target).sum().item() for b in batches)
    return right / len(batches.examples)


def test_it_learns_and_holds_the_best_weights(tmp_path: Path) -> None:
    train, valid = toy_data(256, 16)
    model, outcome = run(tmp_path, Toy(0.0), data=(train, valid), epochs=6)
    assert outcome.best_value == 1.0
    assert outcome.history[outcome.best_epoch - 1]["valid_accuracy"] == 1.0
    assert all(row["valid_accuracy"] < 1.0 for row in outcome.history[: outcome.best_epoch - 1])
    assert accuracy(model, valid) == 1.0
    best = checkpoints.load(tmp_path / "checkpoints" / "best")
    assert (best["epoch"], best["value"], best["monitor"]) == (outcome.best_epoch, 1.0, "accuracy")
    assert all(torch.equal(p, best["model"][n]) for n, p in model.state_dict().items())
    assert outcome.stopped == "finished"
    assert outcome.steps == 6 * 16


def test_the_loop_is_the_plain_one(tmp_path: Path) -> None:
    options = {"max_grad_norm": 0.4, "optimizer": "adamw", "weight_decay": 0.05, "schedule": "step"}
    fitted, outcome = run(tmp_path, Toy(0.0), monitor="loss", **options)
    train, valid = toy_data()
    model = Toy(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), 0.02, weight_decay=0.05)
    objective, losses, norms = ToyObjective(), [], []
    for epoch in range(3):
        model.train()
        train.set_epoch(epoch)
        for batch in train:
            loss = objective.loss(objective.output(model, batch), batch)
            optimizer.zero_grad()
            loss.backward()
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), 0.4).item())
            optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5
        model.eval()
        with torch.no_grad():
            losses.append(sum(objective.loss(model(b.x, b.lengths), b).item() * b.total for b in valid) / 36)
    assert [row["valid_loss"] for row in outcome.history] == pytest.approx(losses, rel=1e-5)
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx([0.02, 0.01, 0.005])
    assert read_table(tmp_path / "gradients.csv")["all"] == pytest.approx(norms, rel=1e-4)
    assert max(norms) > 0.4
    for name, p in model.state_dict().items():
        torch.testing.assert_close(fitted.state_dict()[name], p, rtol=1e-4, atol=1e-6, msg=name)


def test_patience_stops_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    class Scripted(ToyObjective):
        values = iter([0.5, 0.6, 0.6, 0.605, 0.6, 0.7])

        def metrics(self) -> MetricCollection:
            metrics = super().metrics()
            value = next(self.values)
            metrics.compute = lambda: {"accuracy": torch.tensor(value)}
            return metrics

    _, outcome = run(tmp_path, objective=Scripted(), epochs=10, patience=3, min_delta=0.01)
    assert outcome.stopped == "early"
    assert len(outcome.history) == 5
    assert (outcome.best_epoch, outcome.best_value) == (4, pytest.approx(0.605))


def test_steps_end_the_training_with_a_validation(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, max_steps=13, schedule="cosine")
    assert outcome.stopped == "steps"
    assert [row["step"] for row in outcome.history] == [9.0, 13.0]
    assert "valid_loss" in outcome.history[1]
    rates = [row["learning_rate"] for row in outcome.history]
    # those of the ninth and the thirteenth step, counted from 0
    assert rates == pytest.approx([0.01 * (1 + math.cos(math.pi * n / 13)) for n in (8, 12)])


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "warmup", "onecycle"])
def test_the_history_has_the_rate_that_an_epochs_last_step_was_trained_with(schedule: str, tmp_path: Path) -> None:
    _, outcome = run(tmp_path, schedule=schedule)
    options = TrainingOptions(**QUICK, schedule=schedule)
    w = nn.Parameter(torch.zeros(1))
    w.grad = torch.zeros(1)
    optimizer = make_optimizer([w], options)
    steps = make_schedule(optimizer, options, per_epoch=9, total=27, better="max")
    rates = []
    for _ in range(27):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if steps is not None:
            steps.step()
    assert [row["learning_rate"] for row in outcome.history] == rates[8::9]


class Weighted(ToyObjective):
    """Cross-entropy with a weight for each class."""

    weights = torch.tensor([0.1, 1.0, 7.0])

    def weight(self, batch: Batch) -> torch.Tensor:
        return self.weights[batch.all_targets].sum()

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        total = functional.cross_entropy(output, batch.target, self.weights, reduction="sum")
        return total / self.weight(batch)


def test_a_weighted_loss_does_not_depend_on_how_the_rows_are_cut(tmp_path: Path) -> None:
    found = []
    for size in (1, 5, 36):
        data = [Batches(b.examples, batch_size=size, shuffle=False) for b in toy_data(36)]
        _, outcome = run(tmp_path / str(size), Toy(0.0), Weighted(), data, epochs=1, learning_rate=1e-12)
        found.append((outcome.history[0]["train_loss"], outcome.history[0]["valid_loss"]))
    assert found[0] == pytest.approx(found[2], rel=1e-5)
    assert found[1] == pytest.approx(found[2], rel=1e-5)


def test_without_validation_data_the_last_weights_are_kept(tmp_path: Path) -> None:
    train, _ = toy_data()
    model, outcome = run(tmp_path, data=(train, None), average="ema", ema_decay=0.9)
    assert outcome.best_epoch == 3
    assert outcome.best_value is None
    assert "valid_loss" not in outcome.history[0]
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    names = [n for n, _ in Toy().named_parameters()]
    for name, average in zip(names, last["average"]["average"], strict=True):
        assert torch.equal(model.state_dict()[name], average)
        assert not torch.equal(last["model"][name], average)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"monitor": "acuracy"}, "monitor is 'acuracy'; did you mean 'accuracy'?"),
        ({"accelerator": "gpu", "devices": 99}, "devices is 99 with accelerator 'gpu', but this machine has"),
        ({"precision": "float16", "accelerator": "cpu"}, "precision 'float16' needs a GPU"),
    ],
)
def test_options_that_do_not_fit(options: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as error:
        run(tmp_path, **options)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("options", [{"patience": 2}, {"monitor": "loss"}, {"schedule": "plateau"}])
def test_what_needs_validation_data(options: dict, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs validation data"):
        run(tmp_path, data=(toy_data()[0], None), **options)


def test_the_watched_loss_steers(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, monitor="loss")
    losses = [row["valid_loss"] for row in outcome.history]
    assert outcome.best_value == min(losses)
    assert outcome.best_epoch == losses.index(min(losses)) + 1


def test_a_loss_that_is_nan_stops_before_the_weights_change(tmp_path: Path) -> None:
    model = Toy()
    with pytest.raises(TrainingError) as error:
        run(tmp_path, model, ToyObjective({12: "nan"}), checkpoint_every=2)
    assert "epoch 2, step 12: the loss became nan" in str(error.value)
    assert "the model's output is finite, the loss is not" in str(error.value)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    assert last["course"]["step"] == 10
    assert checkpoints.load(tmp_path / "checkpoints" / "best")["epoch"] == 1


class Overflow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Linear(2, 4)
        self.late = nn.Linear(4, 3)

    def forward(self, x, lengths):
        return self.late(torch.exp(self.early(x.sum(1)) * 100.0))


class Steep(nn.Module):
    """The forward pass is finite; the derivative of the root at zero is not."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.zeros(3))
        self.after = nn.Linear(3, 3)

    def forward(self, x, lengths):
        return self.after(self.before(x.sum(1)) + torch.sqrt(self.scale * self.scale))


def series(bad: float | None = None) -> tuple[Batches, Batches]:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(4, 2)).astype(np.float32) for _ in range(16)]
    if bad is not None:
        arrays[5][2, 1] = bad
    examples = RaggedDataset.from_arrays(arrays, np.arange(16) % 3)
    return Batches(examples, batch_size=16, shuffle=True), Batches(examples, batch_size=16, shuffle=False)


def test_blame_names_what_went_wrong_first(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 1: the loss became nan; it began in the output of 'late'"):
        run(tmp_path / "a", Overflow(), data=series())
    with pytest.raises(TrainingError, match=r"the gradient became NaN or infinite, first in 'scale' \(1 parameters"):
        run(tmp_path / "b", Steep(), data=series())
    with pytest.raises(TrainingError, match=r"the input has a NaN or an infinite number \(row 5 of the training"):
        run(tmp_path / "c", Steep(), data=series(float("inf")))
    broken = Steep()
    nn.init.constant_(broken.after.weight, float("nan"))
    with pytest.raises(TrainingError, match=r"step 1: the weights of 'after.weight' are not finite from the start"):
        run(tmp_path / "d", broken, data=series())


def test_a_full_disk_stops_with_a_sentence_and_the_run_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, valid = toy_data()
    options = TrainingOptions(**QUICK, checkpoint_every=4)
    whole, _ = run(tmp_path / "whole", checkpoint_every=4)
    real, written = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal written
        written += 1
        if written > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(RunError, match="the disk is full: cannot write"):
            fit(Toy(), ToyObjective(), train, valid, options, tmp_path / "full", quiet=True)
    model = Toy()
    fit(model, ToyObjective(), train, valid, options, tmp_path / "full", resume=True, quiet=True)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), whole.parameters(), strict=True))


def test_no_pickle_and_no_folder_of_lightnings_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args, **kwargs):
        raise AssertionError("torch.save was called")

    monkeypatch.setattr(torch, "save", never)
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "run", checkpoint_every=2, average="ema")
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert [f for f in found if "safetensors" not in f] == [
        "run/checkpoints/best/state.json",
        "run/checkpoints/last/state.json",
        "run/gradients.csv",
        "run/history.csv",
    ]
    assert len(found) == 6
    for file in found:
        start = (tmp_path / file).read_bytes()[:4]
        assert not start.startswith((b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))


def test_outside_the_main_thread(tmp_path: Path) -> None:
    answers: list[Outcome] = []
    thread = threading.Thread(target=lambda: answers.append(run(tmp_path / "thread")[1]))
    thread.start()
    thread.join(60)
    rows = [[{k: v for k, v in r.items() if k != "seconds"} for r in o.history] for o in (answers[0], run(tmp_path)[1])]
    assert rows[0] == rows[1]


def test_tensorboard_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"pip install 'unroll\[tensorboard\]'"):
        run(tmp_path, tensorboard=True)


def test_bfloat16_trains_and_keeps_the_weights_in_float32(tmp_path: Path) -> None:
    model, outcome = run(tmp_path, precision="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    plain = run(tmp_path / "plain")[1]
    assert outcome.history[0]["train_loss"] != plain.history[0]["train_loss"]
    assert outcome.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"], rel=0.01)


def test_a_warning_is_given_once_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    examples = toy_examples(24, 1)
    data = Batches(examples, batch_size=8, shuffle=True), Batches(examples, batch_size=8, shuffle=False)
    model = Toy()
    for p in model.head.parameters():
        p.requires_grad_(False).zero_()
    options = TrainingOptions(epochs=3, threads=1)
    outcome = fit(model, ToyObjective(), *data, options, tmp_path)
    (warning,) = outcome.warnings
    assert warning.startswith("dead outputs: the model gives the same answer for every row")
    assert capsys.readouterr().err.count("warning, dead outputs: ") == 1


def test_what_is_printed_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO)
    train, valid = toy_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Toy(), ToyObjective(), train, valid, TrainingOptions(**QUICK), tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if not line.startswith("warning,")]
    assert len(lines) == 3
    for n, line in enumerate(lines, 1):
        assert line.startswith(f"epoch {n}/3  loss ")
        assert "validation loss" in line
        assert "accuracy 0." in line
        assert "rows/s" in line
    assert lines[0].endswith("best")


def test_quiet_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    run(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_loss_metric_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    now = [0.0]
    monkeypatch.setattr("unroll.training.console.time.monotonic", lambda: now[0])
    text = io.StringIO()
    reporter = Reporter(40, 2, "valid_accuracy", console=Console(file=text, force_terminal=True, width=120))
    reporter.start(0)
    for epoch in (1, 2):
        reporter.epoch(epoch, 20, 0)
        for _ in range(20):
            now[0] += 0.5
            reporter.step(8, 0.25)
        if epoch == 1:
            reporter.validating()
            reporter.row({"train_loss": 0.25, "valid_loss": 0.5, "valid_accuracy": 0.875}, best=True)
    reporter.close()
    said = text.getvalue()
    assert "epoch 1/2  loss 0.2500  validation loss 0.5000  accuracy 0.8750  16 rows/s  10 s left  best" in said
    assert "epoch 2/2" in said
    assert "loss 0.2500  accuracy 0.8750 after epoch 1  16 rows/s  0 s left" in said


@pytest.mark.parametrize("dumb", [False, True])
def test_long_epochs_get_a_line_every_tenth_without_a_terminal(dumb: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    now = [0.0]
    monkeypatch.setattr("unroll.training.console.time.monotonic", lambda: now[0])
    text = io.StringIO()
    reporter = Reporter(1000, 1, "valid_accuracy", console=Console(file=text, width=120, force_terminal=dumb))
    reporter.start(0)
    reporter.epoch(1, 1000, 0)
    for _ in range(1000):
        now[0] += 1.0
        reporter.step(32, 0.5)
    lines = text.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "epoch 1/1   10%  loss 0.5000  32 rows/s  15 min 00 s left"


def test_figures_of_any_size_are_readable() -> None:
    seen = (0.25, 0.0, 9.9999, 12.0, 115.2345, 1234.567, 123456.7, 12345678.0, -3.2, 1.24e-5, math.nan)
    said = ["0.2500", "0.0000", "9.9999", "12.000", "115.23", "1234.6", "123457", "1.2346e+07", "-3.2000", "1.2e-05"]
    assert [figure(v) for v in seen] == [*said, "nan"]


def test_durations() -> None:
    assert [duration(s) for s in (0.2, 59.4, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 05 min"]


def test_a_training_ends_with_its_time_and_its_schedule(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, epochs=100_000, max_time="1.5s", schedule="cosine", learning_rate=0.001)
    assert outcome.stopped == "time"
    assert 1.5 <= outcome.seconds < 4.0
    rates = [row["learning_rate"] for row in outcome.history]
    assert rates[0] > 0.0009
    assert all(a >= b for a, b in pairwise(rates))
    assert rates[-1] < 0.0002
    assert "valid_loss" in outcome.history[-1]


def test_a_training_that_ended_with_its_time_goes_on_with_more(tmp_path: Path) -> None:
    _, first = run(tmp_path, epochs=100_000, max_time="0.5s")
    train, valid = toy_data()
    options = TrainingOptions(**(QUICK | {"epochs": 100_000, "max_time": "1s"}))
    outcome = fit(Toy(), ToyObjective(), train, valid, options, tmp_path, quiet=True, resume=True)
    assert outcome.steps > first.steps
    assert 1.0 <= outcome.seconds < 3.0


def test_onecycle_has_no_time(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="spans a number of steps that max_time may cut short; take 'cosine'"):
        run(tmp_path, schedule="onecycle", max_time="1s")


def test_epochs_of_a_moment_share_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    save = checkpoints.save
    monkeypatch.setattr(checkpoints, "save", lambda folder, state: (written.append(folder.name), save(folder, state)))
    monkeypatch.setattr("unroll.training.checkpointer.PAUSE", 1000.0)
    _, outcome = run(tmp_path, epochs=8)
    assert written.count("last") == 2, "the first epoch and the last"
    assert written.count("best") <= 2
    assert len(read_table(tmp_path / "history.csv")["epoch"]) == 8
    assert checkpoints.load(tmp_path / "checkpoints" / "best")["epoch"] == outcome.best_epoch
    written.clear()
    monkeypatch.setattr("unroll.training.checkpointer.PAUSE", 0.0)
    run(tmp_path, epochs=8)
    assert written.count("last") == 8
