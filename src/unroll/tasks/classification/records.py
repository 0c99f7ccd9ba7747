"""Read labelled data: resolve columns and find usable rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.bad_rows import BadRow, describe, good_rows
from unroll.data.bad_targets import bad_labels, bad_numbers
from unroll.data.label_spelling import spelling_notes
from unroll.data.labels import Kind, Labels
from unroll.data.numbers import as_float, read_targets
from unroll.data.ragged import RaggedDataset, encode_to_examples, iter_column
from unroll.data.sample_weights import bad_weights, weighted_rows
from unroll.data.sequences import bad_series
from unroll.data.text.normalize import bad_texts
from unroll.data.values import is_missing
from unroll.errors import DataError
from unroll.tasks.classification.options import ClassificationOptions, ClassificationSettings
from unroll.tasks.classification.sources import read_labelled

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
        weights: the usable rows' weights in the loss; None: all the same.
    """

    source: datasets.Dataset | list[Any]
    rows: np.ndarray
    options: ClassificationOptions
    labels: Labels
    targets: np.ndarray
    where: str
    weights: np.ndarray | None = None
    known: int = 0

    def take(self, positions: np.ndarray) -> Records:
        """Select the usable rows at `positions`."""
        weights = None if self.weights is None else self.weights[positions]
        return dataclasses.replace(self, rows=self.rows[positions], targets=self.targets[positions], weights=weights)

    def inputs(self) -> Iterator[Any]:
        """Iterate over the input values of the usable rows."""
        if isinstance(self.source, list):
            return (self.source[i] for i in self.rows)
        return iter_column(self.source, self.options.column, self.rows)

    def encode(self, encoder: Encoder) -> RaggedDataset:
        """Encode the usable rows as arrays with their targets and weights."""
        rows = self.rows
        if isinstance(self.source, list):
            encoded = encoder.encode(list(self.inputs()), rows=rows, where=self.where)
            part = RaggedDataset.from_arrays(encoded, self.targets)
        else:
            dataset = self.source if len(rows) == len(self.source) else self.source.select(rows)
            part = encode_to_examples(dataset, self.options.column, encoder, self.targets, rows=rows, where=self.where)
        part.weights = self.weights
        part.unseen_labels = self.unseen_labels
        return part

    def target_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute mean and scale (K,) of the targets: the shares of the classes (scale 1), or standard deviations."""
        targets, K = self.targets, len(self.labels)
        mean, scale = targets.mean(0, dtype=np.float64), np.ones(K)
        if self.labels.kind == "single":
            mean = np.bincount(targets, minlength=K) / len(targets)
        elif self.labels.kind == "regression":
            spread = targets.std(0, dtype=np.float64)
            scale = np.where(spread > 0, spread, 1.0)
        return mean, scale

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
        labels: labels of the training data; None: this is the training data: labels are learnt, and weights are read.
        features: required number of features D; 0: that of most sequences.
        say: called with notes on what was left out.

    Raises:
        DataError: the data cannot be read, lacks a column, has unusable rows and `skip_bad_rows` is off, or has no row
            with a label of the training data.
    """
    regression = name == "regression"
    columns = settings.classification
    if labels is not None:
        columns = dataclasses.replace(columns, sample_weight="")  # weights are for training
    read = read_labelled(data, columns, settings.source, say)
    source, targets, options, where = read.source, read.targets, read.options, read.where
    if options.label_separator:
        targets = [_split(value, options.label_separator) for value in targets]
    if regression:
        targets, said = read_targets(targets, settings.source.decimal, f"{where}, column '{options.label}'")
        if said:
            say(f"{where}: column '{options.label}' {said}")
    weights, said = read.weights, ""
    if weights is not None:
        weights, said = read_targets(weights, settings.source.decimal, f"{where}, column '{options.sample_weight}'")
    if said:
        say(f"{where}: column '{options.sample_weight}' {said}")
    bad = list(read.bad)
    if not options.of_columns:
        settings = dataclasses.replace(settings, classification=options)
        inputs = source if isinstance(source, list) else iter_column(source, options.column)
        bad += bad_inputs(inputs, settings, options.column, features)
    bad += (bad_numbers if regression else bad_labels)(targets, options.label)
    bad += [] if weights is None else bad_weights(weights, options.sample_weight)
    rows = good_rows(bad, len(source), where, settings.source.skip_bad_rows, remedy=read.remedy, names=read.names)
    if len(rows) < len(source):
        say(f"left out: {describe(bad, len(source), where, names=read.names)}")
    of_rows: np.ndarray | None = None
    if weights is not None:
        counting, of_rows = weighted_rows(np.array([as_float(weights[i]) for i in rows]), where)
        if len(counting) < len(rows):
            say(f"left out: {len(rows) - len(counting)} of {len(source)} rows of {where}, of weight 0")
        rows = rows[counting]
    targets = [targets[i] for i in rows]
    numbers = rows if read.first is None else read.first[rows]
    if labels is None:
        labels = Labels.learn(targets, label_kind(name, targets), where=where, rows=numbers)
        for note in spelling_notes(targets) if labels.kind != "regression" else ():
            say(note)
    known = len(labels)
    if unknown := labels.unknown(targets, where=where, rows=numbers):
        described = labels.describe_unknown(unknown, where)
        if len(set().union(*unknown.values())) == len(rows):
            raise DataError(described)
        say(described)
        labels = labels.extended(unknown)
    encoded = labels.encode(targets, where=where, rows=numbers)
    return Records(source, rows, options, labels, encoded, where, of_rows, known)


def label_kind(name: str, targets: Sequence[Any]) -> Kind:
    """Determine the kind of targets: numbers for regression; lists, or a (N, K) array, are multi-label."""
    if name == "regression":
        return "regression"
    if isinstance(targets, np.ndarray):
        return "multi" if targets.ndim == 2 else "single"
    listed = next((v for v in targets if v is not None), None)
    return "multi" if isinstance(listed, list | tuple | set | frozenset) else "single"


def _split(value: Any, separator: str) -> Any:
    if is_missing(value) or isinstance(value, list | tuple):
        return value
    return [part.strip() for part in str(value).split(separator) if part.strip()]
