from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.table import ColumnTable
from unroll.data.timeseries.timestamps import Timestamps, read_stamps
from unroll.errors import DataError


def read(cells: Any, **more: Any) -> Timestamps:
    return read_stamps(ColumnTable(pd.DataFrame({"t": cells}), "x.csv"), "t", **more)


def days(*texts: str) -> list[int]:
    return np.array(texts, dtype="M8[ns]").astype(np.int64).tolist()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2020-01-02", "2020-01-03 04:05"], ["2020-01-02", "2020-01-03T04:05"]),
        (["1949-01", "1949-02"], ["1949-01-01", "1949-02-01"]),
        (["2020-01-02T03:04:05.678", "2020-01-02 03:04:06"], ["2020-01-02T03:04:05.678", "2020-01-02T03:04:06"]),
        (["2020-01-02T03:04:05Z", "2020-01-02 04:04:05 UTC"], ["2020-01-02T03:04:05", "2020-01-02T04:04:05"]),
        (["2020-01-02 03:00+01:00", "2020-01-02 04:00+02:00"], ["2020-01-02T02:00", "2020-01-02T02:00"]),
        (["2020/01/02", "2020/1/13"], ["2020-01-02", "2020-01-13"]),
        (["13/04/2020", "01/05/2020"], ["2020-04-13", "2020-05-01"]),
        (["04/13/2020", "05/01/2020"], ["2020-04-13", "2020-05-01"]),
        (["03/04/2020 10:00", "13/04/2020 11:30"], ["2020-04-03T10:00", "2020-04-13T11:30"]),
        (["03.04.2020", "04.04.2020"], ["2020-04-03", "2020-04-04"]),
        (["1/2/2020 3:04 PM", "1/13/2020 3:04 AM"], ["2020-01-02T15:04", "2020-01-13T03:04"]),
        (["Jan 2020", "Feb 2020"], ["2020-01-01", "2020-02-01"]),
        (["1 March 2021", "2 March 2021"], ["2021-03-01", "2021-03-02"]),
        (["2020年1月2日", "2020年1月3日"], ["2020-01-02", "2020-01-03"]),
        (["2020Q1", "2020-Q4"], ["2020-01-01", "2020-10-01"]),
        (["Q1 2020", "Q3 2020"], ["2020-01-01", "2020-07-01"]),
        (["20200102", "20201231"], ["2020-01-02", "2020-12-31"]),
        ([20200102, 20201231], ["2020-01-02", "2020-12-31"]),
        ([datetime.date(2020, 1, 2), datetime.date(2020, 1, 3)], ["2020-01-02", "2020-01-03"]),
        ([datetime.datetime(2020, 1, 2, 3), pd.Timestamp("2020-01-03")], ["2020-01-02T03", "2020-01-03"]),
        (pd.to_datetime(["2020-01-02", "2020-01-03"]), ["2020-01-02", "2020-01-03"]),
        (pd.period_range("2020-01", periods=2, freq="M"), ["2020-01-01", "2020-02-01"]),
        (pd.to_datetime(["2020-07-02", "2020-07-03"]).tz_localize("Europe/Paris"), ["2020-07-01T22", "2020-07-02T22"]),
    ],
)
def test_ways_of_writing_times(cells: Any, expected: list[str]) -> None:
    found = read(cells)
    assert not found.wrong
    assert found.values.dtype == np.dtype("M8[ns]")
    assert found.values.astype(np.int64).tolist() == days(*expected)


@pytest.mark.parametrize("cells", [["1949", "1950"], [1949, 1950], ["1949.0", "1950.0"], [1949.0, 1950.0]])
def test_whole_numbers(cells: list[Any]) -> None:
    assert read(cells).values.tolist() == [1949, 1950]
    assert read(cells).values.dtype == np.int64


def test_what_could_be_understood_otherwise_is_said() -> None:
    assert read(["2020-01-02"]).notes == ()
    assert read(["13/04/2020"]).notes == ("column 't' was read as dates written day/month/year (%d/%m/%Y)",)
    assert read(["03/04/2020", "13/04/2020"]).notes == (
        (
            "column 't' was read as dates written day/month/year (%d/%m/%Y), as '13/04/2020' in row 2 cannot be "
            "month/day/year"
        ),
    )
    assert read(["20200102"]).notes == ("column 't' was read as dates written yyyymmdd",)
    assert read(["2020-01-02 03:00+01:00"]).zones == ("+01:00",)
    paris = pd.to_datetime(["2020-07-02"]).tz_localize("Europe/Paris")
    assert (read(paris).notes, read(paris).zones) == ((), ("Europe/Paris",))


@pytest.mark.parametrize(
    ("cells", "row", "message"),
    [
        (["2020-01-01", "2020-13-01"], 1, "'2020-13-01' in 't' is no time"),
        (pd.array([1, 2, None], dtype="Int64"), 2, "'t' is empty"),
        (np.array([1, 2**63 + 1], dtype=np.uint64), 1, "is no whole number"),
        (["2020-01-01", None], 1, "'t' is empty"),
        (["2020-01-01", "NaT"], 1, "'t' is empty"),
        (["abc", "2020-01-01"], 0, "'abc' in 't' is no time"),
        (["13/04/2020", "14/04/2020", "04/15/2020"], 2, "'04/15/2020' in 't' is no time"),
        (["0001-01-01", "2020-01-01"], 0, "'0001-01-01' in 't' is beyond the years 1678 to 2261"),
        ([1, 2.5], 1, "'2.5' in 't' is no whole number, as others in the column are"),
        (["1", "2020-01-01"], 1, "'2020-01-01' in 't' is no whole number"),
        (["2020Q1", "2020Q5"], 1, "'2020Q5' in 't' is no time"),
    ],
)
def test_cells_that_are_no_times(cells: Any, row: int, message: str) -> None:
    wrong = read(cells).wrong
    assert row in wrong or len(wrong) == 1
    assert any(message in reason for reason in wrong.values())


def test_day_and_month_are_not_guessed() -> None:
    with pytest.raises(DataError) as error:
        read(["04/04/2020", "03/04/2020"])
    assert str(error.value) == (
        "row 2 of x.csv, column 't': '03/04/2020' can be day/month/year or month/day/year, and no row tells which; "
        "give --date-format '%d/%m/%Y' or '%m/%d/%Y', or write dates as year-month-day"
    )
    with pytest.raises(DataError) as error:
        read(["13/04/2020", "04/13/2020"])
    assert str(error.value) == (
        "row 1 of x.csv, column 't': '13/04/2020' is day/month/year, but '04/13/2020' in row 2 is month/day/year; "
        "write all dates in one way"
    )
    assert read(["04/04/2020", "03/04/2020"], date_format="%m/%d/%Y").values[1] == np.datetime64("2020-03-04")
    assert read(["04/04/2020", "05/05/2020"]).values.astype(np.int64).tolist() == days("2020-04-04", "2020-05-05")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("2020-03-30 00:00", "has no time zone, but the rows before have one; write all times in one way"),
    ],
)
def test_zones_are_not_mixed(second: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read(["2020-03-28 00:00+01:00", second])
    assert f"row 2 of x.csv, column 't': '{second}' {message}" in str(error.value)
