"""Encode numeric sequences: validate, truncate and standardize."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from numbers import Number
from typing import Any

import numpy as np

from unroll.atomic_write import read_document
from unroll.data.bad_rows import BadRow
from unroll.data.files.rows import numbered, row_of
from unroll.data.options import LengthOptions, SequenceOptions
from unroll.data.values import is_missing, truncate
from unroll.errors import DataError, OptionError, RunError

FORMAT = "unroll.series/1"

_WHOLE = LengthOptions(max_length=0, keep="tail")


def as_array(value: Any) -> np.ndarray:
    """Convert a sequence to float64 (T, D), from (T,) or (T, D) lists, arrays or tensors, or JSON text of such a list.

    An array of arrays, as pandas reads list columns of Parquet, is a list of them. Numbers may be of any
    type that converts to float, including decimals, fractions, half and extended precision.

    Raises:
        ValueError: what is wrong with it, in words without the row: null, not numbers, ragged, not finite.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"holds text where a list of numbers is needed: {value!r:.40}") from None
    if is_missing(value):
        raise ValueError("is null")
    value = _without_wrapping(value)
    if not isinstance(value, list | tuple | np.ndarray):
        raise ValueError(f"holds {type(value).__name__} {value!r:.40} where a list of numbers is needed")
    steps = _array(value)
    if steps.ndim not in (1, 2):
        raise ValueError(f"has {steps.ndim} dimensions; a sequence has (steps,) or (steps, features)")
    if steps.size == 0:
        return np.zeros((0, steps.shape[1] if steps.ndim == 2 else 1))
    if steps.dtype.kind not in "fiub":
        complex_ = "complex numbers" if steps.dtype.kind == "c" else "values that are not numbers"
        raise ValueError(f"holds {complex_}")
    with np.errstate(over="ignore"):
        steps = steps.astype(np.float64).reshape(len(steps), -1)
    finite = np.isfinite(steps)
    if not finite.all():
        t, d = np.argwhere(~finite)[0]
        raise ValueError(f"has {steps[t, d]} at step {t + 1}, feature {d + 1}")
    return steps


def _without_wrapping(value: Any) -> Any:
    """Convert a tensor, Series, DataFrame or masked array to an array; masked elements become NaN."""
    if isinstance(value, np.ma.MaskedArray):
        return np.ma.filled(value.astype(np.float64), np.nan) if value.dtype.kind in "fiub" else value.filled()
    if isinstance(value, list | tuple | np.ndarray) or not hasattr(value, "__array__") or not hasattr(value, "ndim"):
        return value
    if hasattr(value, "detach"):  # a tensor may be on another device, or of a type that NumPy has not
        return np.asarray(value.detach().cpu().double())
    return np.asarray(value) if value.ndim else value


def _array(value: Any) -> np.ndarray:
    """Convert nested lists, arrays of arrays, and numbers of any type to one array."""
    try:
        steps = np.asarray(value)
        if steps.dtype != object:
            return steps
    except (TypeError, ValueError, RuntimeError):  # ragged, or made of tensors
        pass
    try:
        # Only a list of arrays becomes one array: an array of arrays would stay an array of objects.
        steps = np.asarray([_without_wrapping(step) for step in value])
        if steps.dtype != object:
            return steps
        numbers = [float(number) for number in steps.flat if _is_number(number)]
    except (TypeError, ValueError):
        raise ValueError(_why_not(value)) from None
    except OverflowError:
        raise ValueError("holds a number too large for 64 bits") from None
    if len(numbers) != steps.size:
        raise ValueError(_why_not(value))
    return np.array(numbers).reshape(steps.shape)


def _is_number(value: Any) -> bool:
    return isinstance(value, Number | np.generic) and not is_missing(value) and not isinstance(value, np.character)


def _why_not(value: Any) -> str:
    widths = [len(step) if isinstance(step, list | tuple | np.ndarray) and np.ndim(step) else 0 for step in value]
    for t, width in enumerate(widths):
        if width != widths[0]:
            return f"is ragged: {widths[0] or 1} features at step 1, {width or 1} at step {t + 1}"
    for t, step in enumerate(value):
        if any(is_missing(item) for item in (step if widths[0] else [step])):
            return f"has a null at step {t + 1}"
    return "holds values that are not numbers"


