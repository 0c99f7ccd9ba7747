"""Encode labels and target numbers as arrays, and decode them."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np

from unroll.atomic_write import read_document
from unroll.data.files.rows import numbered, row_of
from unroll.data.numbers import as_float
from unroll.data.values import HALF_CHARACTER, has_half_character, is_missing
from unroll.errors import DataError, OptionError, RunError, nearest

Kind = Literal["single", "multi", "regression"]
Values = Literal["text", "integer", "boolean"]
FORMAT = "unroll.labels/1"


class Labels:
    """Encode the target labels or numbers of a task, and decode predictions.

    single: one label of K per row. multi: any number of K labels per row, given as a list or a set, or as a
    (N, K) array of 0 and 1. regression: one number or K numbers per row.

    Labels are compared as text in Unicode's composed form (NFC): 1, 1.0, "1" and "1.0" are one label, True
    is "true". Names are sorted, as numbers if all are numbers.

    Attributes:
        kind: "single", "multi" or "regression".
        names: the K labels; for regression the K outputs ("value" if there is one).
        values: what the labels were in the training data, where names are text.

    Raises:
        DataError: two of the names are one label.
    """

    def __init__(self, kind: Kind, names: Sequence[str], values: Values = "text") -> None:
        self.kind: Kind = kind
        # a whole number of more digits than NumPy's integers have stays text
        self.values: Values = values if all(_is_written(name, values) for name in names) else "text"
        self.names: tuple[str, ...] = tuple(names)
        self._index: dict[str, int] = {}
        for i, name in enumerate(self.names):
            other = self._index.setdefault(label_name(name) or name, i)
            if other != i:
                raise DataError(f"'{self.names[other]}' and '{name}' are one label")

    @classmethod
    def learn(
        cls,
        values: Iterable[Any],
        kind: Kind = "single",
        *,
        where: str = "the training data",
        rows: np.ndarray | None = None,
    ) -> Labels:
        """Learn the set of labels in `values`.

        Args:
            values: one per row.
            kind: what they are.
            where: what to call the data in messages.
            rows: their row numbers in the data (N,), from 0, where some were left out.

        Raises:
            DataError: a row without a label, fewer than two classes, a number that is not finite.
            OptionError: an unknown kind.
        """
        if kind not in get_args(Kind):
            raise OptionError(f"kind is {kind!r}, but must be one of 'single', 'multi', 'regression'")
        if kind == "regression":
            width = _numbers(values, where, rows).shape[1]
            return cls(kind, ("value",) if width == 1 else tuple(str(k) for k in range(width)))
        if kind == "multi" and isinstance(values, np.ndarray) and values.ndim == 2:
            return cls(kind, tuple(str(k) for k in range(values.shape[1])))
        labels: set[str] = set()
        kinds: set[Values] = set()
        total = 0
        for row, value in numbered(values, rows):
            names = _names(value, kind, row, where)
            if any(map(has_half_character, names)):
                raise DataError(f"{row_of(row, where)} has a label that {HALF_CHARACTER}: {names!a:.40}")
            labels.update(names)
            kinds.add(_value_kind(value))
            total += 1
        if not total:
            raise DataError(f"{where} has no rows")
        if kind == "single" and len(labels) < 2:
            raise DataError(
                f"all {total} rows of {where} have the one label '{next(iter(labels))}'; "
                "a classifier needs at least two classes"
            )
        if not labels:
            raise DataError(f"no row of {where} has a label")
        return cls(kind, _sorted(labels), kinds.pop() if len(kinds) == 1 else "text")

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, values: Iterable[Any], *, where: str = "the data", rows: np.ndarray | None = None) -> np.ndarray:
        """Encode `values` as targets: single int64 (N,); multi float32 (N, K) of 0 and 1; regression float64 (N, K).

        Args:
            values: one per row.
            where: what to call the data in messages.
            rows: their row numbers in the data (N,), from 0, where some were left out.

        Raises:
            DataError: labels that were not in the training data (listed, with their number of rows), rows without a
                label, numbers that are not finite, a wrong number of outputs.
        """
        if self.kind == "regression":
            numbers = _numbers(values, where, rows)
            if len(numbers) and numbers.shape[1] != len(self):
                raise DataError(f"{where} has {numbers.shape[1]} target numbers per row; trained with {len(self)}")
            return numbers.reshape(-1, len(self))
        if self.kind == "multi" and isinstance(values, np.ndarray) and values.ndim == 2:
            return self._indicator(values, where)
        values = list(values)
        listed = [_names(value, self.kind, row, where) for row, value in numbered(values, rows)]
        if unknown := self.unknown(values, where=where, rows=rows):
            raise DataError(self.describe_unknown(unknown, where))
        if self.kind == "single":
            return np.array([self._index[names[0]] for names in listed], dtype=np.int64)
        target = np.zeros((len(listed), len(self)), dtype=np.float32)
        for row, names in enumerate(listed):
            for name in names:
                target[row, self._index[name]] = 1.0
        return target

    def _indicator(self, values: np.ndarray, where: str) -> np.ndarray:
        if values.shape[1] != len(self):
            raise DataError(f"{where} has {values.shape[1]} label columns; trained with {len(self)}")
        if not np.isin(values, (0, 1)).all():
            raise DataError(f"{where} has label columns with values other than 0 and 1")
        return values.astype(np.float32)

    def unknown(self, values: Iterable[Any], *, where: str, rows: np.ndarray | None = None) -> dict[str, list[int]]:
        """Find labels in `values` that are not among the names: their row numbers, from 0, by label.

        Raises:
            DataError: a row without a label.
        """
        found: dict[str, list[int]] = {}
        if self.kind == "regression" or (isinstance(values, np.ndarray) and values.ndim == 2):
            return found
        for row, value in numbered(values, rows):
            for name in _names(value, self.kind, row, where):
                if name not in self._index:
                    found.setdefault(name, []).append(row)
        return found

    def extended(self, names: Iterable[str]) -> Labels:
        """Return these labels followed by `names`."""
        return Labels(self.kind, (*self.names, *names))

    def describe_unknown(self, unknown: Mapping[str, Sequence[int]], where: str) -> str:
        """Say which labels, as `unknown` returns them, the training data did not have, and in how many rows."""
        parts = [
            f"'{name}' ({len(rows)} row{'s' if len(rows) > 1 else ''}, first row {rows[0] + 1})"
            for name, rows in list(unknown.items())[:5]
        ]
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        known = self.names if len(self) <= 20 else (*self.names[:20], "...")
        hint = nearest(next(iter(unknown)), known)
        labels = "labels" if len(unknown) > 1 else "a label"
        return f"{where} has {labels} that the training data did not have: {', '.join(parts)}{more}{hint}"

    def decode(self, outputs: np.ndarray) -> list[Any]:
        """Decode outputs to label names or numbers.

        single: (N,) class numbers to names. multi: (N, K) of 0 and 1 (or booleans) to lists of names.
        regression: (N, K) to numbers, or lists of numbers where K > 1.
        """
        outputs = np.asarray(outputs)
        if self.kind == "single":
            return [self.names[int(i)] for i in outputs]
        if self.kind == "multi":
            return [[self.names[k] for k in np.flatnonzero(row)] for row in outputs]
        rows = outputs.reshape(-1, len(self)).astype(float).tolist()
        return [row[0] for row in rows] if len(self) == 1 else rows

    def array(self) -> np.ndarray:
        """Return the labels (K,) as they were in the training data: texts, whole numbers, or true and false."""
        if self.values == "integer":
            return np.array([int(name) for name in self.names])
        return np.array([name == "true" for name in self.names] if self.values == "boolean" else self.names)

    def to_json(self) -> str:
        """Return a JSON document."""
        document = {"format": FORMAT, "kind": self.kind, "names": list(self.names), "values": self.values}
        return json.dumps(document, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Labels:
        """Read what `to_json` wrote.

        Raises:
            RunError: the document is damaged.
        """
        document = read_document(text, FORMAT, "the list of labels")
        kind, names, values = document.get("kind"), document.get("names"), document.get("values", "text")
        if kind not in ("single", "multi", "regression"):
            raise RunError(f"the labels are damaged: kind is {kind!r:.40}")
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise RunError("the labels are damaged: names is not a list of texts")
        if values not in get_args(Values) or not all(_is_written(name, values) for name in names):
            raise RunError(f"the labels are damaged: values is {values!r:.40}, which the names are not")
        if len(names) < (2 if kind == "single" else 1):
            raise RunError("the labels are damaged: names are missing")
        try:
            return cls(kind, names, values)
        except DataError as error:
            raise RunError(f"the labels are damaged: {error}") from None


def _value_kind(value: Any) -> Values:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else "text"


def _is_written(name: str, values: Values) -> bool:
    """Tell whether the name of a label is that of a value of this kind."""
    if values == "integer":
        return re.fullmatch(r"-?\d{1,18}", name) is not None
    return values == "text" or name in ("true", "false")


def _plain(name: str) -> str:
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", name)


def label_name(value: object) -> str | None:
    """Return a label's normalised text; None for null, NaN, NaT, NA and empty text."""
    if is_missing(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _plain(unicodedata.normalize("NFC", str(value)).strip()) or None


def _names(value: Any, kind: Kind, row: int, where: str) -> list[str]:
    if kind == "multi":
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, list | tuple | set | frozenset):
            hint = "; --label-separator splits text into such a list" if isinstance(value, str) else ""
            raise DataError(f"{row_of(row, where)} needs a list of labels, but holds {value!r:.40}{hint}")
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
    else:
        if isinstance(value, list | tuple | dict | set | np.ndarray):
            raise DataError(f"{row_of(row, where)} needs one label, but holds {value!r:.40}; several are kind 'multi'")
        items = [value]
    names = [label_name(item) for item in items]
    if None in names:
        raise DataError(f"{row_of(row, where)} has no label")
    return cast("list[str]", names)


