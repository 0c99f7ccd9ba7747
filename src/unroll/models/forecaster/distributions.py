"""Forecast outputs: point forecasts, quantiles and distributions, with their losses.

Shapes: raw and parameters (..., M), values (...). Raw is the output of the last linear layer; parameters are raw with
widths made positive and the look-back's normalisation undone, in the units of the scaled targets.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unroll.errors import OptionError
from unroll.layers.revin import LocScale

Undo = Callable[[Tensor], Tensor]
"""(..., M) normalised values or widths to the units of the scaled targets."""

_LEAST = 1e-4
_EDGE = 1e-6
"""Levels nearer to 0 and 1 are taken for this one."""


class Output(abc.ABC):
    """Base class of forecast outputs; `size` is M, the number of parameters of each value.

    `units` convert a scaled target to the data's own units, y = scale * target + location; only counts need them.
    """

    size: int
    is_distribution = True
    """Whether the output has quantiles and samples."""

    @abc.abstractmethod
    def parameters(self, raw: Float[Tensor, "... M"], value: Undo, width: Undo) -> Float[Tensor, "... M"]:
        """Convert raw outputs to parameters; `value` and `width` undo the normalisation of values and widths."""

    @abc.abstractmethod
    def loss(self, parameters: Float[Tensor, "... M"], target: Float[Tensor, "..."], units: LocScale) -> Tensor:
        """Compute the loss of each value."""

    @abc.abstractmethod
    def point(self, parameters: Float[Tensor, "... M"], units: LocScale) -> Float[Tensor, "..."]:
        """Compute the point forecast."""

    @abc.abstractmethod
    def quantiles(
        self, parameters: Float[Tensor, "... M"], levels: Sequence[float], units: LocScale
    ) -> Float[Tensor, "... Q"]:
        """Compute the quantiles at `levels`; they never decrease from level to level."""

    @abc.abstractmethod
    def sample(self, parameters: Float[Tensor, "... M"], units: LocScale) -> Float[Tensor, "..."]:
        """Draw one sample of each value, with PyTorch's global generator."""