class SequenceScaler:
    """Standardize each feature: (x - mean) / scale, where scale is the standard deviation over all steps of the
    training part (divisor n), or 1 for a constant feature.

    Attributes:
        features: D.
        mean: (D,) float64.
        scale: (D,) float64.
    """

    def __init__(
        self, mean: np.ndarray, scale: np.ndarray, options: SequenceOptions, length: LengthOptions = _WHOLE
    ) -> None:
        self.mean = mean
        self.scale = scale
        self.options = options
        self.length = length
        self.features: int = len(mean)

    @classmethod
    def learn(
        cls, sequences: Iterable[Any], options: SequenceOptions | None = None, length: LengthOptions = _WHOLE
    ) -> SequenceScaler:
        """Measure mean and scale over `sequences`, each (T,) or (T, D), read once and one by one.

        Per-sequence means and squared deviations are merged in float64 (Chan, Golub and LeVeque 1979), so a
        large mean does not drown a small deviation.

        Raises:
            DataError: no steps at all, a row that is not numeric, not finite, or of another number of
                features.
        """
        options = options or SequenceOptions()
        n, width, first = 0, 0, 0
        mean = square = np.zeros(0)
        for row, value in enumerate(sequences):
            steps = truncate(_steps_of(value, row_of(row)), length)
            if not len(steps):
                continue
            if not n:
                width, first = steps.shape[1], row
                mean, square = np.zeros(width), np.zeros(width)
            elif steps.shape[1] != width:
                raise DataError(
                    f"row {row + 1} has {steps.shape[1]} features per step, but row {first + 1} has {width}"
                )
            step_mean = steps.mean(0)
            delta = step_mean - mean
            total = n + len(steps)
            square = square + ((steps - step_mean) ** 2).sum(0) + delta**2 * (n * len(steps) / total)
            mean = mean + delta * (len(steps) / total)
            n = total
        if not n:
            raise DataError("there are no steps to learn from: every sequence is empty")
        if not options.standardize:
            return cls(np.zeros(width), np.ones(width), options, length)
        scale = np.sqrt(square / n)
        # The deviation of a constant feature is only rounding error.
        constant = scale <= 1e-12 * np.maximum(1e-300, np.abs(mean))
        return cls(mean, np.where(constant, 1.0, scale), options, length)

    def encode(
        self, values: Sequence[Any], /, *, first: int = 0, rows: np.ndarray | None = None, where: str = ""
    ) -> list[np.ndarray]:
        """Encode each sequence as float32 (T, D); an empty one gives (0, D).

        Args:
            values: the sequences.
            first: row number of the first, from 0, for messages.
            rows: row number of each, where they are not consecutive.
            where: what to call the data in messages.

        Raises:
            DataError: a row that is not numeric, not finite, or of another number of features.
        """
        encoded = []
        for row, value in numbered(values, rows, first):
            steps = truncate(_steps_of(value, row_of(row, where)), self.length)
            if not len(steps):
                steps = np.zeros((0, self.features))
            elif steps.shape[1] != self.features:
                raise DataError(
                    f"{row_of(row, where)} has {steps.shape[1]} features per step, "
                    f"but the training data has {self.features}"
                )
            with np.errstate(over="ignore"):
                result = ((steps - self.mean) / self.scale).astype(np.float32)
            if not np.isfinite(result).all():
                raise DataError(f"{row_of(row, where)} has values too large for 32-bit numbers")
            encoded.append(result)
        return encoded

    def to_json(self) -> str:
        """Return a JSON document: options, mean and scale, exact to the last bit."""
        return json.dumps(
            {
                "format": FORMAT,
                "options": asdict(self.options),
                "length": asdict(self.length),
                "mean": self.mean.tolist(),
                "scale": self.scale.tolist(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> SequenceScaler:
        """Read what `to_json` wrote.

        Raises:
            RunError: the document is damaged.
        """
        document = read_document(text, FORMAT, "the scaler")
        try:
            options, length = SequenceOptions(**document["options"]), LengthOptions(**document["length"])
            mean = np.array(document["mean"], dtype=np.float64)
            scale = np.array(document["scale"], dtype=np.float64)
        except (KeyError, TypeError, ValueError, OptionError) as error:
            raise RunError(f"the scaler is damaged: {error}") from None
        if mean.ndim != 1 or mean.shape != scale.shape or not len(mean):
            raise RunError("the scaler is damaged: mean and scale are not two lists of one length")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise RunError("the scaler is damaged: mean and scale are not finite, or a scale is not above 0")
        return cls(mean, scale, options, length)


def _steps_of(value: Any, row: str) -> np.ndarray:
    try:
        return as_array(value)
    except ValueError as error:
        raise DataError(f"{row} {error}") from None


def bad_series(sequences: Iterable[Any], column: str = "sequence", features: int = 0) -> list[BadRow]:
    """Find rows with a sequence that is null, empty, not numeric, not finite, or has another number of features.

    Args:
        sequences: the rows' values.
        column: name, for the reasons.
        features: the required D; 0 takes the number that most rows have.
    """
    bad: list[BadRow] = []
    widths: dict[int, int] = {}
    for row, value in enumerate(sequences):
        try:
            steps = as_array(value)
        except ValueError as error:
            bad.append((row, f"'{column}' {error}"))
            continue
        if not len(steps):
            bad.append((row, f"'{column}' is empty"))
        else:
            widths[row] = steps.shape[1]
    if widths and not features:
        features = Counter(widths.values()).most_common(1)[0][0]
    for row, width in widths.items():
        if width != features:
            bad.append((row, f"'{column}' has {width} features per step, not {features}"))
    return sorted(bad)
