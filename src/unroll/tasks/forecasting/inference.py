"""Windows to a forecaster and its answers back as arrays in the data's units."""

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
from unroll.models.forecaster.model import Forecaster, ForecastInputs
from unroll.models.forecaster.strategies import DecoderState
from unroll.tasks.base import require_finite

_ROWS = 2048


class Units:
    """Shift and scale of the targets (S, K) of several series, at hand as tensors."""

    def __init__(self, scale: ShiftScale) -> None:
        self.shift = torch.from_numpy(scale.shift).float()
        self.scale = torch.from_numpy(scale.scale).float()

    def place(self, series: Tensor) -> LocScale:
        """(B, 1, K) of the rows' series, on their device."""
        at = series.cpu()
        return LocScale(*(t[at].unsqueeze(1).to(series.device) for t in (self.shift, self.scale)))

    def window(self, batch: ForecastBatch) -> ForecastInputs:
        """What the model reads of a batch: nothing that lies after the look-back but what is known of the future."""
        return ForecastInputs(batch.x, batch.past, batch.known, batch.static, self.place(batch.series))


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Forecasts of N windows in the data's units, float64.

    Attributes:
        point: (N, F, K).
        quantiles: (N, F, K, Q), rising along Q; None where the output is one number.
        paths: (N, P, F, K) sample paths, where they were asked for.
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
    """The model's answers to one batch; draws are by PyTorch's random state.

    Args:
        model: in evaluation mode.
        batch: the windows.
        scale: (S, K), of the series that `batch.series` counts.
        horizon: steps; None: those of training.
        paths: sample paths to draw.
        at: where a model that carries its state stands; else the look-backs are read.

    Raises:
        RunError: an answer is not finite.
        OptionError: paths of an output that is one number, or a horizon that the strategy cannot reach.
    """
    window = Units(scale).window(batch.to(next(model.parameters()).device))
    rows = batch.series.numpy()
    shift, size = scale.shift[rows], scale.scale[rows]

    def back(values: Tensor, before: int, after: int) -> np.ndarray:
        """To the data's units; K has `before` axes between it and the rows, and `after` axes after it."""
        shape = (len(rows), *(1,) * before, shift.shape[1], *(1,) * after)
        found = values.double().cpu().numpy() * size.reshape(shape) + shift.reshape(shape)
        require_finite(found)
        return found

    with torch.inference_mode():
        point = back(model.output.point(model(window, horizon, at), window.units), 1, 0)
        quantiles = drawn = None
        if model.output.is_distribution:
            quantiles = back(model.quantiles(window, model.options.quantiles, horizon, at), 1, 1)
        if paths:
            drawn = back(model.sample(window, paths, horizon, at), 2, 0)
    return Forecasts(point, quantiles, drawn)


def answer(
    model: Forecaster, windows: ForecastWindows, scale: ShiftScale, *, seed: int, rows: np.ndarray | None = None
) -> Forecasts:
    """The model's answers to all windows, or to those numbered `rows`, in order; the same for the same seed."""
    found = list(answer_in_pieces(model, windows, scale, seed=seed, rows=rows))
    quantiles = [f.quantiles for f in found if f.quantiles is not None]
    return Forecasts(np.concatenate([f.point for f in found]), np.concatenate(quantiles) if quantiles else None)


def answer_in_pieces(
    model: Forecaster, windows: ForecastWindows, scale: ShiftScale, *, seed: int, rows: np.ndarray | None = None
) -> Iterator[Forecasts]:
    """The same, some windows after others."""
    numbers = np.arange(windows.size) if rows is None else rows
    most = 256 if not (model.output.is_distribution and model.feeds) else max(1, _ROWS // model.options.paths)
    model.eval()
    with seeded(seed, next(model.parameters()).device):
        for start in range(0, len(numbers), most):
            yield answer_batch(model, windows.take(numbers[start : start + most]), scale)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within, PyTorch's random state starts at `seed`; afterwards it is what it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
