"""Run a forecaster on windows, and convert its output to the data's units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unroll.data.timeseries.scaler import ShiftScale
from unroll.data.timeseries.windows import ForecastBatch, ForecastWindows
from unroll.layers.revin import LocScale
from unroll.models.forecaster.inputs import ForecastInputs
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.strategies import DecoderState
from unroll.tasks.batch_loop import require_finite

_ROWS = 2048


class Units:
    """Hold shift and scale of the targets (S, K) of several series as tensors."""

    def __init__(self, scale: ShiftScale) -> None:
        self.shift = torch.from_numpy(scale.shift).float()
        self.scale = torch.from_numpy(scale.scale).float()

    def place(self, series: Tensor) -> LocScale:
        """Return shift and scale (B, 1, K) of each row's series, on their device."""
        at = series.cpu()
        return LocScale(*(t[at].unsqueeze(1).to(series.device) for t in (self.shift, self.scale)))

    def window(self, batch: ForecastBatch) -> ForecastInputs:
        """Select the model's inputs from a batch: the look-back, and the known future covariates."""
        return ForecastInputs(batch.x, batch.past, batch.known, batch.static, self.place(batch.series))


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Hold forecasts of N windows in the data's units, float64.

    Attributes:
        point: (N, F, K).
        quantiles: (N, F, K, Q), increasing along Q; None for point output that is not calibrated.
        paths: (N, P, F, K) sample paths, if requested.
    """

    point: np.ndarray
    quantiles: np.ndarray | None = None
    paths: np.ndarray | None = None


def answer_batch(
    model: Forecaster,
    batch: ForecastBatch,
    scale: ShiftScale,
    *,
    horizon: int | None = None,
    paths: int = 0,
    at: DecoderState | None = None,
) -> Forecasts:
    """Forecast one batch of windows; sampling uses PyTorch's random state.

    Args:
        model: in evaluation mode.
        batch: the windows.
        scale: (S, K), of the series that `batch.series` indexes.
        horizon: steps; None: as in training.
        paths: number of sample paths to draw.
        at: carried state of the model; None: read the look-backs.

    Raises:
        RunError: an answer is not finite.
        OptionError: sample paths of point output, or a horizon that the strategy cannot reach.
    """
    window = Units(scale).window(batch.to(next(model.parameters()).device))
    rows = batch.series.numpy()
    shift, size = scale.shift[rows], scale.scale[rows]

    def back(values: Tensor, before: int, after: int) -> np.ndarray:
        """Convert to the data's units; K has `before` axes between it and the rows, and `after` axes after it."""
        shape = (len(rows), *(1,) * before, shift.shape[1], *(1,) * after)
        forecasts = values.double().cpu().numpy() * size.reshape(shape) + shift.reshape(shape)
        require_finite(forecasts)
        return forecasts

    with torch.inference_mode():
        point = back(model.output.point(model(window, horizon, at), window.units), 1, 0)
        quantiles = drawn = None
        if model.has_quantiles:
            quantiles = back(model.quantiles(window, model.options.quantiles, horizon, at), 1, 1)
        if paths:
            drawn = back(model.sample(window, paths, horizon, at), 2, 0)
    return Forecasts(point, quantiles, drawn)


def answer(
    model: Forecaster, windows: ForecastWindows, scale: ShiftScale, *, seed: int, rows: np.ndarray | None = None
) -> Forecasts:
    """Forecast all windows, or those numbered `rows`, in order; reproducible for a seed."""
    pieces = list(answer_in_pieces(model, windows, scale, seed=seed, rows=rows))
    quantiles = [f.quantiles for f in pieces if f.quantiles is not None]
    return Forecasts(np.concatenate([f.point for f in pieces]), np.concatenate(quantiles) if quantiles else None)


def answer_in_pieces(
    model: Forecaster, windows: ForecastWindows, scale: ShiftScale, *, seed: int, rows: np.ndarray | None = None
) -> Iterator[Forecasts]:
    """Forecast as `answer` does, yielding the windows in chunks."""
    numbers = np.arange(windows.size) if rows is None else rows
    most = 256 if not (model.output.is_distribution and model.feeds) else max(1, _ROWS // model.options.paths)
    model.eval()
    with seeded(seed, next(model.parameters()).device):
        for start in range(0, len(numbers), most):
            yield answer_batch(model, windows.take(numbers[start : start + most]), scale)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Set PyTorch's random seed within the context, and restore the random state afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