def _sorted(names: Iterable[str]) -> list[str]:
    def number(name: str) -> float | None:
        try:
            return float(name)
        except ValueError:
            return None

    listed = sorted(names)
    if all(number(name) is not None and math.isfinite(cast(float, number(name))) for name in listed):
        listed.sort(key=lambda name: cast(float, number(name)))
    return listed


def _numbers(values: Iterable[Any], where: str, rows: np.ndarray | None) -> np.ndarray:
    targets: list[list[float]] = []
    first = 0
    for row, value in numbered(values, rows):
        items = value if isinstance(value, list | tuple | np.ndarray) else [value]
        try:
            numbers = [as_float(item) for item in items]
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{row_of(row, where)} needs a number to predict, but holds {value!r:.40}") from None
        if not numbers or not all(math.isfinite(n) for n in numbers):
            raise DataError(f"{row_of(row, where)} has a target that is not a finite number: {value!r:.40}")
        if not targets:
            first = row
        elif len(numbers) != len(targets[0]):
            raise DataError(
                f"{row_of(row, where)} has {len(numbers)} target numbers, row {first + 1} has {len(targets[0])}"
            )
        targets.append(numbers)
    if not targets:
        raise DataError(f"{where} has no rows")
    return np.array(targets, dtype=np.float64)


def is_list(value: Any) -> bool:
    """Tell whether a value is a list, a tuple, or an array of at least one dimension."""
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
