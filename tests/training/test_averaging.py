"""Averages of the weights: their numbers by hand, and when the mean begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from helpers.training_toy import Toy, ToyObjective, toy_data
from unroll.data.batches import Batch
from unroll.errors import OptionError
from unroll.training import checkpoints
from unroll.training.averaging import MovingAverage, TriggeredMean
from unroll.training.loop import fit
from unroll.training.options import TrainingOptions

PER_EPOCH = 9


def test_the_average_follows_its_recurrence_and_swaps_back() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 2.0)
    average = MovingAverage(model, 0.5)
    expected, values = 2.0, [1.0, 4.0, -3.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 0.0]
    for n, value in enumerate(values):
        torch.nn.init.constant_(model.weight, value)
        average.update()
        d = min(0.5, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * value
    with average.in_place():
        assert model.weight.item() == pytest.approx(expected, rel=1e-6)
    assert model.weight.item() == 0.0
    again = MovingAverage(model, 0.5)
    again.load_state_dict(average.state_dict())
    again.update()
    average.update()
    with average.in_place():
        one = model.weight.item()
    with again.in_place():
        assert model.weight.item() == one


def test_the_mean_is_the_mean_of_the_weights_since_the_trigger_and_swaps_back() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = TriggeredMean(model, 0, "min")
    average.swap()
    seen = [3.0, -1.0, 4.0, 4.5]
    for n, value in enumerate(seen, 1):
        torch.nn.init.constant_(model.weight, value)
        average.update()
        with average.in_place():
            assert model.weight.item() == pytest.approx(sum(seen[:n]) / n, rel=1e-6)
        assert model.weight.item() == value
    again = TriggeredMean(model, 0, "min")
    again.load_state_dict(average.state_dict())
    for a in (average, again):
        a.update()
    assert dict(average.named())["weight"].item() == dict(again.named())["weight"].item() == pytest.approx(3.0)


@pytest.mark.parametrize("better", ["min", "max"])
@pytest.mark.parametrize(
    ("patience", "values", "trigger"),
    [
        # worse than the best of all but the last `patience`: by hand
        (1, [5.0, 4.0, 4.5], None),
        (1, [5.0, 4.0, 4.5, 4.2], 3),
        (2, [5.0, 4.0, 4.5, 3.9, 4.2], 4),
        (2, [5.0, 4.0, 4.0, 4.0, 4.0], None),
        (3, [5.0, 4.0, 3.0, 2.0, 5.1], 4),
        (5, [5.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0], 6),
        (5, [5.0, 6.0, 6.0, 6.0, 6.0, 6.0], None),
    ],
)
def test_the_trigger(patience: int, values: list[float], trigger: int | None, better) -> None:
    average = TriggeredMean(torch.nn.Linear(1, 1), patience, better)
    sign = 1.0 if better == "min" else -1.0
    found = []
    for n, value in enumerate(values):
        # what decides goes through a checkpoint at every validation
        state, average = average.state_dict(), TriggeredMean(torch.nn.Linear(1, 1), patience, better)
        average.load_state_dict(state)
        best = average.validated(sign * value)
        if best is not None:
            assert best == sign * min(values[: n - patience])
            found.append(n)
        average.update()
    assert found == ([] if trigger is None else [trigger])
    assert average.started is (trigger is not None)
    assert bool(list(average.named())) is average.started


class Scripted(ToyObjective):
    """Accuracies as they are given; keeps the weights of every training step and of every validation."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = iter(values)
        self.trained: list[Tensor] = []
        self.validated: list[Tensor] = []

    def metrics(self) -> MetricCollection:
        metrics = super().metrics()
        value = next(self.values)
        metrics.compute = lambda: {"accuracy": torch.tensor(value)}
        return metrics

    def output(self, model: nn.Module, batch: Batch) -> Tensor:
        (self.trained if model.training else self.validated).append(model.head.weight.detach().clone())
        return super().output(model, batch)


def test_it_validates_and_keeps_the_mean_from_the_triggering_epoch_on(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    values = [0.5, 0.6, 0.55, 0.61, 0.58, 0.57, 0.9]
    objective, model = Scripted(values), Toy()
    options = TrainingOptions(
        epochs=7, learning_rate=0.05, optimizer="sgd", average="asgd", average_patience=2, threads=1
    )
    outcome = fit(model, objective, *toy_data(), options, tmp_path)
    # the fifth value, 0.58, is the first below the best but for the two before it, max(0.5, 0.6)
    said = "from here on the weights are averaged: accuracy 0.58 is worse than the 0.6 of an earlier epoch"
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "averaged" in line] == [said]
    assert lines[lines.index(said) - 1].startswith("epoch 5/7")
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    # the weights after a step are those before the next one
    after = [*objective.trained[1:], last["model"]["head.weight"]]
    averaged = after[5 * PER_EPOCH :]
    assert len(averaged) == last["average"]["steps"] == 2 * PER_EPOCH
    names = [n for n, _ in model.named_parameters()]
    kept = last["average"]["average"][names.index("head.weight")]
    torch.testing.assert_close(kept, torch.stack(averaged).double().mean(0).float(), rtol=1e-5, atol=1e-7)
    assert outcome.best_epoch == 7
    assert torch.equal(model.head.weight, kept)
    # each epoch's validation, of five batches, has the weights that count: its last, or the mean
    seen = objective.validated[::5]
    for epoch in range(5):
        assert torch.equal(seen[epoch], after[(epoch + 1) * PER_EPOCH - 1])
    mean = torch.stack(averaged[:PER_EPOCH]).double().mean(0).float()
    torch.testing.assert_close(seen[5], mean, rtol=1e-5, atol=1e-7)
    assert torch.equal(seen[6], kept)


def test_the_mean_needs_validation_data_unless_it_begins_at_once(tmp_path: Path) -> None:
    train, _ = toy_data()
    quick = {"epochs": 1, "threads": 1, "average": "asgd"}
    with pytest.raises(OptionError, match="average 'asgd' needs validation data, and there is none"):
        fit(Toy(), ToyObjective(), train, None, TrainingOptions(**quick), tmp_path)
    objective, model = Scripted([0.0]), Toy()
    options = TrainingOptions(**quick, average_patience=0)
    fit(model, objective, train, None, options, tmp_path, quiet=True)
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    weights = torch.stack([*objective.trained[1:], last["model"]["head.weight"]])
    torch.testing.assert_close(model.head.weight.detach(), weights.double().mean(0).float(), rtol=1e-5, atol=1e-7)
