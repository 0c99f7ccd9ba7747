"""Read labelled data: resolve columns and find usable rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.bad_rows import LEAVE_OUT, LEAVE_OUT_HERE, BadRow, describe, good_rows
from unroll.data.files.dataset import read, require_columns
from unroll.data.labels import Kind, Labels, bad_labels, bad_numbers, spelling_notes
from unroll.data.numbers import read_targets
from unroll.data.ragged import RaggedDataset, encode_to_examples, iter_column
from unroll.data.sequences import bad_series
from unroll.data.tables import column_of, is_table
from unroll.data.text.normalize import bad_texts
from unroll.data.values import is_missing
from unroll.errors import DataError, OptionError
from unroll.tasks.classification.options import ClassificationOptions, ClassificationSettings

if TYPE_CHECKING:
    import datasets

    from unroll.data.ragged import Encoder


@dataclass(frozen=True)
class Records:
    """Hold the usable rows of labelled data.

    Attributes:
        source: all rows as they were read, or the input values of all rows in memory.
        rows: positions of the usable rows.
        options: the columns.
        labels: labels or target names of the training data, then labels that it did not have.
        known: how many of them the training data had.
        targets: the usable rows' targets, encoded by `labels`.
        where: name of the data in messages.
    """

    source: datasets.Dataset | list[Any]
    rows: np.ndarray
    options: ClassificationOptions
    labels: Labels
    targets: np.ndarray
    where: str
    known: int = 0

    def take(self, positions: np.ndarray) -> Records:
        """Select the usable rows at `positions`."""
        return dataclasses.replace(self, rows=self.rows[positions], targets=self.targets[positions])

    def inputs(self) -> Iterator[Any]:
        """Iterate over the input values of the usable rows."""
        if isinstance(self.source, list):
            return (self.source[i] for i in self.rows)
        return iter_column(self.source, self.options.column, self.rows)

    def encode(self, encoder: Encoder) -> RaggedDataset:
        """Encode the usable rows as arrays with their targets."""
        rows = self.rows
        if isinstance(self.source, list):
            encoded = encoder.encode(list(self.inputs()), rows=rows, where=self.where)
            part = RaggedDataset.from_arrays(encoded, self.targets)
        else:
            dataset = self.source if len(rows) == len(self.source) else self.source.select(rows)
            part = encode_to_examples(dataset, self.options.column, encoder, self.targets, rows=rows, where=self.where)
        part.unseen_labels = self.unseen_labels
        return part

    @property
    def unseen_labels(self) -> tuple[str, ...]:
        """Labels that the training data did not have."""
        return self.labels.names[self.known :] if self.known else ()

    def require_known_labels(self) -> None:
        """Check that the training data had every label.

        Raises:
            DataError: it did not.
        """
        if self.unseen_labels:
            at = {
                name: self.rows[(self.targets[:, k] > 0) if self.targets.ndim > 1 else (self.targets == k)].tolist()
                for k, name in enumerate(self.unseen_labels, self.known)
            }
            trained = Labels(self.labels.kind, self.labels.names[: self.known])
            raise DataError(trained.describe_unknown(at, self.where))


def input_column(options: ClassificationOptions, names: Sequence[str], where: str) -> ClassificationOptions:
    """Resolve the input column: the one given in the options, or a column called "text".

    Raises:
        DataError: the named column is not there.
        OptionError: none was named and there is no column "text".
    """
    if not options.column:
        if "text" not in names:
            raise OptionError(
                f"say which column of {where} holds the sequences, with --text or --sequence; "
                f"there is: {', '.join(names)}"
            )
        options = dataclasses.replace(options, text="text")
    require_columns(names, [options.column, options.label], where)
    return options


def bad_inputs(values: Iterable[Any], settings: ClassificationSettings, column: str, features: int = 0) -> list[BadRow]:
    """Find rows with unusable texts or numeric sequences; `column` is the name in the reasons."""
    if settings.classification.text:
        return bad_texts(values, column, settings.text)
    return bad_series(values, column, features)


def load_records(
    data: Any,
    settings: ClassificationSettings,
    name: str,
    *,
    labels: Labels | None = None,
    features: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Records:
    """Read labelled data and find its usable rows.

    Args:
        data: files or a hub name; or a table, with the columns that `settings` names.
        settings: every option.
        name: "classification" or "regression".
        labels: labels of the training data; None: this is the training data, and labels are learnt.
        features: required number of features D; 0: that of most sequences.
        say: called with notes on what was left out.

    Raises:
        DataError: the data cannot be read, lacks a column, has unusable rows and `skip_bad_rows` is off, or has no row
            with a label of the training data.
    """
    regression = name == "regression"
    if is_table(data):
        source, options, where = column_of(data, settings.classification.column), settings.classification, "the table"
        targets = column_of(data, options.label)
    else:
        source, options, where = _read(list(data), settings, say)
        targets = list(iter_column(source, options.label))
    settings = dataclasses.replace(settings, classification=options)
    if options.label_separator:
        targets = [_split(value, options.label_separator) for value in targets]
    if regression:
        targets, said = read_targets(targets, settings.source.decimal, f"{where}, column '{options.label}'")
        if said:
            say(f"{where}: column '{options.label}' {said}")
    inputs = source if isinstance(source, list) else iter_column(source, options.column)
    bad = bad_inputs(inputs, settings, options.column, features)
    bad += (bad_numbers if regression else bad_labels)(targets, options.label)
    remedy = LEAVE_OUT_HERE if isinstance(source, list) else LEAVE_OUT
    rows = good_rows(bad, len(source), where, settings.source.skip_bad_rows, remedy=remedy)
    if len(rows) < len(source):
        say(f"left out: {describe(bad, len(source), where)}")
    targets = [targets[i] for i in rows]
    if labels is None:
        labels = Labels.learn(targets, label_kind(name, targets), where=where, rows=rows)
        for note in spelling_notes(targets) if labels.kind != "regression" else ():
            say(note)
    known = len(labels)
    if unknown := labels.unknown(targets, where=where, rows=rows):
        described = labels.describe_unknown(unknown, where)
        if len(set().union(*unknown.values())) == len(rows):
            raise DataError(described)
        say(described)
        labels = labels.extended(unknown)
    return Records(source, rows, options, labels, labels.encode(targets, where=where, rows=rows), where, known)


def label_kind(name: str, targets: Sequence[Any]) -> Kind:
    """Determine the kind of targets: numbers for regression; lists, or a (N, K) array, are multi-label."""
    if name == "regression":
        return "regression"
    if isinstance(targets, np.ndarray):
        return "multi" if targets.ndim == 2 else "single"
    listed = next((v for v in targets if v is not None), None)
    return "multi" if isinstance(listed, list | tuple | set | frozenset) else "single"


def _read(
    data: Sequence[str], settings: ClassificationSettings, say: Callable[[str], None]
) -> tuple[datasets.Dataset, ClassificationOptions, str]:
    """Read all rows of files or hub data; also return the resolved options, and the data's name."""
    skipped: list[str] | None = [] if settings.source.skip_bad_rows else None
    notes: list[str] = []
    dataset = read(data[0] if len(data) == 1 else data, source=settings.source, skipped=skipped, notes=notes)
    where = " ".join(data)
    for note in notes:
        say(note)
    if skipped:
        say(f"{where}: {len(skipped)} lines left out because they are no rows, the first: {skipped[0]}")
    return dataset, input_column(settings.classification, dataset.column_names, where), where


def _split(value: Any, separator: str) -> Any:
    if is_missing(value) or isinstance(value, list | tuple):
        return value
    return [part.strip() for part in str(value).split(separator) if part.strip()]
