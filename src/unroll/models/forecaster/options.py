"""What a forecaster is made of beside its recurrent layers; nothing here imports a library, so that help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unroll.errors import OptionError
from unroll.models.options import check_shares
from unroll.options import check_range, check_types, shown

Strategy = Literal["recursive", "direct", "attention", "segment"]
Kind = Literal["point", "quantile", "normal", "student_t", "negative_binomial"]
_MANY = 2**20


@dataclass(frozen=True)
class ForecasterOptions:
    """How the forecast is made and what it says."""

    strategy: Strategy = "direct"
    """One step at a time from its own answers (recursive); all steps at once from the last state (direct); a second
    recurrence that looks back by attention (attention); by segments of steps, each channel by itself (segment)."""
    channels: Literal["auto", "mixed", "independent"] = "auto"
    """Targets are read and answered together (mixed), or each by itself with the same weights (independent); auto is
    independent for segment and mixed for the others."""
    normalise: Literal["none", "last", "revin"] = "last"
    """What is taken off each look-back and put back on the forecast: nothing, the last value, or mean and deviation."""
    segment: int = 0
    """segment only: steps of a segment, a divisor of lookback and of horizon (0: the largest up to 24)."""
    attention: Literal["additive", "dot", "general"] = "additive"
    """attention only: how a step of the forecast is held against the steps of the look-back."""
    teacher_forcing: float = 0.5
    """attention only: share of the steps that are given the true value before them in training, not the model's own."""
    output: Kind = "point"
    """What is said of each value: a number, quantiles, or a distribution (negative_binomial is for counts)."""
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)
    """Rising levels, 0.5 among them: those that quantile learns, and those told of a distribution."""
    loss: Literal["mse", "mae", "huber"] = "mse"
    """point only: what training makes small."""
    head_dropout: float = 0.0
    """Dropout before the last linear map."""
    paths: int = 200
    """Sample paths that the quantiles are taken from where a forecast feeds on its own answers."""

    def __post_init__(self) -> None:
        check_types(self)
        check_shares(self)
        check_range(self, "segment", least=0, below=_MANY)
        check_range(self, "paths", least=2, below=_MANY)
        if not 0 <= self.teacher_forcing <= 1:
            raise OptionError(f"teacher_forcing is {self.teacher_forcing:g}; it must be a share from 0 to 1")
        rising = all(a < b for a, b in zip(self.quantiles, self.quantiles[1:], strict=False))
        inside = all(0 < q < 1 for q in self.quantiles)
        if not rising or not inside or 0.5 not in self.quantiles:
            raise OptionError(
                f"quantiles is {shown(list(self.quantiles))}; give rising levels between 0 and 1 with 0.5 among them,"
                " such as [0.1, 0.5, 0.9]"
            )
        if self.strategy == "segment" and self.channels == "mixed":
            raise OptionError("strategy 'segment' reads each channel by itself; channels cannot be 'mixed'")
        if self.strategy == "recursive" and self.normalise == "revin":
            raise OptionError(
                "normalise 'revin' needs the whole look-back, and strategy 'recursive' reads step by step; take 'last'"
            )

    @property
    def independent(self) -> bool:
        """Whether each channel is read by itself."""
        return self.channels == "independent" or self.strategy == "segment"
