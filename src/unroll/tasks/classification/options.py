"""Options of classification and regression: columns, class weights, label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from unroll.data.options import LengthOptions, SequenceOptions, TextOptions
from unroll.errors import OptionError
from unroll.models.options import ModelOptions, RecurrentOptions, TokenOptions
from unroll.options import check_range, check_types, shown
from unroll.tasks.settings import Settings, TransferOptions

_FOR_TEXT = ("ngrams", "ngram_vocab_size", *(f.name for f in fields(TokenOptions)))
_FOR_SERIES = ("input_projection",)
_FOR_CLASSES = ("label_separator", "class_weights", "label_smoothing")


@dataclass(frozen=True)
class ClassificationOptions:
    """Columns of labelled sequences, and the head's loss."""

    text: str = ""
    """Column holding a row's text."""
    sequence: tuple[str, ...] = ()
    """Column holding a row's numeric sequence: a list of steps, or of lists with one value per feature. Or several
    columns that make it, one a step: names, a range such as x0..x59, a pattern such as x*; with series_id they are the
    features."""
    series_id: str = ""
    """Column that names the sequence of each row, in a long table: the rows of one name are the steps of one sequence,
    its features the columns of sequence (none given: all other numeric columns)."""
    time: str = ""
    """Column of numbers or times that orders the rows of a sequence, with series_id (none given: their order)."""
    date_format: str = ""
    """How dates are written, such as %d/%m/%Y (none given: as the whole column tells)."""
    label: str = "label"
    """Column holding a row's label; lists of labels make it a multi-label problem. Numbers for regression."""
    label_separator: str = ""
    """Split label strings at this text into several labels (multi-label)."""
    sample_weight: str = ""
    """Column holding a row's weight in the training loss, a number from 0 up; rows of weight 0 are left out. Rows to
    validate and to test count the same."""
    class_weights: Literal["none", "balanced"] | Mapping[Any, float] = "none"
    """Weights of the classes in the loss. balanced: the inverse of a class's share of the training rows; spam=5,ham=2:
    these, and 1 for the others."""
    label_smoothing: float = 0.0
    """Share of the target probability spread over all classes."""
    preset: Literal["auto", "none"] = "auto"
    """auto: for 1,000 training texts or 20 numeric sequences or more, options that were not given are chosen by their
    length and number, and told; none: every option keeps its default."""
    baseline: Literal["auto", "none"] = "auto"
    """A model of another kind beside the figures, fitted in seconds: TF-IDF and a linear model for texts, a random
    forest on statistics for numeric sequences."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.text and self.sequence:
            raise OptionError("text and sequence are both given; a row is either a text or a numeric sequence")
        check_range(self, "label_smoothing", least=0, below=1)
        if isinstance(self.class_weights, Mapping):
            for name, weight in self.class_weights.items():
                if weight <= 0:
                    raise OptionError(f"class_weights has {shown(weight)} for '{name:.60}'; it must be above 0")
        if self.series_id and self.text:
            raise OptionError("series_id is set, but it goes with numeric sequences, not text")
        for name, needed in (("time", "series_id"), ("date_format", "time")):
            if getattr(self, name) and not getattr(self, needed):
                raise OptionError(f"{name} is set, but it goes with {needed}")
        uses: dict[str, str] = {}
        for use in ("label", "sample_weight", "series_id", "time"):
            name = getattr(self, use)
            if name and name in uses:
                raise OptionError(f"'{name}' is given as {uses[name]} and as {use}; a column is one of them")
            uses[name] = use

    @property
    def of_columns(self) -> bool:
        """Whether a sequence is made of the cells of several columns or rows, once the columns are resolved."""
        return bool(self.series_id) or len(self.sequence) > 1

    @property
    def column(self) -> str:
        """Name of the input column, once it is resolved; "sequence" for a sequence that is made of several cells."""
        return "sequence" if self.of_columns else self.text or next(iter(self.sequence), "")


@dataclass(frozen=True)
class ClassificationSettings(Settings):
    """Every option of classification and regression."""

    option_order: ClassVar[tuple[str, ...]] = ("classification",)
    common: ClassVar[tuple[str, ...]] = (
        *("text", "sequence", "label", "max_length", "preset", "init_from"),
        *("recurrence", "hidden_size", "num_layers", "bidirectional"),
        *("epochs", "batch_size", "learning_rate", "patience", "seed"),
    )

    classification: ClassificationOptions = ClassificationOptions()
    text: TextOptions = TextOptions()
    sequence: SequenceOptions = SequenceOptions()
    length: LengthOptions = LengthOptions()
    tokens: TokenOptions = TokenOptions()
    model: ModelOptions = ModelOptions()
    recurrent: RecurrentOptions = RecurrentOptions()
    transfer: TransferOptions = TransferOptions()

    def columns(self) -> tuple[str, ...]:
        """Name the columns of the training data: inputs and weights, if they were given, and labels."""
        chosen = self.classification
        inputs = (chosen.text, *chosen.sequence, chosen.series_id, chosen.time)
        return tuple(name for name in (*inputs, chosen.label, chosen.sample_weight) if name)

    def refuse_unused(self, *, text: bool, regression: bool) -> None:
        """Reject options that were set but do not apply to this kind of input or target.

        Raises:
            OptionError: naming the option.
        """
        unused: dict[str, str] = {}
        if text:
            unused |= dict.fromkeys((*_names(SequenceOptions), *_FOR_SERIES), "numeric sequences, not text")
        else:
            of_text = (*_names(TransferOptions), *_names(TextOptions), *_FOR_TEXT)
            unused |= dict.fromkeys(of_text, "text, not numeric sequences")
        if regression:
            unused |= dict.fromkeys(_FOR_CLASSES, "classification, not regression")
        self.refuse(unused)


def _names(group: type) -> list[str]:
    return [f.name for f in fields(group)]
