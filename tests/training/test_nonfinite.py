"""Numbers that are no longer finite stop a training, and reach no checkpoint."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from helpers.training_toy import Toy, ToyObjective, toy_data
from unroll.data.batches import Batches
from unroll.data.ragged import RaggedDataset
from unroll.training import checkpoints
from unroll.training.clipping import clip
from unroll.training.errors import TrainingError
from unroll.training.loop import fit
from unroll.training.nonfinite import first_unfinite
from unroll.training.options import TrainingOptions
from unroll.training.state import TrainingState

QUICK = {"epochs": 3, "learning_rate": 0.02, "threads": 1}
PER_EPOCH = 9


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_the_first_tensor_that_is_not_finite_is_named(bad: float, dtype: torch.dtype) -> None:
    large = torch.full((3, 5), torch.finfo(dtype).max, dtype=dtype)
    named = [("large", large), ("empty", large[:0]), ("whole", torch.arange(3)), ("last", torch.ones(40, dtype=dtype))]
    assert first_unfinite(named) is None
    named[3][1][37] = bad
    assert first_unfinite(named) == "last"
    large[1, 2] = bad
    assert first_unfinite(named) == "large"
    assert first_unfinite([]) is None


@pytest.mark.parametrize(
    ("step", "options", "valid"),
    [
        (2 * PER_EPOCH, {}, True),
        (2 * PER_EPOCH, {}, False),
        (2 * PER_EPOCH, {"average": "ema"}, True),
        (PER_EPOCH + 3, {"checkpoint_every": 12}, True),
        (PER_EPOCH + 3, {"max_steps": PER_EPOCH + 3}, True),
    ],
    ids=["validated", "unvalidated", "averaged", "checkpoint", "steps"],
)
def test_weights_that_a_step_made_nan_replace_no_checkpoint(
    step: int, options: dict, valid: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = itertools.count(1)

    def overflow(gradients: list[torch.Tensor], norm: float, options: TrainingOptions) -> None:
        clip(gradients, norm, options)
        if next(steps) == step:
            gradients[-1].fill_(math.nan)

    monkeypatch.setattr("unroll.training.lightning_module.clip", overflow)
    train, held = toy_data()
    settings = TrainingOptions(**QUICK | options)
    with pytest.raises(TrainingError) as error:
        fit(Toy(), ToyObjective(), train, held if valid else None, settings, tmp_path, quiet=True)
    assert f"epoch 2, step {step}: the weights of 'head.bias' are no longer finite" in str(error.value)
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    best = checkpoints.load(tmp_path / "checkpoints" / "best")
    assert (last["course"]["step"], best["epoch"]) == (PER_EPOCH, 1)
    assert all(torch.isfinite(w).all() for state in (last, best) for w in state["model"].values())


def test_weights_that_became_nan_within_an_epoch_are_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "unroll.training.lightning_module.clip", lambda gradients, norm, options: gradients[-1].fill_(math.nan)
    )
    with pytest.raises(TrainingError) as error:
        fit(Toy(), ToyObjective(), *toy_data(), TrainingOptions(**QUICK), tmp_path, quiet=True)
    said = str(error.value)
    assert said.startswith("epoch 1, step 2: the weights of 'head.bias' are not finite since an earlier step")
    assert "as before this step" not in said


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 3)

    def forward(self, x, lengths):
        return self.head(x.mean(1))


def series(bad: float | None = None) -> RaggedDataset:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(4, 2)).astype(np.float32) for _ in range(16)]
    if bad is not None:
        arrays[5][2, 1] = bad
    return RaggedDataset.from_arrays(arrays, np.arange(16) % 3)


@pytest.mark.parametrize("average", ["none", "ema"])
def test_a_validation_loss_that_is_nan_is_never_the_best(average: str, tmp_path: Path) -> None:
    data = Batches(series(), batch_size=8, shuffle=True), Batches(series(math.nan), batch_size=8, shuffle=False)
    with pytest.raises(TrainingError) as error:
        fit(Mean(), ToyObjective(), *data, TrainingOptions(**QUICK, average=average), tmp_path, quiet=True)
    assert str(error.value).startswith(
        "epoch 1, step 2: the validation value 'loss' is not finite: the input has a NaN"
    )
    assert "(row 5 of the validation data)" in str(error.value)
    assert not checkpoints.exists(tmp_path / "checkpoints" / "best")


def test_a_metric_that_is_nan_is_never_the_best(tmp_path: Path) -> None:
    class Undefined(ToyObjective):
        values = iter([0.5, math.nan])

        def metrics(self) -> MetricCollection:
            metrics = super().metrics()
            if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
                value = next(self.values)
                metrics.compute = lambda: {"accuracy": torch.tensor(value)}
            return metrics

    with pytest.raises(TrainingError, match="epoch 2, step 18: the validation value 'accuracy' is not finite, though"):
        fit(Toy(), Undefined(), *toy_data(), TrainingOptions(**QUICK), tmp_path, quiet=True)
    assert checkpoints.load(tmp_path / "checkpoints" / "best")["value"] == 0.5
    assert checkpoints.load(tmp_path / "checkpoints" / "last")["course"]["step"] == PER_EPOCH


@pytest.mark.parametrize("better", ["min", "max"])
def test_nan_is_no_first_best(better) -> None:
    course = TrainingState()
    assert not course.judge(math.nan, better, 0.0)
    assert (course.best_value, course.best_epoch, course.waited) == (None, 0, 1)
    assert course.judge(0.5, better, 0.0)
    assert not course.judge(math.nan, better, 0.0)
    assert (course.best_value, course.reference, course.waited) == (0.5, 0.5, 1)
