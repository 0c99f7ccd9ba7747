"""What training makes small, and what validation watches."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from unroll.data.timeseries.scaler import ShiftScale
from unroll.data.timeseries.windows import ForecastBatch
from unroll.models.forecaster.distributions import make_output
from unroll.models.forecaster.model import Forecaster, Taught
from unroll.models.options import ForecasterOptions
from unroll.tasks.classification.loss import Monitor
from unroll.tasks.forecasting.inference import Units


class Said(NamedTuple):
    """A model's answer to a batch."""

    taught: Taught
    point: Float[Tensor, "B F K"] | None
    """The forecast with nothing given of the truth; None in training."""


class _Error(MeanMetric):
    """A mean of errors: the less the better."""

    higher_is_better = False


class ForecastObjective:
    """The output's loss over what was observed, and the errors of the scaled forecast.

        loss = sum over observed values of the output's loss, over how many they are

    What strategy recursive answers in the look-back counts too (there, values that were filled in have no loss, and are
    counted among those that the sum is divided by). The metrics are the mean squared and absolute error of
    the scaled values, as tables of long-horizon benchmarks state them; every forecast in them is made from the
    look-back alone.

    Args:
        options: of the model.
        scale: (S, K) shift and scale of the series' targets, in the order of the batches' `series`.
        lookback: L.
    """

    def __init__(self, options: ForecasterOptions, scale: ShiftScale, lookback: int) -> None:
        self.units = Units(scale)
        self._output = make_output(options.output, options.quantiles, options.loss)
        self.monitor: Monitor = ("loss", "min")
        if options.output == "point":
            self.monitor = ("mae" if options.loss == "mae" else "mse", "min")
        self._read = (lookback - 1) * scale.shift.shape[1] if options.strategy == "recursive" else 0

    def output(self, model: nn.Module, batch: ForecastBatch) -> Said:
        """Answers for the loss and, out of training, the forecast."""
        if not isinstance(model, Forecaster) or batch.target is None:
            raise TypeError("a forecaster and windows with their futures are needed")
        window = self.units.window(batch)
        taught = model.teach(window, batch.target, batch.observed, batch.seen)
        if model.training:
            return Said(taught, None)
        steps = batch.target.size(1)
        free = taught.parameters if taught.parameters.size(1) == steps else model(window)
        return Said(taught, model.output.point(free, window.units))

    def loss(self, output: Said, batch: ForecastBatch) -> Tensor:
        """The mean over the observed values of the whole batch."""
        parameters, target, observed = output.taught
        each = self._output.loss(parameters, target, self.units.place(batch.series))
        return each.masked_fill(~observed, 0.0).sum() / self.weight(batch)

    def weight(self, batch: ForecastBatch) -> float:
        """How many values the loss is a mean over."""
        return float(max(1, batch.observed_total + self._read * batch.total))

    def metrics(self) -> MetricCollection:
        """Mean squared and mean absolute error of the scaled values."""
        parts: dict[str, Metric] = {"mse": _Error(), "mae": _Error()}
        # each has its own weights and sum, so there is nothing to share
        return MetricCollection(parts, compute_groups=False)  # pyright: ignore[reportArgumentType] (dict is invariant)

    def update(self, metrics: MetricCollection, output: Said, batch: ForecastBatch) -> None:
        """Count what was observed."""
        if output.point is None or batch.target is None:
            raise TypeError("the forecast is made out of training, and held against windows with their futures")
        seen = batch.observed.to(output.point)
        error = output.point.float() - batch.target
        for name, each in (("mse", error.square()), ("mae", error.abs())):
            metrics[name].update(each, weight=seen)

    def watched(self, output: Said, batch: ForecastBatch) -> tuple[Tensor, None] | None:
        """The forecasts, which should differ from window to window."""
        return None if output.point is None else (output.point.flatten(1), None)
