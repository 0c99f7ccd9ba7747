"""Which columns hold what, and how the loss weighs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unroll.errors import OptionError
from unroll.options import check_range, check_types


@dataclass(frozen=True)
class LabelledOptions:
    """Columns of labelled sequences, and the head's loss."""

    text: str = ""
    """Column holding a row's text."""
    series: str = ""
    """Column holding a row's numeric sequence: a list of steps, or of lists with one value per feature."""
    label: str = "label"
    """Column holding a row's label; lists of labels make it a multi-label problem. Numbers for regression."""
    label_separator: str = ""
    """Split label strings at this text into several labels (multi-label)."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weigh each class in the loss by the inverse of its share in the training part."""
    label_smoothing: float = 0.0
    """Share of the target probability spread over all classes."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.text and self.series:
            raise OptionError("text and series are both given; a row is either a text or a numeric sequence")
        check_range(self, "label_smoothing", least=0, below=1)

    @property
    def column(self) -> str:
        """The input column, once it is settled which one that is."""
        return self.text or self.series
