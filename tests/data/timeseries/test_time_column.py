from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import TimeSeriesSet, from_dataframe, read_frames
from unroll.data.timeseries.time_column import kind_of, numbers_of
from unroll.errors import DataError

DAYS = [datetime.datetime(2020, 1, 1) + datetime.timedelta(i) for i in range(60)]
HOURS = [datetime.datetime(2020, 1, 13) + datetime.timedelta(hours=i) for i in range(60)]
WEEKS = [datetime.datetime(2020, 1, 13) + datetime.timedelta(7 * i) for i in range(20)]
MONTHS = [datetime.datetime(2005 + i // 12, i % 12 + 1, 1) for i in range(60)]
EPOCH, SHEET = datetime.datetime(1970, 1, 1), datetime.datetime(1899, 12, 30)


def seconds(scale: int) -> Callable[[datetime.datetime], str]:
    return lambda t: str(round((t - EPOCH).total_seconds() * scale))


def table(times: list[datetime.datetime], way: str | Callable[[datetime.datetime], str], name: str) -> pd.DataFrame:
    texts = [t.strftime(way) if isinstance(way, str) else way(t) for t in times]
    return pd.DataFrame({name: texts, "y": np.arange(len(times), dtype=float)})


def ends(frames: TimeSeriesSet) -> tuple[Any, Any, float, float]:
    one = frames.series[0]
    return one.stamps[0], one.stamps[-1], one.target[0, 0], one.target[-1, 0]


def refusal(df: pd.DataFrame, options: TimeSeriesOptions | None = None) -> str:
    with pytest.raises(DataError) as error:
        from_dataframe(df, options, where="x.csv")
    return str(error.value)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("times", "way", "name", "frequency"),
    [
        (DAYS, "%d-%b-%y", "Date", "D"),
        (DAYS, "%m/%d/%y", "Date", "D"),
        (DAYS, "%d/%m/%y", "Date", "D"),
        (DAYS, "%d.%m.%y", "Datum", "D"),
        (DAYS, "%y/%m/%d", "Date", "D"),
        (DAYS, "%G-W%V-%u", "Date", "D"),
        (DAYS, "%Y-%m-%d 12-AM", "Date", "D"),
        (DAYS, "%a, %d %b %Y", "trade date", "D"),
        (DAYS, "%Y-%j", "day", "D"),
        (DAYS, lambda t: str((t - SHEET).days), "Date", "D"),
        (DAYS, seconds(1), "timestamp", "D"),
        (DAYS, seconds(1000), "open_time", "D"),
        (HOURS, "%d/%m/%Y %H:%M", "Fecha", "h"),
        (HOURS, "%m/%d/%Y %I:%M:%S %p", "time", "h"),
        (HOURS, "%Y%m%d%H", "time", "h"),
        (HOURS, "%Y%m%d %H%M", "when", "h"),
        (HOURS, seconds(10**6), "ts", "h"),
        (HOURS, lambda t: repr((t - SHEET) / datetime.timedelta(days=1)), "Date", "h"),
        (MONTHS, "%Y%m", "month", "MS"),
        (MONTHS, "%YM%m", "TIME_PERIOD", "MS"),
        (MONTHS, "%b-%y", "Month", "MS"),
        (MONTHS, "%B %Y", "Month", "MS"),
        (MONTHS, "%Y年%m月", "月份", "MS"),
    ],
)
def test_times_are_read_and_put_in_order(
    times: list[datetime.datetime], way: Any, name: str, frequency: str, newest_first: bool
) -> None:
    df = table(times, way, name)
    frames = from_dataframe(df[::-1] if newest_first else df, where="x.csv")
    first, last = (np.datetime64(t, "ns") for t in (times[0], times[-1]))
    assert ends(frames) == (first, last, 0.0, len(times) - 1.0)
    assert (frames.frequency, frames.targets) == (frequency, ("y",))


@pytest.mark.parametrize(
    ("columns", "times", "frequency"),
    [
        (lambda t: {"year": t.year, "month": t.month}, MONTHS, "MS"),
        (lambda t: {"Year": t.year, "Month": t.strftime("%b")}, MONTHS, "MS"),
        (lambda t: {"year": t.year, "month": t.month, "day": t.day, "hour": t.hour}, HOURS, "h"),
        (lambda t: {"Date": t.strftime("%d/%m/%Y"), "Time": t.strftime("%H:%M:%S")}, HOURS, "h"),
        (lambda t: {"date": t.strftime("%Y-%m-%d"), "hour": t.hour}, HOURS, "h"),
        (lambda t: dict(zip(("year", "week"), t.isocalendar()[:2], strict=True)), WEEKS, "W"),
    ],
)
def test_times_in_several_columns(columns: Any, times: list[datetime.datetime], frequency: str) -> None:
    df = pd.DataFrame([{"No": i + 1, **columns(t), "y": float(i)} for i, t in enumerate(times)])
    frames = from_dataframe(df[::-1])
    first, last = (np.datetime64(t, "ns") for t in (times[0], times[-1]))
    assert ends(frames) == (first, last, 0.0, len(times) - 1.0)
    assert (frames.frequency, frames.layout.time) == (frequency, "time")
    assert "y" in frames.targets
    again = from_dataframe(df[-5:], layout=frames.layout)
    assert ends(again)[1] == last
    said = ",".join(frames.layout.time_parts)
    assert ends(from_dataframe(df, TimeSeriesOptions(time=said))) == ends(frames)


def test_a_part_that_is_wrong_is_a_bad_row() -> None:
    df = pd.DataFrame({"year": 2020, "month": [1, 2, 3, 13], "y": 1.0})
    assert "row 4: '2020-13' in 'time' is no time" in refusal(df, TimeSeriesOptions(time="year,month"))


def test_what_numbers_rows_or_is_part_of_a_date_is_no_target() -> None:
    df = table(DAYS, "%Y-%m-%d", "date").assign(id=range(60), month=[t.month for t in DAYS], weekday=1)
    frames = from_dataframe(df)
    assert frames.targets == ("y",)
    assert "column 'id' is left out, as it numbers the rows" in frames.notes
    assert "columns 'month', 'weekday' are left out, as named like a time; --target takes it" in frames.notes
    assert from_dataframe(df, TimeSeriesOptions(target=("month",))).targets == ("month",)


def test_an_unreadable_column_named_like_a_time_is_refused() -> None:
    message = refusal(pd.DataFrame({"Month": ["1-01", "1-02", "1-03"], "Sales": [1.0, 2.0, 3.0]}))
    assert message.startswith(
        "x.csv: column 'Month' is named like times, but '1-01' is not read as one; dates such as 2020-02-25, "
    )
    assert message.endswith(
        "and --date-format says how others are written; name another column with --time, or give --time none if the "
        "rows stand in the order of time"
    )
    numbers = refusal(pd.DataFrame({"Date": [5, 6, 9], "y": 1.0}))
    assert (
        "column 'Date' is named like times, but '5' is not read as one; numbers that are yyyymm, yyyymmdd, unix"
        in numbers
    )
    assert "'1 févr. 2020' is not read" in refusal(pd.DataFrame({"Date": ["1 févr. 2020"] * 3, "y": 1.0}))


def test_two_columns_of_times_are_not_guessed_between() -> None:
    df = pd.DataFrame({"created": DAYS, "shipped": [t + datetime.timedelta(3) for t in DAYS], "y": range(60)})
    assert refusal(df).startswith("x.csv has the times 'created' and 'shipped', which differ; name the one")
    assert from_dataframe(df, TimeSeriesOptions(time="shipped")).series[0].stamps[0] == np.datetime64("2020-01-04")
    assert from_dataframe(df.rename(columns={"created": "date"})).layout.time == "date"
    assert from_dataframe(df.assign(shipped=df.created)).layout.time == "created"


def test_the_format_of_the_training_is_that_of_later_files() -> None:
    trained = from_dataframe(table(DAYS, "%d/%m/%Y", "date")).layout
    assert trained.date_format == "%d/%m/%Y"
    later = pd.DataFrame({"date": ["01/03/2020", "02/03/2020"], "y": [1.0, 2.0]})
    assert ends(from_dataframe(later, layout=trained))[0] == np.datetime64("2020-03-01")
    iso = later.assign(date=["2020-03-01", "2020-03-02"])
    assert ends(from_dataframe(iso, layout=trained))[0] == np.datetime64("2020-03-01")
    dashes = later.assign(date=["01-03-2020", "02-03-2020"])
    assert ends(from_dataframe(dashes, layout=trained))[0] == np.datetime64("2020-03-01")
    with pytest.raises(DataError) as error:
        from_dataframe(later.assign(date=["03/14/2020", "03/15/2020"]), layout=trained)
    assert str(error.value) == (
        "row 1 of the table, column 'date': '03/14/2020' is not day/month/year, the format that was given or trained "
        "on, but month/day/year; write dates as year-month-day"
    )


def test_a_format_that_is_given() -> None:
    df = pd.DataFrame({"date": ["01/02/2020", "02/02/2020", "03/02/2020"], "y": [1.0, 2.0, 3.0]})
    assert "can be day/month/year or month/day/year" in refusal(df)
    frames = from_dataframe(df, TimeSeriesOptions(date_format="%d/%m/%Y"))
    assert ends(frames)[:2] == (np.datetime64("2020-02-01"), np.datetime64("2020-02-03"))
    odd = df.assign(date=["2020 day 01", "2020 day 02", "2020 day 03"])
    assert ends(from_dataframe(odd, TimeSeriesOptions(time="date", date_format="%Y day %j")))[1] == np.datetime64(
        "2020-01-03"
    )
    bad = refusal(
        df.assign(date=["01/02/2020", "x", "03/02/2020"]), TimeSeriesOptions(time="date", date_format="%d/%m/%Y")
    )
    assert "row 2: 'x' in 'date' is no time" in bad


@pytest.mark.parametrize(
    "index",
    [
        [t.date() for t in DAYS],
        [str(t.date()) for t in DAYS],
        [t.strftime("%d/%m/%y") for t in DAYS],
        pd.Index([pd.Timestamp(t) for t in DAYS], dtype=object),
        pd.DatetimeIndex(DAYS),
        pd.PeriodIndex(DAYS, freq="D"),
        pd.CategoricalIndex([str(t.date()) for t in DAYS]),
        [int(f"{t:%Y%m%d}") for t in DAYS],
    ],
)
def test_an_index_of_times(index: Any) -> None:
    values = np.arange(60.0)
    wanted = (np.datetime64(DAYS[0], "ns"), np.datetime64(DAYS[-1], "ns"), 0.0, 59.0)
    for data in (pd.Series(values, index=index), pd.DataFrame({"y": values}, index=index)):
        assert ends(from_dataframe(data[::-1])) == wanted
        assert ends(from_dataframe(data.rename_axis("day")[::-1])) == wanted


def test_columns_on_several_levels_are_joined() -> None:
    columns = pd.MultiIndex.from_tuples([("Close", "XYZ"), ("Volume", "XYZ")])
    df = pd.DataFrame(np.arange(120.0).reshape(60, 2), columns=columns, index=pd.DatetimeIndex(DAYS, name="Date"))
    frames = from_dataframe(df)
    assert (frames.targets, frames.layout.time) == (("Close XYZ", "Volume XYZ"), "Date")
    assert from_dataframe(df.reset_index()).targets == frames.targets
    assert from_dataframe(df[-9:], layout=frames.layout).rows == {"": 9}
    assert any(note.startswith("names of columns on several levels are joined") for note in frames.notes)
    twice = pd.DataFrame(np.zeros((2, 2)), columns=pd.MultiIndex.from_tuples([("a b", "c"), ("a", "b c")]))
    assert "two of them are 'a b c'" in refusal(twice)


def test_what_names_say() -> None:
    kinds = {
        name: kind_of(name) for name in ("t", "Date", "openTime", "Order Date", "Date (UTC)", "Month", "time spent")
    }
    assert list(kinds.values()) == ["steps", "date", "time", "date", "date", "part", ""]
    assert [numbers_of(name) for name in ("step", "year", "Date", "timestamp")] == ["steps", "steps", "dates", "times"]


def test_filling_is_not_offered_where_it_would_invent_most() -> None:
    df = table(DAYS[::3], "%Y-%m-%d", "date")
    message = refusal(df, TimeSeriesOptions(frequency="D"))
    assert "most of them would be invented by filling" in message
    assert "--gaps" not in message


def test_a_file_of_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    table(DAYS, "%d-%b-%y", "Date")[::-1].to_csv(path, index=False)
    assert ends(read_frames(path)) == (np.datetime64(DAYS[0], "ns"), np.datetime64(DAYS[-1], "ns"), 0.0, 59.0)


@pytest.mark.parametrize("falling", [False, True])
def test_days_of_a_month_that_may_be_years_are_refused_with_both_readings(falling: bool) -> None:
    days = [f"01.01.{year}" for year in range(24, 32)][:: -1 if falling else 1]
    said = refusal(pd.DataFrame({"date": days, "y": np.arange(8.0)}))
    assert "%d.%m.%y" in said
    assert "%y.%m.%d" in said
    frames = from_dataframe(
        pd.DataFrame({"date": days, "y": np.arange(8.0)}), TimeSeriesOptions(date_format="%d.%m.%y")
    )
    assert frames.frequency == "YS"
