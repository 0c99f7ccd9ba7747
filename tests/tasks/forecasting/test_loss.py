from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.data.timeseries.windows import ForecastWindows
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.strategies import Sizes
from unroll.models.options import ForecasterOptions, RecurrentOptions
from unroll.tasks.forecasting.loss import ForecastObjective

L, F, K = 6, 3, 2


def parts(strategy: str, output: str = "point", loss: str = "mse"):
    rng = np.random.default_rng(0)
    df = pd.DataFrame(rng.normal(size=(40, K)).cumsum(0), columns=["a", "b"])
    df.loc[10:12, "a"] = np.nan
    df.loc[20, "b"] = np.nan
    frames = from_dataframe(df, TimeSeriesOptions(time="none", gaps="fill"))
    scaler = SeriesScaler.learn(frames)
    windows = ForecastWindows(frames, scaler, history=L, horizon=F, batch_size=5)
    options = ForecasterOptions(strategy=strategy, output=output, loss=loss)
    torch.manual_seed(0)
    model = Forecaster(options, RecurrentOptions(recurrence="gru", hidden_size=4), Sizes(L, F, K, 0, 0, 0, 0))
    return windows, model, ForecastObjective(options, scaler.table(frames.names), L)


@pytest.mark.parametrize("strategy", ["recursive", "direct", "seq2seq", "segrnn"])
def test_the_loss_is_the_mean_over_what_was_observed(strategy: str) -> None:
    windows, model, objective = parts(strategy)
    model.eval()
    total, count = 0.0, 0.0
    for batch in windows:
        said = objective.output(model, batch)
        total += objective.loss(said, batch).item() * objective.weight(batch)
        count += objective.weight(batch)
    taught = objective.output(model, windows.take(np.arange(windows.size))).taught
    each = (taught.parameters.squeeze(3) - taught.target).square()
    wanted = each[taught.observed].sum().item()
    assert total == pytest.approx(wanted, rel=1e-5)
    read = (L - 1) * K * windows.size if strategy == "recursive" else 0
    assert count == windows.truth()[1].sum() + read


@pytest.mark.parametrize("output", ["point", "quantile", "normal", "student_t"])
def test_losses_of_several_processes_add_up(output: str) -> None:
    for strategy in ("recursive", "direct"):
        windows, model, objective = parts(strategy, output)
        model.eval()
        halves = [windows.shard(rank, 2) for rank in range(2)]
        for whole, *own in zip(windows, *halves, strict=True):
            wanted = objective.loss(objective.output(model, whole), whole)
            found = sum(objective.loss(objective.output(model, part), part) for part in own)
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
            assert objective.weight(own[0]) == objective.weight(whole)


def test_metrics_are_those_of_the_free_forecast() -> None:
    for strategy in ("recursive", "direct"):
        windows, model, objective = parts(strategy)
        model.eval()
        metrics = objective.metrics()
        errors = []
        for batch in windows:
            said = objective.output(model, batch)
            objective.update(metrics, said, batch)
            free = model(objective.units.window(batch)).squeeze(3)
            errors.append((free - batch.target)[batch.observed])
        error = torch.cat(errors)
        found = metrics.compute()
        assert float(found["mse"]) == pytest.approx(error.square().mean().item(), rel=1e-5)
        assert float(found["mae"]) == pytest.approx(error.abs().mean().item(), rel=1e-5)
        assert metrics["mse"].higher_is_better is False


def test_what_chooses_the_best_weights() -> None:
    monitors = [("point", "mse", "mse"), ("point", "huber", "mse"), ("point", "mae", "mae"), ("normal", "mse", "loss")]
    for output, loss, name in monitors:
        assert parts("direct", output, loss)[2].monitor == (name, "min")


def test_nothing_is_forecast_in_training() -> None:
    windows, model, objective = parts("recursive")
    batch = windows.take(np.arange(2))
    said = objective.output(model.train(), batch)
    assert said.point is None
    assert objective.watched(said, batch) is None
    seen = objective.watched(objective.output(model.eval(), batch), batch)
    assert seen is not None
    assert seen[0].shape == (2, F * K)
    with pytest.raises(TypeError, match="windows with their futures"):
        objective.output(model, replace(batch, target=None))


def test_a_batch_without_any_truth_has_a_loss_of_zero() -> None:
    windows, model, objective = parts("direct")
    batch = windows.take(np.arange(2))
    batch = replace(batch, observed=torch.zeros_like(batch.observed), observed_total=0)
    assert objective.loss(objective.output(model.eval(), batch), batch).item() == 0.0
