"""Loss and metrics of forecasting."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from unroll.data.timeseries.scaler import ShiftScale
from unroll.data.timeseries.windows import ForecastBatch
from unroll.models.forecaster.distributions import make_output
from unroll.models.forecaster.inputs import Taught
from unroll.models.forecaster.model import Forecaster
from unroll.models.options import ForecasterOptions
from unroll.tasks.classification.loss import Monitor
from unroll.tasks.forecasting.inference import Units


class Said(NamedTuple):
    """Hold a model's output for a batch."""

    taught: Taught
    point: Float[Tensor, "B F K"] | None
    """The forecast without teacher forcing; None in training."""


class _Error(MeanMetric):
    """Mean of errors; lower is better."""

    higher_is_better = False


class ForecastObjective:
    """Compute the output's loss over observed values, and the errors of the scaled forecast.

        loss = sum over observed values of the output's loss, divided by their number

    Predictions of strategy recursive in the look-back count too (there, filled values have no loss, but count in the
    number that the sum is divided by). The metrics are the mean squared and absolute error of the scaled values, as
    in tables of long-horizon benchmarks; they use only forecasts from the look-back, without teacher forcing.

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
        """Compute the output for the loss and, in evaluation, the forecast."""
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
        """Compute the mean loss over the observed values of the whole batch."""
        parameters, target, observed = output.taught
        each = self._output.loss(parameters, target, self.units.place(batch.series))
        return each.masked_fill(~observed, 0.0).sum() / self.weight(batch)

    def weight(self, batch: ForecastBatch) -> float:
        """Count the values that the loss is averaged over."""
        return float(max(1, batch.observed_total + self._read * batch.total))

    def metrics(self) -> MetricCollection:
        """Mean squared and mean absolute error of the scaled values."""
        parts: dict[str, Metric] = {"mse": _Error(), "mae": _Error()}
        # the metrics have separate states, so there is nothing to share
        return MetricCollection(parts, compute_groups=False)  # pyright: ignore[reportArgumentType] (dict is invariant)

    def update(self, metrics: MetricCollection, output: Said, batch: ForecastBatch) -> None:
        """Update the metrics with the observed values of a batch."""
        if output.point is None or batch.target is None:
            raise TypeError("the forecast is made out of training, and held against windows with their futures")
        seen = batch.observed.to(output.point)
        error = output.point.float() - batch.target
        for name, each in (("mse", error.square()), ("mae", error.abs())):
            metrics[name].update(each, weight=seen)

    def watched(self, output: Said, batch: ForecastBatch) -> tuple[Tensor, None] | None:
        """Return the forecasts, which should differ between windows."""
        return None if output.point is None else (output.point.flatten(1), None)
