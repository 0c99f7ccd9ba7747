"""Every option of a labelled task, in its groups and as one flat set of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from unroll.data.options import BatchOptions, SeriesOptions, SourceOptions, TextOptions
from unroll.errors import OptionError
from unroll.models.options import ModelOptions
from unroll.options import build, flatten
from unroll.tasks.options import LabelledOptions
from unroll.training.options import TrainingOptions

GROUPS = (
    LabelledOptions,
    SourceOptions,
    TextOptions,
    SeriesOptions,
    BatchOptions,
    ModelOptions,
    TrainingOptions,
)

_FOR_TEXT = ("embedding", "embedding_dropout", "word_dropout", "ngrams", "ngram_vocabulary")
_FOR_SERIES = ("input_projection",)
_FOR_CLASSES = ("label_separator", "class_weights", "label_smoothing")


@dataclass(frozen=True)
class Settings:
    """One instance of each option group."""

    labelled: LabelledOptions = LabelledOptions()
    source: SourceOptions = SourceOptions()
    text: TextOptions = TextOptions()
    series: SeriesOptions = SeriesOptions()
    batch: BatchOptions = BatchOptions()
    model: ModelOptions = ModelOptions()
    training: TrainingOptions = TrainingOptions()

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], where: str = "options") -> Settings:
        """From flat names; what is not given keeps its default.

        Raises:
            OptionError: an unknown name, or a value that an option refuses.
        """
        return cls(*build(GROUPS, values, where))

    def flat(self) -> dict[str, Any]:
        """All options as one flat mapping."""
        return flatten([getattr(self, field.name) for field in fields(self)])

    def refuse_unused(self, *, text: bool, regression: bool) -> None:
        """Refuse options that were set but that this kind of input or target does not use.

        Raises:
            OptionError: naming the option.
        """
        chosen, default = self.flat(), type(self)().flat()
        unused: dict[str, str] = {}
        if text:
            unused |= dict.fromkeys((f.name for f in fields(SeriesOptions)), "numeric sequences, not text")
            unused |= dict.fromkeys(_FOR_SERIES, "numeric sequences, not text")
        else:
            unused |= dict.fromkeys((f.name for f in fields(TextOptions)), "text, not numeric sequences")
            unused |= dict.fromkeys(_FOR_TEXT, "text, not numeric sequences")
        if regression:
            unused |= dict.fromkeys(_FOR_CLASSES, "classification, not regression")
        for name, users in unused.items():
            if chosen[name] != default[name]:
                raise OptionError(f"{name} is set, but it goes with {users}")
