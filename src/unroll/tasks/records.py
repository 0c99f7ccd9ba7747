"""From a data set to its usable rows: the columns, what they hold, and which rows must be left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.checks import BadRow, bad_labels, bad_numbers, bad_series, bad_texts, describe, good_rows
from unroll.data.examples import encode_to_examples, values_of
from unroll.data.sources import read, require_columns
from unroll.errors import OptionError
from unroll.tasks.labelled_options import LabelledOptions, LabelledSettings

if TYPE_CHECKING:
    import datasets

    from unroll.data.examples import Encoder, Examples


@dataclass(frozen=True)
class Records:
    """The usable rows of labelled data.

    Attributes:
        dataset: all rows as they were read.
        rows: positions of the usable ones.
        options: which columns hold what.
        targets: the usable rows' labels or numbers, as they stand in the data.
        where: what to call the data in messages.
    """

    dataset: datasets.Dataset
    rows: np.ndarray
    options: LabelledOptions
    targets: list[Any]
    where: str

    def inputs(self, positions: np.ndarray | None = None) -> Iterator[Any]:
        """The input values of the usable rows, or of those at `positions` among them, a few at a time."""
        rows = self.rows if positions is None else self.rows[positions]
        return values_of(self.dataset, self.options.column, rows)

    def examples(self, encoder: Encoder, targets: np.ndarray, positions: np.ndarray | None = None) -> Examples:
        """The usable rows, or those at `positions` among them, as arrays with `targets`."""
        rows = self.rows if positions is None else self.rows[positions]
        dataset = self.dataset if len(rows) == len(self.dataset) else self.dataset.select(rows)
        return encode_to_examples(dataset, self.options.column, encoder, targets, rows=rows, where=self.where)


def input_column(options: LabelledOptions, names: Sequence[str], where: str) -> LabelledOptions:
    """The options with the input column settled: the one that was named, or a column called "text".

    Raises:
        DataError: the named column is not there.
        OptionError: none was named and there is no column "text".
    """
    if not options.column:
        if "text" not in names:
            raise OptionError(
                f"say which column of {where} holds the sequences, with --text or --series; "
                f"there is: {', '.join(names)}"
            )
        options = dataclasses.replace(options, text="text")
    require_columns(names, [options.column, options.label], where)
    return options


def bad_inputs(values: Iterable[Any], settings: LabelledSettings, column: str, features: int = 0) -> list[BadRow]:
    """Rows whose input cannot be used, be they texts or numeric sequences; `column` is what the reasons call it."""
    if settings.labelled.text:
        return bad_texts(values, column, settings.text)
    return bad_series(values, column, features)


def load_records(
    data: Sequence[str],
    settings: LabelledSettings,
    *,
    regression: bool,
    features: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Records:
    """Read labelled data and find its usable rows.

    Raises:
        DataError: the data cannot be read, lacks a column, or has unusable rows and `skip_bad_rows` is off.
    """
    skipped: list[str] | None = [] if settings.source.skip_bad_rows else None
    dataset = read(data[0] if len(data) == 1 else data, encoding=settings.source.encoding, skipped=skipped)
    where = " ".join(data)
    if skipped:
        say(f"{where}: {len(skipped)} lines left out because they are no rows, the first: {skipped[0]}")
    options = input_column(settings.labelled, dataset.column_names, where)
    settings = dataclasses.replace(settings, labelled=options)
    targets: list[Any] = list(values_of(dataset, options.label))
    if options.label_separator:
        targets = [_split(value, options.label_separator) for value in targets]
    bad = bad_inputs(values_of(dataset, options.column), settings, options.column, features)
    bad += (bad_numbers if regression else bad_labels)(targets, options.label)
    rows = good_rows(bad, len(dataset), where, settings.source.skip_bad_rows)
    if len(rows) < len(dataset):
        say(f"left out: {describe(bad, len(dataset), where)}")
    return Records(dataset, rows, options, [targets[i] for i in rows], where)


def _split(value: Any, separator: str) -> Any:
    if value is None or isinstance(value, list | tuple):
        return value
    return [part.strip() for part in str(value).split(separator) if part.strip()]
