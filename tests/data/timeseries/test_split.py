from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unroll.data.timeseries.reader import TimeSeries, TimeSeriesSet
from unroll.data.timeseries.split import split
from unroll.errors import DataError, OptionError


def frames(*lengths: int, dates: bool = True) -> TimeSeriesSet:
    def one(i: int, n: int) -> TimeSeries:
        stamps = np.datetime64("2024-01-01", "ns") + np.arange(n) * np.timedelta64(1, "D") if dates else np.arange(n)
        none = np.zeros((n, 0))
        return TimeSeries(chr(97 + i) if len(lengths) > 1 else "", stamps, np.zeros((n, 1)), none, none, np.zeros(0))

    return TimeSeriesSet(tuple(one(i, n) for i, n in enumerate(lengths)), ("y",), frequency="D" if dates else "steps")


@pytest.mark.parametrize(
    ("validation", "test", "train", "expected"),
    [
        (0.1, 0.2, None, (70, 10, 20)),
        (24, 12, None, (64, 24, 12)),
        ("0.1", "20", None, (70, 10, 20)),
        (0.0, 0.0, None, (100, 0, 0)),
        (0, 0.001, None, (99, 0, 1)),
        ("2024-03-01", "2024-03-21", None, (60, 20, 20)),
        (0.1, "2024-03-21 00:00", None, (70, 10, 20)),
        (20, 10, 50, (50, 20, 10)),
        (0.2, 0.1, "0.6", (60, 20, 10)),
        ("2024-03", 0, None, (60, 40, 0)),
    ],
)
def test_parts_follow_each_other(validation: Any, test: Any, train: Any, expected: tuple[int, int, int]) -> None:
    parts = split(frames(100), validation, test, train=train)
    assert tuple(len(own) for own in parts.parts[0]) == expected
    a, b, c = expected
    assert parts.parts[0] == (range(a), range(a, a + b), range(a + b, a + b + c))
    assert parts.counts() == {"training": a, "validation": b, "test": c, "unused": 100 - a - b - c}
    assert parts.upto == {"": a}


def test_series_of_several_lengths() -> None:
    parts = split(frames(100, 50), 0.1, 0.1)
    assert parts.upto == {"a": 80, "b": 40}
    assert parts.of("test") == (range(90, 100), range(45, 50))
    dated = split(frames(100, 50), 0, "2024-02-15")
    assert dated.upto == {"a": 45, "b": 45}
    late = split(frames(100, 50), 0, "2024-03-01")
    assert [len(own) for own in late.of("test")] == [40, 0]


@pytest.mark.parametrize(
    ("validation", "test", "train", "error", "message"),
    [
        (60, 50, None, DataError, "the series has 100 rows, of which validation and test leave none for training"),
        (30, 30, 50, DataError, "the series has 100 rows, but training, validation and test take 110"),
        (0.1, "2025-01-01", None, DataError, "the test part begins at 2025-01-01, but the data ends at 2024-04-09"),
        ("2023-01-01", 0, None, DataError, "leave none for training"),
        ("2024-03-01", "2024-02-01", None, OptionError, "validation comes first"),
        (
            1.5,
            0,
            None,
            OptionError,
            "the validation part is 1.5; it must be a share below 1, a number of rows, or a time",
        ),
        (-1, 0, None, OptionError, "the validation part is -1"),
        (True, 0, None, OptionError, "the validation part is True"),
        (0, "03/04/2024", None, OptionError, "the test part is '03/04/2024'"),
        (0, "2024-02-31", None, OptionError, "the test part is '2024-02-31'"),
        ("2024-03-01", 0, 50, OptionError, "the training part is given"),
        (0.1, 0.1, 0, DataError, "leave none for training"),
    ],
)
def test_what_is_refused(validation: Any, test: Any, train: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        split(frames(100), validation, test, train=train)
    assert message in str(caught.value)


def test_whole_numbers_are_no_dates() -> None:
    with pytest.raises(DataError, match="the test part is '2024-03-01', but the times of the series are whole numbers"):
        split(frames(100, dates=False), 0, "2024-03-01")
    assert split(frames(100, dates=False), 0, "20").upto == {"": 80}
