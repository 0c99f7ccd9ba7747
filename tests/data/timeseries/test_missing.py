from __future__ import annotations

import numpy as np
import pytest

from unroll.data.timeseries.frequency import Frequency, parse
from unroll.data.timeseries.missing import align, as_known_at, fill, format_timestamp, last_seen, scatter
from unroll.errors import DataError

NAN = np.nan


def test_a_grid_has_every_stamp() -> None:
    days = np.array(["2024-01-01", "2024-01-02", "2024-01-05"], dtype="M8[ns]")
    grid = align(days, parse("D"), "x.csv")
    assert [format_timestamp(s) for s in grid.missing] == ["2024-01-03", "2024-01-04"]
    assert grid.places.tolist() == [0, 1, 4]
    assert scatter(np.array([[1.0], [2.0], [5.0]]), grid)[:, 0].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(scatter(np.array([[1.0], [2.0], [5.0]]), grid)[2:4]).all()


def test_filling_and_interpolating() -> None:
    values = np.array([[1.0, 1.0], [NAN, NAN], [NAN, 2.0], [7.0, NAN], [NAN, NAN]])
    assert fill(values, "fill").T.tolist() == [[1, 1, 1, 7, 7], [1, 1, 2, 2, 2]]
    assert fill(values, "interpolate").T.tolist() == [[1, 3, 5, 7, 7], [1, 1.5, 2, 2, 2]]


def test_a_gap_is_closed_as_it_was_known() -> None:
    values = np.array([[1.0], [3.0], [5.0], [7.0]])
    observed = np.array([[True], [False], [False], [True]])
    assert as_known_at(values, observed, 3).T.tolist() == [[1, 1, 1]]
    assert as_known_at(values, observed, 4).T.tolist() == [[1, 3, 5, 7]]
    assert as_known_at(values, observed, 0).shape == (0, 1)
    assert last_seen(observed).T.tolist() == [[0, 0, 0, 3]]
    assert values.T.tolist() == [[1, 3, 5, 7]]


def test_times_off_the_grid_are_counted_and_the_first_named() -> None:
    times = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T01:30", "2024-01-01T03"], dtype="M8[ns]")
    with pytest.raises(DataError) as error:
        align(times, parse("h"), "x.csv")
    assert str(error.value).startswith(
        "x.csv: 1 of 4 times does not lie on frequency h, the first is 2024-01-01 01:30;"
    )
    with pytest.raises(DataError, match="2 of 5 times do not lie on the grid of equal steps, the first is 7"):
        align(np.array([0, 5, 7, 8, 10]), Frequency("steps", 5), "x.csv")


def test_a_frequency_far_too_fine_is_refused() -> None:
    years = np.array(["1900-01-01", "2000-01-01"], dtype="M8[ns]")
    with pytest.raises(DataError, match="2 rows stand on a grid of 876,577 times of frequency h; give the --frequency"):
        align(years, parse("h"), "x.csv")


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (np.datetime64("2024-01-01", "ns"), "2024-01-01"),
        (np.datetime64("2024-01-01T05", "ns"), "2024-01-01 05:00"),
        (np.datetime64("2024-01-01T05:06:07", "ns"), "2024-01-01 05:06:07"),
        (np.datetime64("2024-01-01T00:00:00.5", "ns"), "2024-01-01 00:00:00.500000000"),
        (np.int64(7), "7"),
    ],
)
def test_stamps_for_a_person(stamp: np.datetime64 | np.int64, text: str) -> None:
    assert format_timestamp(stamp) == text
