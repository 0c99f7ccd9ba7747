from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from unroll.errors import OptionError
from unroll.layers.revin import LocScale
from unroll.models.forecaster.inputs import ForecastInputs
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.skip import SkipForecast, naive_weight
from unroll.models.forecaster.strategies import Sizes
from unroll.models.options import ForecasterOptions, RecurrentOptions

L, F, K, M = 8, 4, 2, 3


def made(**options: Any) -> Forecaster:
    torch.manual_seed(0)
    sizes = Sizes(L, F, K, 0, 0, 0, 0, season=M)
    return Forecaster(ForecasterOptions(**options), RecurrentOptions(hidden_size=4), sizes).eval()


def window() -> ForecastInputs:
    torch.manual_seed(1)
    nothing = torch.zeros(5, L + F, 0)
    units = LocScale(torch.zeros(5, 1, K), torch.ones(5, 1, K))
    return ForecastInputs(torch.randn(5, L, K).cumsum(1), nothing[:, :L], nothing, nothing[:, 0], units)


def test_the_naive_weight_repeats_the_last_season() -> None:
    x = torch.arange(5.0)
    assert (naive_weight(5, 4, 3) @ x).tolist() == [2, 3, 4, 2]
    assert (naive_weight(5, 4, 1) @ x).tolist() == [4, 4, 4, 4]
    assert (naive_weight(5, 4, 6) @ x).tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("strategy", ["direct", "segrnn"])
@pytest.mark.parametrize("instance_norm", ["none", "last", "revin"])
@pytest.mark.parametrize("output", ["point", "quantile", "normal"])
def test_an_untrained_forecast_is_the_skip_connections(strategy: str, instance_norm: str, output: str) -> None:
    given = window()
    for skip, steps in (("last", [-1, -1, -1, -1]), ("seasonal", [-3, -2, -1, -3]), ("linear", [-3, -2, -1, -3])):
        model = made(strategy=strategy, instance_norm=instance_norm, output=output, skip=skip)
        found = model.output.point(model(given), given.units)
        torch.testing.assert_close(found, given.x[:, steps], rtol=1e-5, atol=1e-5)


def test_only_a_linear_skip_connection_is_trained_and_saved() -> None:
    assert [p.shape for p in SkipForecast("linear", L, F, M).parameters()] == [(F, L), (F,)]
    assert list(SkipForecast("seasonal", L, F, M).state_dict()) == []


@pytest.mark.parametrize("strategy", ["direct", "segrnn"])
def test_a_start_is_given(strategy: str) -> None:
    model, given = made(strategy=strategy, output="quantile", skip="linear", instance_norm="none"), window()
    weight = np.full((F, L), 1 / L)
    model.start_at(weight, np.array([-1.0, 0.0, 2.0]))
    mean = given.x.mean(1, keepdim=True).expand(-1, F, -1)
    found = model.quantiles(given, (0.1, 0.5, 0.9))
    torch.testing.assert_close(found, torch.stack([mean - 1, mean, mean + 2], -1))
    with pytest.raises(TypeError, match="no skip connection"):
        made().start_at(weight)


def test_other_strategies_have_none() -> None:
    with pytest.raises(OptionError, match="skip is 'linear', but it goes with strategy 'direct' or 'segrnn'"):
        ForecasterOptions(strategy="recursive", skip="linear")


def test_calibrated_quantiles_are_moved() -> None:
    given = window()
    plain = made(output="quantile", skip="seasonal", instance_norm="none")
    model = made(output="quantile", skip="seasonal", instance_norm="none", intervals="conformal")
    offsets = np.zeros((F, K, 3))
    offsets[..., 0], offsets[..., 2], offsets[-1, :, 2] = -1.0, 2.0, 5.0
    model.calibrate(offsets)
    moved = model.quantiles(given, (0.1, 0.3, 0.5, 0.9)) - plain.quantiles(given, (0.1, 0.3, 0.5, 0.9))
    torch.testing.assert_close(moved[:, 0, 0], torch.tensor([[-1.0, -0.5, 0.0, 2.0]]).expand(5, -1))
    longer = model.quantiles(given._replace(known=torch.zeros(5, L + 6, 0)), (0.9,), 6)
    base = plain.quantiles(given._replace(known=torch.zeros(5, L + 6, 0)), (0.9,), 6)
    torch.testing.assert_close((longer - base)[0, :, 0, 0], torch.tensor([2.0, 2, 2, 5, 5, 5]))
    with pytest.raises(OptionError, match="nothing to calibrate"):
        plain.calibrate(offsets)


def test_calibrated_intervals_are_as_wide_as_the_look_back_moves() -> None:
    given, model = window(), made(skip="last", instance_norm="revin", intervals="conformal")
    assert model.has_quantiles
    offsets = np.zeros((F, K, 3))
    offsets[..., 2] = 1.0
    model.calibrate(offsets)
    found = model.quantiles(given, (0.5, 0.9))
    torch.testing.assert_close(
        found[..., 1] - found[..., 0], given.x.std(1, correction=0, keepdim=True).expand(-1, F, -1)
    )
    still = given._replace(x=torch.ones_like(given.x))
    torch.testing.assert_close(model.quantiles(still, (0.9,))[..., 0], torch.full((5, F, K), 1.1))
