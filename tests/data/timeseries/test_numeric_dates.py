from __future__ import annotations

import numpy as np
import pytest

from unroll.data.timeseries.numeric_dates import as_times


@pytest.mark.parametrize(
    ("numbers", "first", "how"),
    [
        ([202001, 202002], "2020-01-01", "dates written yyyymm"),
        ([20200131, 20200201], "2020-01-31", "dates written yyyymmdd"),
        ([2020013123, 2020020100], "2020-01-31T23", "dates written yyyymmddhh"),
        ([20200131235959], "2020-01-31T23:59:59", "dates written yyyymmddhhmmss"),
        ([1577836800, 1577840400], "2020-01-01", "unix seconds"),
        ([1577836800.25], "2020-01-01T00:00:00.25", "unix seconds"),
        ([1577836800123], "2020-01-01T00:00:00.123", "unix milliseconds"),
        ([1577836800123456], "2020-01-01T00:00:00.123456", "unix microseconds"),
        ([1577836800123456789], "2020-01-01T00:00:00.123456789", "unix nanoseconds"),
        ([43831, 43832], "2020-01-01", "serial days of a spreadsheet"),
        ([43831.25, 43832], "2020-01-01T06", "serial days of a spreadsheet"),
    ],
)
def test_numbers_that_are_times(numbers: list[float], first: str, how: str) -> None:
    found = as_times(np.array(numbers), serial=True)
    assert found is not None
    assert (found.values[0], found.how) == (np.datetime64(first, "ns"), how)


@pytest.mark.parametrize("numbers", [[1, 2, 3], [202001, 202013], [20200230], [43831], [10**8, 10**12], [np.nan]])
def test_numbers_that_are_no_times(numbers: list[float]) -> None:
    assert as_times(np.array(numbers), serial=False) is None


def test_where_there_is_no_number_there_is_no_time() -> None:
    found = as_times(np.array([43831, np.nan]), serial=True)
    assert found is not None
    assert np.isnat(found.values).tolist() == [False, True]