class Point(Output):
    """Point forecast. mse: (y - t)^2; mae: |y - t|; huber: (y - t)^2 / 2 if |y - t| <= 1, else |y - t| - 1/2."""

    size = 1
    is_distribution = False

    def __init__(self, loss: str = "mse") -> None:
        self._loss = {"mse": functional.mse_loss, "mae": functional.l1_loss, "huber": functional.huber_loss}[loss]

    def parameters(self, raw: Tensor, value: Undo, width: Undo) -> Tensor:
        """Return the value."""
        return value(raw)

    def loss(self, parameters: Tensor, target: Tensor, units: LocScale) -> Tensor:
        """Compute the chosen loss."""
        return self._loss(parameters.squeeze(-1), target, reduction="none")

    def point(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Return the value."""
        return parameters.squeeze(-1)

    def quantiles(self, parameters: Tensor, levels: Sequence[float], units: LocScale) -> Tensor:
        """Raise an `OptionError`: a point forecast has no quantiles."""
        raise OptionError(f"{_NOT_POINT} has no intervals")

    def sample(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Raise an `OptionError`: a point forecast has no distribution."""
        raise OptionError(f"{_NOT_POINT} has no sample paths")


_NOT_POINT = "output 'point' gives one number a step; train with output quantile or a distribution: it"


class Quantiles(Output):
    """Quantile regression: the quantiles at `levels`, trained with the mean of their pinball losses.

        pinball_q(y, t) = q (t - y) if t > y, else (1 - q) (y - t)

    Training does not prevent quantiles from crossing. `quantiles` and `sample` sort them, which never increases the
    pinball loss (Chernozhukov, Fernandez-Val & Galichon 2010, "Quantile and probability curves without crossing");
    the loss uses them unsorted. Other levels and samples are interpolated between neighbours. Beyond the outermost
    level p_1, with p_2 beside it, there is an exponential tail through both, and the same from above:

        y(p) = y_1 + (y_2 - y_1) ln(p / p_1) / ln(p_2 / p_1)    for p < p_1

    With one level there is none.

    Koenker & Bassett 1978, "Regression quantiles"; of recurrent forecasts, Wen et al. 2017, "A multi-horizon quantile
    recurrent forecaster".
    """

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(levels)
        self.size = len(self.levels)

    def parameters(self, raw: Tensor, value: Undo, width: Undo) -> Tensor:
        """Return the quantiles in the order of the levels, not sorted."""
        return value(raw)

    def loss(self, parameters: Tensor, target: Tensor, units: LocScale) -> Tensor:
        """Compute the mean pinball loss over the levels."""
        over = target.unsqueeze(-1) - parameters
        q = over.new_tensor(self.levels)
        return torch.maximum(q * over, (q - 1.0) * over).mean(-1)

    def point(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Return the median."""
        return self.quantiles(parameters, (0.5,), units).squeeze(-1)

    def quantiles(self, parameters: Tensor, levels: Sequence[float], units: LocScale) -> Tensor:
        """Interpolate the sorted quantiles; levels beyond the outermost lie in exponential tails."""
        wanted = parameters.new_tensor(list(levels)).expand(*parameters.shape[:-1], len(levels))
        return self._at(parameters, wanted)

    def sample(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Sample the quantile at a random level."""
        return self._at(parameters, torch.rand_like(parameters[..., :1])).squeeze(-1)

    def _at(self, parameters: Tensor, levels: Tensor) -> Tensor:
        values = parameters.sort(-1).values
        if self.size == 1:
            return values.expand_as(levels)
        found = at_levels(values, self.levels, levels)
        first, last = self.levels[0], self.levels[-1]
        # rand may give 0, whose quantile is not finite
        levels = levels.clamp(_EDGE, 1.0 - _EDGE)
        below = (values[..., 1:2] - values[..., :1]) / math.log(self.levels[1] / first)
        above = (values[..., -1:] - values[..., -2:-1]) / math.log((1.0 - self.levels[-2]) / (1.0 - last))
        found = torch.where(levels < first, values[..., :1] + below * (levels / first).log(), found)
        return torch.where(levels > last, values[..., -1:] - above * ((1.0 - levels) / (1.0 - last)).log(), found)


def at_levels(
    values: Float[Tensor, "... Q"], known: Sequence[float], levels: Sequence[float] | Tensor
) -> Float[Tensor, "... P"]:
    """Interpolate values at the levels `known` (Q,) linearly at others (P,); outer levels get the outer values."""
    if not isinstance(levels, Tensor):
        levels = values.new_tensor(list(levels)).expand(*values.shape[:-1], len(levels))
    if len(known) == 1:
        return values.expand_as(levels)
    at = values.new_tensor(list(known))
    above = torch.searchsorted(at, levels.contiguous()).clamp(1, len(at) - 1)
    low, high = at[above - 1], at[above]
    share = ((levels - low) / (high - low)).clamp(0.0, 1.0)
    return torch.lerp(values.gather(-1, above - 1), values.gather(-1, above), share)


class Normal(Output):
    """Normal distribution: y ~ N(mu, sigma^2), sigma = softplus(raw) + 1e-4 in normalised units."""

    size = 2

    def parameters(self, raw: Tensor, value: Undo, width: Undo) -> Tensor:
        """Return (mu, sigma)."""
        mean, spread = raw.split(1, -1)
        return torch.cat([value(mean), width(_positive(spread))], -1)

    def distribution(self, parameters: Tensor) -> torch.distributions.Normal:
        """Return the distribution of the scaled targets."""
        return torch.distributions.Normal(parameters[..., 0], parameters[..., 1], validate_args=False)

    def loss(self, parameters: Tensor, target: Tensor, units: LocScale) -> Tensor:
        """Compute -log p(t)."""
        return -self.distribution(parameters).log_prob(target)

    def point(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Return the mean."""
        return parameters[..., 0]

    def quantiles(self, parameters: Tensor, levels: Sequence[float], units: LocScale) -> Tensor:
        """Compute mu + sigma z_q."""
        z = torch.special.ndtri(parameters.new_tensor(list(levels)))
        return parameters[..., :1] + parameters[..., 1:] * z

    def sample(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Draw one sample."""
        return self.distribution(parameters).sample()


class StudentT(Output):
    """Student's t distribution: location, scale, and degrees of freedom above 2, so that the variance exists."""

    size = 3

    def parameters(self, raw: Tensor, value: Undo, width: Undo) -> Tensor:
        """Return (mu, sigma, nu)."""
        centre, spread, freedom = raw.split(1, -1)
        return torch.cat([value(centre), width(_positive(spread)), 2.0 + _positive(freedom)], -1)

    def distribution(self, parameters: Tensor) -> torch.distributions.StudentT:
        """Return the distribution of the scaled targets."""
        centre, spread, freedom = parameters.unbind(-1)
        return torch.distributions.StudentT(freedom, centre, spread, validate_args=False)

    def loss(self, parameters: Tensor, target: Tensor, units: LocScale) -> Tensor:
        """Compute -log p(t)."""
        return -self.distribution(parameters).log_prob(target)

    def point(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Return the mean, which is also the median."""
        return parameters[..., 0]

    def quantiles(self, parameters: Tensor, levels: Sequence[float], units: LocScale) -> Tensor:
        """Compute mu + sigma t_q(nu)."""
        from scipy.special import stdtrit

        centre, spread, freedom = parameters.double().split(1, -1)
        t = torch.from_numpy(stdtrit(freedom.numpy(force=True), np.asarray(levels)))
        return (centre + spread * t.to(centre.device)).to(parameters.dtype)

    def sample(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Draw one sample."""
        return self.distribution(parameters).sample()


class NegativeBinomial(Output):
    """Negative binomial distribution of counts, overdispersed: variance = mean + alpha mean^2.

    It models the targets in their own units, whole numbers from zero up. With m the raw mean, its
    normalisation undone, and y = scale * t + location:

        mean = scale softplus(m + location / scale),    alpha = softplus(raw) + 1e-4

    so that the mean is positive, and close to m in the data's units if that is well above zero. The parameters are
    (m, alpha). As in Salinas et al. 2020, "DeepAR: probabilistic forecasting with autoregressive recurrent networks",
    except for the mean: there it is scale softplus(m), of inputs that are only divided by a scale.
    """

    size = 2

    def parameters(self, raw: Tensor, value: Undo, width: Undo) -> Tensor:
        """Return (m, alpha)."""
        mean, spread = raw.split(1, -1)
        return torch.cat([value(mean), _positive(spread)], -1)

    def distribution(self, parameters: Tensor, units: LocScale) -> torch.distributions.NegativeBinomial:
        """Return the distribution of the counts."""
        mean, alpha = self._mean(parameters, units), parameters[..., 1]
        return torch.distributions.NegativeBinomial(1.0 / alpha, logits=(mean * alpha).log(), validate_args=False)

    def _mean(self, parameters: Tensor, units: LocScale) -> Tensor:
        mean = units.scale * functional.softplus(parameters[..., 0] + units.location / units.scale)
        return mean + torch.finfo(mean.dtype).tiny

    def loss(self, parameters: Tensor, target: Tensor, units: LocScale) -> Tensor:
        """Compute -log p(count)."""
        count = (target * units.scale + units.location).round().clamp(min=0.0)
        return -self.distribution(parameters, units).log_prob(count)

    def point(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Return the mean, as a scaled target."""
        return (self._mean(parameters, units) - units.location) / units.scale

    def quantiles(self, parameters: Tensor, levels: Sequence[float], units: LocScale) -> Tensor:
        """Compute the quantiles, whole counts as scaled targets."""
        from scipy.stats import nbinom

        mean, alpha = self._mean(parameters, units).double(), parameters[..., 1].double()
        n = (1.0 / alpha).numpy(force=True)
        p = (1.0 / (1.0 + alpha * mean)).numpy(force=True)
        counts = torch.from_numpy(nbinom.ppf(np.asarray(levels), n[..., None], p[..., None]))
        counts = counts.to(parameters.device)
        return ((counts - units.location.unsqueeze(-1)) / units.scale.unsqueeze(-1)).to(parameters.dtype)

    def sample(self, parameters: Tensor, units: LocScale) -> Tensor:
        """Draw one count, as a scaled target."""
        return (self.distribution(parameters, units).sample() - units.location) / units.scale


def _positive(raw: Tensor) -> Tensor:
    return functional.softplus(raw) + _LEAST


def make_output(output: str, quantiles: Sequence[float], loss: str) -> Output:
    """Make the output named `output`; `quantiles` are for output quantile, `loss` for output point."""
    if output == "point":
        return Point(loss)
    if output == "quantile":
        return Quantiles(quantiles)
    return {"normal": Normal, "student_t": StudentT, "negative_binomial": NegativeBinomial}[output]()
