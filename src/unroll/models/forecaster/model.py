"""Forecasting model: a look-back in, a forecast of every step of the horizon out, by one of four strategies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unroll.errors import OptionError
from unroll.layers.revin import LocScale, RevIN
from unroll.models.forecaster.distributions import at_levels, make_output
from unroll.models.forecaster.inputs import ForecastInputs, Taught, carry_forward, change_rows, segment_length
from unroll.models.forecaster.skip import SkipForecast
from unroll.models.forecaster.strategies import (
    DecoderState,
    Direct,
    EncoderDecoder,
    Recursive,
    Segments,
    Sizes,
    Steps,
)
from unroll.models.options import ForecasterOptions, RecurrentOptions

_STILL = 0.1
"""Least deviation of a look-back, as a share of the series', that calibrated errors are measured by."""
Choose = Callable[[Tensor, LocScale], Tensor]
"""Parameters (B, F, K, M) and units to values (B, F, K)."""


class Forecaster(nn.Module):
    """Forecast time series: normalisation, a forecasting strategy, and an output distribution.

    `forward(window)` returns parameters (B, F, K, M) of the output, in the units of the scaled targets. With `channels`
    independent, every channel is a separate row with its row's covariates, and all channels share the weights.

    The strategies recursive and seq2seq read their own forecasts: the point forecast in `forward`, samples in
    `sample`. They continue beyond the trained horizon; direct and segrnn are applied again, to a look-back that ends
    with their own point forecasts.

    Raises:
        OptionError: options that cannot be combined, or inputs that the strategy cannot use.
    """

    def __init__(self, options: ForecasterOptions, recurrent: RecurrentOptions, sizes: Sizes) -> None:
        super().__init__()
        self.options = options
        self.lookback, self.horizon = sizes.lookback, sizes.horizon
        self.channels, self.past = sizes.channels, sizes.past
        self.output = make_output(options.output, options.quantiles, options.loss)
        self.independent = options.independent
        K = 1 if self.independent else sizes.channels
        inner = Sizes(sizes.lookback, sizes.horizon, K, sizes.past, sizes.known, sizes.static, self.output.size)
        # a recursive forecaster reads differences instead, so that each step needs only those before it
        self.norm = RevIN(sizes.channels, "none" if options.strategy == "recursive" else options.instance_norm)
        drop = options.head_dropout
        self.strategy: nn.Module
        if options.strategy == "recursive":
            self.strategy = Recursive(recurrent, inner, drop, differences=options.instance_norm == "last")
        elif options.strategy == "direct":
            self.strategy = Direct(recurrent, inner, drop)
        elif options.strategy == "seq2seq":
            self.strategy = EncoderDecoder(recurrent, inner, drop, options.attention, options.teacher_forcing)
        else:
            length = segment_length(options.segment, sizes.lookback, sizes.horizon)
            self.strategy = Segments(recurrent, inner, drop, length, sizes.channels)
        self.offsets: Tensor | None
        calibrated = torch.zeros(sizes.horizon, sizes.channels, len(options.quantiles))
        self.register_buffer("offsets", calibrated if options.intervals == "conformal" else None)
        self.skip = None
        if options.skip != "none" and isinstance(self.strategy, Direct | Segments):
            self.skip = SkipForecast(options.skip, sizes.lookback, sizes.horizon, sizes.season)
            self.strategy.start_at(torch.zeros(self.output.size))

    @property
    def feeds(self) -> bool:
        """Whether each step depends on the forecasts of earlier steps, so that paths are sampled step by step."""
        return self.options.strategy == "recursive" or (
            self.options.strategy == "seq2seq" and self.options.teacher_forcing > 0
        )

    @property
    def has_quantiles(self) -> bool:
        """Whether the forecast has quantiles: those of a distribution, or of a calibrated point forecast."""
        return self.output.is_distribution or self.offsets is not None

    @property
    def streams(self) -> bool:
        """Whether the strategy can stream: `start`, `read`, and the argument `at` of the other methods."""
        return isinstance(self.strategy, Recursive)

    def forward(
        self, window: ForecastInputs, horizon: int | None = None, at: DecoderState | None = None
    ) -> Float[Tensor, "B F K M"]:
        """Forecast the next `horizon` steps (None: the trained horizon).

        With `at`, the state at the end of the look-back, the look-back is not read again.

        Raises:
            OptionError: the horizon is beyond the trained one, and past covariates would be needed that far.
        """
        return self._answer(window, horizon or self.horizon, self.output.point, at)[0]

    @torch.no_grad()
    def sample(
        self, window: ForecastInputs, paths: int, horizon: int | None = None, at: DecoderState | None = None
    ) -> Float[Tensor, "B N F K"]:
        """Sample N paths of scaled values, with PyTorch's global generator.

        If `feeds`, each step of a path is drawn given the path before it (ancestral sampling). Otherwise the steps of
        a path are drawn independently: correct for every single step, but without the dependence between steps.

        Raises:
            OptionError: the output is a point forecast; or as `forward`.
        """
        steps = horizon or self.horizon
        if not self.output.is_distribution:
            self.output.sample(window.x, window.units)
        if self.feeds:
            many = change_rows(window, lambda t: t.repeat_interleave(paths, 0))
            begin = None if at is None else at.repeated(paths, self.channels if self.independent else 1)
            return self._answer(many, steps, self.output.sample, begin)[1].unflatten(0, (-1, paths))
        parameters = self(window, steps)
        return torch.stack([self.output.sample(parameters, window.units) for _ in range(paths)], 1)

    @torch.no_grad()
    def quantiles(
        self,
        window: ForecastInputs,
        levels: Sequence[float],
        horizon: int | None = None,
        at: DecoderState | None = None,
    ) -> Float[Tensor, "B F K Q"]:
        """Compute the quantiles of every step, never decreasing; from `options.paths` sample paths if `feeds`.

        Calibrated ones are shifted by `offsets`, those of the last trained step beyond the horizon.

        Raises:
            OptionError: the output is a point forecast and not calibrated; or as `forward`.
        """
        found = self._quantiles(window, levels, horizon, at)
        if self.offsets is None:
            return found
        shift = self.offsets[torch.arange(found.size(1)).clamp(max=self.horizon - 1)]
        shift = at_levels(shift, self.options.quantiles, levels) * self.interval_unit(window.x).unsqueeze(3)
        return (found + shift).sort(-1).values

    def interval_unit(self, x: Float[Tensor, "B L K"]) -> Float[Tensor, "B 1 K"]:
        """Return the size that calibrated errors are measured by: with revin, the look-back's deviation, else 1."""
        if self.norm.kind != "revin":
            return torch.ones_like(x[:, :1])
        return x.std(1, correction=0, keepdim=True).clamp(min=_STILL)

    def _quantiles(
        self, window: ForecastInputs, levels: Sequence[float], horizon: int | None, at: DecoderState | None
    ) -> Float[Tensor, "B F K Q"]:
        if self.offsets is not None and not self.output.is_distribution:
            point = self.output.point(self(window, horizon, at), window.units)
            return point.unsqueeze(-1).expand(*point.shape, len(levels))
        if not self.feeds:
            return self.output.quantiles(self(window, horizon), levels, window.units)
        drawn = self.sample(window, self.options.paths, horizon, at).sort(1).values
        last = drawn.size(1) - 1
        quantiles = []
        for level in levels:
            low = math.floor(level * last)
            quantiles.append(torch.lerp(drawn[:, low], drawn[:, min(low + 1, last)], level * last - low))
        return torch.stack(quantiles, -1)

    def teach(
        self,
        window: ForecastInputs,
        target: Float[Tensor, "B F K"],
        observed: Bool[Tensor, "B F K"],
        seen: Bool[Tensor, "B L K"] | None = None,
    ) -> Taught:
        """Forecast with teacher forcing, for the loss; `seen`: the look-back's observed values (None: all).

        The strategy recursive forecasts every step of the look-back but the first, and every step of the horizon, each
        given the true earlier steps; seq2seq is given a share of them, and none outside training; direct and segrnn
        none. A true value that was not observed is replaced by the last observed one.
        """
        strategy = self.strategy
        given = carry_forward(window.x[:, -1:], target, observed)
        if isinstance(strategy, Recursive):
            x = torch.cat([window.x, given], 1)
            known = window.known[:, : x.size(1)]
            raw = strategy.teach(self._fold(x), self._beside(known), self._beside(window.static))
            place = self._relative(x[:, :-1])
            there = torch.ones_like(window.x, dtype=torch.bool) if seen is None else seen
            truth = torch.cat([window.x[:, 1:], target], 1)
            return Taught(self._put_back(raw, place), truth, torch.cat([there[:, 1:], observed], 1))
        if isinstance(strategy, EncoderDecoder):
            x, place = self.norm(window.x)
            respond = self._respond(place, window.units, self.output.point, [])
            truth = self._fold(self.norm.again(given, place))
            raw, _ = strategy(self._steps(window, x), self.horizon, respond, truth)
            return Taught(self._put_back(raw, place), target, observed)
        return Taught(self(window), target, observed)

    @torch.no_grad()
    def attention(self, window: ForecastInputs) -> Float[Tensor, "B F L"]:
        """Return the attention weights of each forecast step; they sum to one over the look-back.

        With independent channels, rows are B times the channels.

        Raises:
            OptionError: the strategy has no attention.
        """
        if not isinstance(self.strategy, EncoderDecoder):
            raise OptionError(f"strategy '{self.options.strategy}' has no attention to look at")
        x, place = self.norm(window.x)
        respond = self._respond(place, window.units, self.output.point, [])
        return self.strategy(self._steps(window, x), self.horizon, respond)[1]

    @torch.no_grad()
    def start_at(self, weight: np.ndarray, biases: np.ndarray | None = None) -> None:
        """Set the skip connection's linear map (F, L), and the head's biases (M,); the head's weights are zero."""
        if self.skip is None or not isinstance(self.strategy, Direct | Segments):
            raise TypeError("there is no skip connection")
        self.skip.weight.copy_(torch.from_numpy(weight))
        if biases is not None:
            self.strategy.start_at(torch.from_numpy(biases).float())

    @torch.no_grad()
    def calibrate(self, offsets: np.ndarray) -> None:
        """Set what is added to the quantiles, (F, K, Q) in units of `interval_unit`."""
        if self.offsets is None:
            raise OptionError("intervals is 'model', so there is nothing to calibrate")
        self.offsets.copy_(torch.from_numpy(offsets))

    # a stream

    def start(self, window: ForecastInputs) -> DecoderState:
        """Read the window's look-back and return the state at its end.

        Raises:
            OptionError: the strategy does not read step by step.
        """
        T = window.x.size(1)
        known, static = self._beside(window.known[:, :T]), self._beside(window.static)
        return self._recursive().start(self._fold(window.x), known, static)

    def read(self, at: DecoderState, window: ForecastInputs) -> DecoderState:
        """Read further values; `window.x` and `window.known` hold only these."""
        U = window.x.size(1)
        known, static = self._beside(window.known[:, :U]), self._beside(window.static)
        return self._recursive().read(at, self._fold(window.x), known, static)

    # within

    def _recursive(self) -> Recursive:
        if not isinstance(self.strategy, Recursive):
            raise OptionError(f"strategy '{self.options.strategy}' reads whole look-backs; only 'recursive' streams")
        return self.strategy

    def _ahead(self, at: DecoderState, window: ForecastInputs, horizon: int, choose: Choose) -> tuple[Tensor, Tensor]:
        """Forecast from a state, as `_answer`; uses only `window.known` (B, F, Q), `static` and `units`."""
        strategy, chosen = self._recursive(), []

        def respond(raw: Tensor, base: Tensor) -> Tensor:
            chosen.append(choose(self._put_back(raw, self._relative(self._unfold(base))), window.units))
            return self._fold(chosen[-1])

        known, static = self._beside(window.known), self._beside(window.static)
        raw, bases = strategy.answer(at, known, static, horizon, respond)
        return self._put_back(raw, self._relative(self._unfold(bases))), torch.cat(chosen, 1)

    def _answer(
        self, window: ForecastInputs, horizon: int, choose: Choose, at: DecoderState | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute parameters (B, F, K, M), and the values (B, F, K) chosen from them."""
        if at is not None or isinstance(self.strategy, Recursive):
            ahead = window._replace(known=window.known[:, window.x.size(1) :])
            return self._ahead(self.start(window) if at is None else at, ahead, horizon, choose)
        if isinstance(self.strategy, EncoderDecoder):
            chosen: list[Tensor] = []
            x, place = self.norm(window.x)
            respond = self._respond(place, window.units, choose, chosen)
            raw, _ = self.strategy(self._steps(window, x), horizon, respond)
            return self._put_back(raw, place), torch.cat(chosen, 1)
        parts = [self._whole(window)]
        values = [choose(parts[0], window.units)]
        F = self.horizon
        if horizon > F and self.past:
            raise OptionError(
                f"the horizon is {horizon}, beyond the {F} steps that strategy '{self.options.strategy}' was trained"
                " for, and past covariates are not known that far; train with a longer horizon"
            )
        x = window.x
        for done in range(F, horizon, F):
            x = torch.cat([x, values[-1]], 1)[:, -self.lookback :]
            parts.append(self._whole(window._replace(x=x, known=window.known[:, done:])))
            values.append(choose(parts[-1], window.units))
        return torch.cat(parts, 1)[:, :horizon], torch.cat(values, 1)[:, :horizon]

    def _whole(self, window: ForecastInputs) -> Tensor:
        """Forecast the trained horizon in one call; if `known` is shorter, its last values are repeated."""
        need = self.lookback + self.horizon
        known = window.known[:, :need]
        if known.size(1) < need:
            known = torch.cat([known, known[:, -1:].expand(-1, need - known.size(1), -1)], 1)
        x, place = self.norm(window.x)
        base = None if self.skip is None else self.skip(x)
        return self._put_back(self.strategy(self._steps(window._replace(known=known), x)), place, base)

    def _respond(
        self, place: LocScale, units: LocScale, choose: Choose, chosen: list[Tensor]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        def respond(raw: Tensor, _: Tensor) -> Tensor:
            chosen.append(choose(self._put_back(raw, place), units))
            return self._fold(self.norm.again(chosen[-1], place))

        return respond

    def _relative(self, base: Float[Tensor, "B U K"]) -> LocScale:
        """Return the offset of a recursive forecast: the value before it, or zero."""
        differences = cast("Recursive", self.strategy).differences
        return LocScale(base if differences else torch.zeros_like(base), torch.ones_like(base))

    def _put_back(self, raw: Tensor, place: LocScale, base: Tensor | None = None) -> Float[Tensor, "B F K M"]:
        """Convert raw outputs to parameters; `base` (B, F, K), normalised, is added to the values."""
        # sixteen bits are enough for the layers, not for log-likelihoods and levels
        raw = raw.float() if raw.dtype in (torch.float16, torch.bfloat16) else raw

        def value(v: Tensor) -> Tensor:
            return self.norm.inverse(v if base is None else v + base.unsqueeze(3), place)

        return self.output.parameters(self._unfold(raw), value, lambda s: self.norm.inverse_scale(s, place))

    def _steps(self, window: ForecastInputs, x: Tensor) -> Steps:
        beside = (self._beside(t) for t in (window.past, window.known, window.static))
        return Steps(self._fold(x), *beside)

    def _fold(self, x: Float[Tensor, "B T K"]) -> Float[Tensor, "BK T 1"]:
        """Make each channel a separate row, if channels are independent."""
        return x.transpose(1, 2).flatten(0, 1).unsqueeze(2) if self.independent else x

    def _unfold(self, y: Tensor) -> Tensor:
        """Undo `_fold`: (BK, T, 1, ...) back to (B, T, K, ...)."""
        return y.squeeze(2).unflatten(0, (-1, self.channels)).transpose(1, 2) if self.independent else y

    def _beside(self, covariates: Tensor) -> Tensor:
        return covariates.repeat_interleave(self.channels, 0) if self.independent else covariates
