from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import TimeSeries, TimeSeriesSet, append, from_dataframe, future_stamps, read_frames
from unroll.data.timeseries.schema import Schema
from unroll.errors import DataError, OptionError, RunError

NAN = float("nan")


def hourly(n: int = 30, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {"date": pd.date_range("2024-01-01", periods=n, freq="h"), "load": np.arange(n) * 2.0, **columns}
    )


def shops(*lengths: int, start: str = "2024-01-01") -> pd.DataFrame:
    """A long table: series a, b, ... of these lengths, their rows interleaved."""
    parts = [
        pd.DataFrame(
            {
                "shop": chr(97 + i),
                "day": pd.date_range(start, periods=n).astype(str),
                "sales": np.arange(n) + 100.0 * i,
                "size": 5 + i,
                "kind": ["corner", "mall"][i % 2],
            }
        )
        for i, n in enumerate(lengths)
    ]
    return pd.concat(parts).sort_values(["day", "shop"], ignore_index=True)


LONG = TimeSeriesOptions(series_id="shop", static_covariates=("size", "kind"))


def said(frames: TimeSeriesSet) -> str:
    return "\n".join(frames.notes)


def refusal(df: pd.DataFrame, options: TimeSeriesOptions | None = None, **more: Any) -> str:
    with pytest.raises((DataError, OptionError)) as error:
        from_dataframe(df, options, where="x.csv", **more)
    return str(error.value)


def test_a_wide_table_is_one_series() -> None:
    frames = from_dataframe(hourly(temp=np.arange(30), name="x"), where="x.csv")
    (frame,) = frames.series
    assert (frame.name, len(frame), frames.targets, frames.frequency) == ("", 30, ("load", "temp"), "h")
    assert frame.target.dtype == np.float64
    assert frame.target[3].tolist() == [6.0, 3.0]
    assert frame.stamps.dtype == np.dtype("M8[ns]")
    assert (frame.past.shape, frame.known.shape, frame.static.shape) == ((30, 0), (30, 0), (0,))
    assert frame.observed.all()
    assert frames.notes == (
        "one series of 30 rows, from 2024-01-01 to 2024-01-02 05:00",
        "time is column 'date'",
        "targets are 'load', 'temp'",
        "column 'name' is not of numbers and left out",
        "the frequency is h, inferred from the times",
    )


def test_a_long_table_is_a_series_for_each_name() -> None:
    frames = from_dataframe(shops(5, 3), LONG)
    assert frames.names == ("a", "b")
    assert frames.rows == {"a": 5, "b": 3}
    assert frames.named("b").target[:, 0].tolist() == [100, 101, 102]
    assert frames.static == ("size", "kind=corner", "kind=mall")
    assert [frame.static.tolist() for frame in frames] == [[5, 1, 0], [6, 0, 1]]
    assert frames.notes[0] == "2 series of 3 to 5 rows, from 2024-01-01 to 2024-01-05"
    with pytest.raises(DataError, match="there is no series 'c'"):
        frames.named("c")


def test_past_known_and_calendar() -> None:
    options = TimeSeriesOptions(
        target=("load",), past_covariates=("wind",), future_covariates=("holiday",), calendar=("hour", "weekday")
    )
    frames = from_dataframe(hourly(wind=1.0, holiday=[True] * 15 + [False] * 15, other=3), options)
    assert frames.known == ("holiday", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
    known = frames.series[0].known
    assert known.shape == (30, 5)
    assert known[[0, 29], 0].tolist() == [1.0, 0.0]
    assert known[6, 1:].tolist() == pytest.approx([1, 0, 0, 1])
    assert frames.past == ("wind",)
    auto = from_dataframe(hourly(), TimeSeriesOptions(calendar=("auto",)))
    assert auto.layout.calendar == ("hour", "weekday", "year")
    assert "calendar features are hour, weekday, year, for frequency h" in auto.notes


def test_an_index_of_times_and_a_series() -> None:
    values = pd.Series(np.arange(4.0), index=pd.date_range("2024-01-01", periods=4, freq="MS"))
    frames = from_dataframe(values)
    assert (frames.targets, frames.frequency, frames.layout.time) == (("value",), "MS", "time")
    named = pd.DataFrame({"y": [1, 2, 3]}, index=pd.period_range("2024", periods=3, freq="Q", name="quarter"))
    assert (from_dataframe(named).frequency, from_dataframe(named).layout.time) == ("QS", "quarter")
    nested = shops(4, 4).set_index(["shop", "day"])
    assert from_dataframe(nested, LONG).rows == {"a": 4, "b": 4}
    shuffled = from_dataframe(pd.DataFrame({"y": [1, 2, 3]}, index=[7, 9, 8]))
    assert (shuffled.layout.time, shuffled.series[0].target[:, 0].tolist()) == ("index", [1, 3, 2])


def test_rows_without_times_are_numbered() -> None:
    assert refusal(pd.DataFrame({"y": [5.0, 6.0]})) == (
        "x.csv has no column of times; name it with --time, or give --time none if the rows stand in the order of time"
    )
    series = from_dataframe(pd.Series([5.0, 6.0, 7.0]))
    assert "there are no times: the rows are taken to be in the order of time, and numbered" in series.notes
    frames = from_dataframe(pd.DataFrame({"y": [5.0, 6.0, 7.0]}), TimeSeriesOptions(time="none"))
    assert frames.series[0].stamps.tolist() == [0, 1, 2]
    assert (frames.frequency, frames.layout.time) == ("steps", "")
    assert "rows are numbered in the order they stand" in frames.notes
    assert refusal(pd.DataFrame({"y": [1]}), TimeSeriesOptions(time="none", frequency="h")) == (
        "x.csv has no column of times, but the frequency is to be h; name the column with --time, or give "
        "--frequency steps"
    )


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("when", ["2024-01-01", "2024-01-02", "2024-01-03"]),
        ("t", [1, 2, 3]),
        ("year", [1949, 1950, 1951]),
        ("date", [20240101, 20240102, 20240103]),
    ],
)
def test_which_column_is_the_time(name: str, cells: list[Any]) -> None:
    frames = from_dataframe(pd.DataFrame({"y": [1.5, 2.5, 4.0], name: cells}))
    assert (frames.layout.time, frames.targets) == (name, ("y",))


@pytest.mark.parametrize(
    ("name", "cells", "message"),
    [
        ("month", [1, 2, 3], "column 'month' is named like times, but '1' is not read as one; numbers that are yyyymm"),
        ("Date", ["day 1", "day 2", "day 3"], "column 'Date' is named like times, but 'day 1' is not read as one"),
        ("version", ["5-2a", "6-2b", "7-2c"], "column 'version' looks like times, but '5-2a' is not read as one"),
        ("code", ["ab", "cd", "ef"], "x.csv has no column of times; name it with --time, or give --time none"),
    ],
)
def test_rows_are_never_numbered_without_being_asked(name: str, cells: list[Any], message: str) -> None:
    df = pd.DataFrame({"y": [1.5, 2.5, 4.0], name: cells})
    assert message in refusal(df)
    assert from_dataframe(df, TimeSeriesOptions(time="none", target=("y",))).series[0].stamps.tolist() == [0, 1, 2]


def test_a_column_of_whole_numbers_is_a_grid_of_its_commonest_step() -> None:
    df = pd.DataFrame({"t": [0, 5, 10, 20], "y": [0.0, 1.0, 2.0, 4.0]})
    assert "lacks 1 of 5 times of frequency steps, the first 15" in refusal(df)
    frames = from_dataframe(df, TimeSeriesOptions(gaps="interpolate"))
    assert frames.series[0].stamps.tolist() == [0, 5, 10, 15, 20]
    assert frames.series[0].target[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert (frames.frequency, frames.layout.step) == ("steps", 5)
    equal = from_dataframe(df, TimeSeriesOptions(frequency="steps"))
    assert (len(equal.series[0]), equal.layout.step) == (4, 0)
    assert "holds whole numbers, not dates, so the frequency cannot be h" in refusal(
        df, TimeSeriesOptions(frequency="h")
    )


def test_rows_are_sorted_and_that_is_said() -> None:
    frames = from_dataframe(hourly().iloc[::-1])
    assert frames.series[0].target[:, 0].tolist() == (np.arange(30) * 2.0).tolist()
    assert "the rows were not in the order of time and have been sorted" in frames.notes
    assert "the rows of 1 series were not in" in said(from_dataframe(shops(3, 3).iloc[[4, 1, 0, 2, 3, 5]], LONG))


def test_missing_times() -> None:
    df = hourly().drop([3, 4, 20])
    assert refusal(df) == (
        "x.csv lacks 3 of 30 times of frequency h, the first 2024-01-01 03:00; --gaps fill carries values on, --gaps "
        "interpolate draws a line, --frequency steps takes the rows as equal steps"
    )
    for gaps, values in (("fill", [4, 4]), ("interpolate", [6, 8])):
        frames = from_dataframe(df, TimeSeriesOptions(gaps=gaps))
        (frame,) = frames.series
        assert frame.target[3:5, 0].tolist() == values
        assert np.flatnonzero(~frame.observed[:, 0]).tolist() == [3, 4, 20]
        how = "interpolated" if gaps == "interpolate" else "filled with the values before"
        assert f"times that were missing and are {how}: 3" in frames.notes
    many = shops(9, 9).drop([3])
    assert refusal(many, LONG).startswith(
        "series 'b' of x.csv lacks 1 of 9 times of frequency D, the first 2024-01-02;"
    )


def test_missing_values() -> None:
    df = hourly(temp=1.0)
    df.loc[[5, 6], "temp"] = NAN
    assert refusal(df) == (
        "x.csv, row 6 (2024-01-01 05:00): column 'temp' is empty; 2 values are missing in all; --gaps fill carries the "
        "value before on, --gaps interpolate draws a line"
    )
    frames = from_dataframe(df, TimeSeriesOptions(gaps="fill"))
    assert (~frames.series[0].observed).sum(0).tolist() == [0, 2]
    assert "values that were missing and are filled with the values before: 2" in frames.notes
    past = from_dataframe(df, TimeSeriesOptions(target=("load",), past_covariates=("temp",), gaps="fill")).series[0]
    assert past.observed.all()
    assert np.flatnonzero(~past.past_observed[:, 0]).tolist() == [5, 6]


def test_rows_before_the_first_value_are_left_out() -> None:
    df = hourly(temp=[NAN] * 4 + [1.0] * 26)
    frames = from_dataframe(df, TimeSeriesOptions(gaps="fill"))
    assert len(frames.series[0]) == 26
    assert frames.series[0].target[0].tolist() == [8.0, 1.0]
    assert "rows at the start left out, as some column has no value yet: 4" in frames.notes
    empty = TimeSeriesOptions(target=("load", "temp"), gaps="fill")
    assert refusal(hourly(temp=NAN), empty) == "x.csv has no value in column 'temp'"


def test_known_columns_reach_into_the_future() -> None:
    df = hourly(holiday=np.arange(30) % 2.0)
    df.loc[26:, "load"] = NAN
    options = TimeSeriesOptions(future_covariates=("holiday",), calendar=("hour",))
    frames = from_dataframe(df, options)
    (frame,) = frames.series
    assert (len(frame), frame.known.shape) == (26, (30, 3))
    assert "rows after the last target, with known covariates only: 4" in frames.notes
    assert frames.extended(3).series[0].known.shape == (29, 3)
    with pytest.raises(DataError) as error:
        frames.extended(5)
    assert str(error.value) == (
        "the series has the known columns 'holiday' for 4 of the 5 steps to forecast; add rows with them after the "
        "last target, the targets empty"
    )
    only = from_dataframe(hourly(), TimeSeriesOptions(calendar=("hour",)))
    longer = from_dataframe(hourly(35), TimeSeriesOptions(calendar=("hour",)))
    np.testing.assert_array_equal(only.extended(5).series[0].known, longer.series[0].known)


@pytest.mark.parametrize(("how", "values"), [("first", [0, 1, 4]), ("last", [0, 3, 4]), ("mean", [0, 2, 4])])
def test_rows_at_the_same_time(how: Any, values: list[float]) -> None:
    df = pd.DataFrame({"ds": ["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03"], "y": [0.0, 1.0, 3.0, 4.0]})
    assert refusal(df) == (
        "x.csv: 2024-01-02 in rows 2 and 3 (1 such rows in all); --duplicates first, last or mean takes one; if the "
        "table holds several series, give --series-id with the column that names them"
    )
    frames = from_dataframe(df, TimeSeriesOptions(duplicates=how))
    assert frames.series[0].target[:, 0].tolist() == values
    assert f"merged: 1 of 4 rows, at a time already there ({how})" in frames.notes


def test_a_mean_of_rows_passes_over_missing_values() -> None:
    df = pd.DataFrame({"t": [0, 1, 1, 2, 2, 3], "y": [0, NAN, 3, NAN, NAN, 6]})
    frames = from_dataframe(df, TimeSeriesOptions(duplicates="mean", gaps="interpolate"))
    assert frames.series[0].target[:, 0].tolist() == [0, 3, 4.5, 6]
    assert frames.series[0].observed[:, 0].tolist() == [True, True, False, True]


def test_a_long_table_without_its_names_is_recognised() -> None:
    assert "several series, give --series-id 'shop'" in refusal(shops(3, 3))
    assert "x.csv: series 'a' has 2024-01-01 in rows 1 and 3" in refusal(pd.concat([shops(2)] * 2), LONG)


def test_bad_rows_stop_the_reading_or_are_left_out() -> None:
    df = hourly().astype({"date": str, "load": object})
    df.loc[16, "date"] = "2024-13-01"
    df.loc[20, "load"] = "abc"
    df.loc[21, "load"] = "inf"
    assert refusal(df) == (
        "3 of 30 rows of x.csv cannot be used (row 17: '2024-13-01' in 'date' is no time; row 21: 'abc' in 'load' is "
        "no finite number; row 22: 'inf' in 'load' is no finite number); --skip-bad-rows leaves them out"
    )
    assert "lacks 3 of 30 times" in refusal(df, skip_bad_rows=True)
    frames = from_dataframe(df, TimeSeriesOptions(gaps="interpolate"), skip_bad_rows=True)
    assert frames.series[0].target[:, 0].tolist() == (np.arange(30) * 2.0).tolist()
    assert "left out: 3 of 30 rows, which cannot be used" in frames.notes


@pytest.mark.parametrize("missing", ["", "NA", "null", "NaN", None, " n/a "])
def test_what_counts_as_missing(missing: str | None) -> None:
    df = hourly().astype({"load": object})
    df.loc[7, "load"] = missing
    assert "row 8 (2024-01-01 07:00): column 'load' is empty" in refusal(df)


@pytest.mark.parametrize(
    ("df", "options", "message"),
    [
        (hourly(0), None, "x.csv has no rows"),
        (hourly(1), None, "x.csv has one row, from which no frequency can be inferred; give it with --frequency"),
        (hourly(), TimeSeriesOptions(target=("laod",)), "x.csv has no column 'laod'; did you mean 'load'?"),
        (hourly(), TimeSeriesOptions(time="when"), "x.csv has no column 'when'"),
        (hourly().drop(columns="load"), None, "x.csv has no column of numbers to forecast; name one with --target"),
        (hourly(name="x").drop(columns="load"), None, "to forecast (column 'name' is not of numbers);"),
        (hourly(name="x"), TimeSeriesOptions(target=("name",)), "row 1: 'x' in 'name' is no finite number"),
        (
            hourly().assign(load="much"),
            None,
            "(column 'load' is not of numbers); name one with --target",
        ),
        (hourly().assign(load=1j), None, "no column of numbers to forecast"),
        (
            hourly(size=range(30)),
            TimeSeriesOptions(static_covariates=("size",)),
            "row 2 of x.csv, column 'size': '1', but the series had '0'",
        ),
        (hourly(size=NAN), TimeSeriesOptions(static_covariates=("size",)), "every series needs its static value"),
        (hourly(), TimeSeriesOptions(frequency="D"), "28 of 30 times do not lie on frequency D"),
        (hourly(), TimeSeriesOptions(frequency="H"), "frequency is 'H'; did you mean h?"),
        (hourly(), TimeSeriesOptions(frequency="steps", calendar=("hour",)), "the dates of the future are not known"),
        (shops(3, 3), TimeSeriesOptions(series_id="shp"), "x.csv has no column 'shp'; did you mean 'shop'?"),
        (shops(3).replace("a", ""), LONG, "'shop' is empty"),
    ],
)
def test_what_is_refused(df: pd.DataFrame, options: TimeSeriesOptions | None, message: str) -> None:
    assert message in refusal(df, options)


def test_columns_of_one_name() -> None:
    df = pd.concat([hourly(), hourly()], axis=1)
    assert refusal(df) == "x.csv has more than one column named 'date'"


def test_times_without_a_frequency() -> None:
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 60, 120, 125, 301, 402, 499, 611], unit="s")
    assert refusal(pd.DataFrame({"time": at, "y": 1.0})) == (
        "x.csv: the times in column 'time' have no regular frequency; the most common step, min, is 2 of 7, the first "
        "other one ends at 2024-01-01 00:02:05 (row 4); resample the data, or give --frequency steps to take rows as "
        "equal steps"
    )
    assert (
        len(from_dataframe(pd.DataFrame({"time": at, "y": 1.0}), TimeSeriesOptions(frequency="steps")).series[0]) == 8
    )


def test_months_by_another_day() -> None:
    at = ["2020-01-15", "2020-02-15", "2020-03-15", "2020-04-15"]
    assert refusal(pd.DataFrame({"time": at, "y": 1.0})) == (
        "x.csv: the times in column 'time' are months apart, but on day 15; put them on the first or last day, or give "
        "--frequency steps to take rows as equal steps"
    )


def test_names_of_series_are_the_same_as_numbers_and_as_texts() -> None:
    for names in ([1, 1, 2, 2], [1.0, 1.0, 2.0, 2.0], ["1", "1", "2", "2"], pd.Categorical([1, 1, 2, 2])):
        df = pd.DataFrame({"shop": names, "t": [0, 1, 0, 1], "y": 1.0})
        assert from_dataframe(df, TimeSeriesOptions(series_id="shop")).names == ("1", "2")


def test_the_frequency_of_most_rows_is_that_of_all() -> None:
    df = shops(30, 4)
    assert from_dataframe(df[~df.day.isin(["2024-01-02"]) | (df.shop == "a")], replace(LONG, gaps="fill")).rows == {
        "a": 30,
        "b": 4,
    }
    one = from_dataframe(shops(9, 1), LONG)
    assert one.rows == {"a": 9, "b": 1}
    assert one.frequency == "D"


def test_more_data_is_read_by_the_layout_of_the_training() -> None:
    frames = from_dataframe(shops(9, 9), replace(LONG, calendar=("auto",)))
    layout = Schema.from_json(frames.layout.to_json())
    assert layout == frames.layout
    more = from_dataframe(shops(0, 1, start="2024-01-10").assign(extra=5.0), layout=layout)
    assert (more.targets, more.static, more.known, more.frequency) == (
        frames.targets,
        frames.static,
        frames.known,
        "D",
    )
    assert more.series[0].static.tolist() == [6, 0, 1]
    assert (
        refusal(shops(2).drop(columns="sales"), layout=layout)
        == "x.csv has no column 'sales'; there is: shop, day, size, kind"
    )
    message = refusal(shops(2).replace("corner", "mal"), layout=layout)
    assert message == "row 1 of x.csv, column 'kind': 'mal' was not in the training data; did you mean 'mall'?"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "not in the form 'unroll.layout/2'"),
        ({"more": 1}, "keys are missing or unknown"),
        ({"target": []}, "there is no target"),
        ({"target": "load"}, "target is no list of texts"),
        ({"past": ["load"]}, "a column is listed twice"),
        ({"frequency": "H"}, "frequency is 'H'"),
        ({"step": -1}, "step is -1"),
        ({"step": True}, "step is True"),
        ({"gaps": "x"}, "gaps is 'x'"),
        ({"calendar": ["hours"]}, "calendar is ['hours']"),
        ({"categories": [["size", ["a"]]]}, "categories are not lists of texts"),
        ({"time": 5}, "time is no text"),
    ],
)
def test_a_damaged_layout_is_refused(change: dict[str, Any], message: str) -> None:
    import json

    document = {**json.loads(from_dataframe(hourly()).layout.to_json()), **change}
    with pytest.raises(RunError) as error:
        Schema.from_json(json.dumps(document))
    assert message in str(error.value)
    with pytest.raises(RunError, match="not JSON"):
        Schema.from_json("{")


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".jsonl", ".parquet"])
def test_files(tmp_path: Path, ending: str) -> None:
    df = hourly(wind=np.linspace(0, 1, 30))
    path = tmp_path / f"x{ending}"
    if ending == ".parquet":
        df.to_parquet(path)
    elif ending == ".jsonl":
        df.astype({"date": str}).to_json(path, orient="records", lines=True, double_precision=15)
    else:
        text = df.to_csv(index=False, sep="\t" if ending == ".tsv" else ",")
        path.write_bytes(gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode())
    frames, expected = read_frames(path), from_dataframe(df)
    assert frames.layout == expected.layout
    assert (frames.series[0].stamps == expected.series[0].stamps).all()
    np.testing.assert_allclose(frames.series[0].target, expected.series[0].target, rtol=1e-13)


def test_files_with_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("ds,y\n2024-01-01,1\n2024-01-02,2,2\n2024-01-03,3\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3: 3 fields, but the header has 2"):
        read_frames(path)
    frames = read_frames(path, TimeSeriesOptions(frequency="D", gaps="fill"), skip_bad_rows=True)
    assert frames.series[0].target[:, 0].tolist() == [1, 1, 3]
    assert frames.notes[0].startswith("1 line left out, the first: ")
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="is empty"):
        read_frames(path)


def test_future_stamps() -> None:
    def after(values: Any, frequency: str, **more: int) -> list[str]:
        zeros = np.zeros((len(values), 0))
        frame = TimeSeries("", values, zeros, zeros, zeros, np.zeros(0))
        return [str(s).removesuffix("T00:00:00.000000000") for s in future_stamps(frame, frequency, 3, **more)]

    days = np.array(["2024-01-30", "2024-01-31"], dtype="M8[ns]")
    assert after(days, "D") == ["2024-02-01", "2024-02-02", "2024-02-03"]
    assert after(days, "ME") == ["2024-02-29", "2024-03-31", "2024-04-30"]
    assert after(days + np.timedelta64(2, "D"), "B") == ["2024-02-05", "2024-02-06", "2024-02-07"]
    assert after(days, "W") == ["2024-02-07", "2024-02-14", "2024-02-21"]
    assert after(days, "steps") == ["1", "2", "3"]
    assert after(np.array([4, 6]), "steps") == ["8", "10", "12"]
    assert after(np.array([4, 6]), "steps", step=1) == ["7", "8", "9"]
    assert after(np.array([4]), "steps") == ["5", "6", "7"]


def test_a_series_as_it_was_known() -> None:
    df = hourly().drop([10, 11, 12])
    (frame,) = from_dataframe(df, TimeSeriesOptions(gaps="interpolate")).series
    assert frame.target[10:13, 0].tolist() == [20, 22, 24]
    early = frame.upto(12)
    assert early.target[8:, 0].tolist() == [16, 18, 18, 18]
    assert len(early) == len(early.observed) == 12
    assert frame.upto(14).target[10:, 0].tolist() == [20, 22, 24, 26]


def parts(df: pd.DataFrame, at: int, options: TimeSeriesOptions) -> tuple[TimeSeriesSet, TimeSeriesSet]:
    old = from_dataframe(df.iloc[:at], options)
    return old, from_dataframe(df.iloc[at:], layout=old.layout)


@pytest.mark.parametrize("at", [10, 29])
def test_appended_is_as_read_at_once(at: int) -> None:
    options = TimeSeriesOptions(target=("load",), past_covariates=("wind",), calendar=("hour",))
    df = hourly(wind=np.linspace(0, 1, 30))
    old, new = parts(df, at, options)
    both, whole = append(old, new), from_dataframe(df, options)
    for name in ("stamps", "target", "past", "known", "static", "observed", "past_observed"):
        np.testing.assert_array_equal(getattr(both.series[0], name), getattr(whole.series[0], name), err_msg=name)
    assert list(both.fingerprint()) == list(whole.fingerprint())


def test_appending_fills_as_reading_does() -> None:
    df = hourly().drop([8, 9, 10, 11])
    df.loc[20, "load"] = NAN
    for gaps in ("fill", "interpolate"):
        old, new = parts(df, 8, TimeSeriesOptions(gaps=gaps))
        both, whole = append(old, new).series[0], from_dataframe(df, TimeSeriesOptions(gaps=gaps)).series[0]
        np.testing.assert_array_equal(both.target, whole.target)
        np.testing.assert_array_equal(both.observed, whole.observed)


def test_appending_keeps_what_is_known_of_the_future() -> None:
    df = hourly(price=np.arange(30.0))
    options = TimeSeriesOptions(future_covariates=("price",), calendar=("hour",), gaps="fill")
    told = df.copy()
    told.loc[10:, "load"] = NAN
    old = from_dataframe(told, options)
    assert (len(old.series[0]), len(old.series[0].known)) == (10, 30)
    new = from_dataframe(df.iloc[12:20].assign(price=7.0), layout=old.layout)
    both = append(old, new).series[0]
    assert len(both) == 20
    assert both.known[:, 0].tolist() == [*range(12), *[7.0] * 8, *range(20, 30)]
    np.testing.assert_array_equal(both.known[:, 1:], from_dataframe(df, options).series[0].known[:, 1:])


def test_numbered_rows_follow_on() -> None:
    old = from_dataframe(pd.DataFrame({"y": [1.0, 2.0]}), TimeSeriesOptions(time="none"))
    both = append(old, from_dataframe(pd.DataFrame({"y": [3.0]}), layout=old.layout)).series[0]
    assert both.stamps.tolist() == [0, 1, 2]
    assert both.target[:, 0].tolist() == [1, 2, 3]


def test_some_series_have_news() -> None:
    old = from_dataframe(shops(4, 4), LONG)
    new = from_dataframe(shops(0, 2, start="2024-01-05"), layout=old.layout)
    assert append(old, new).rows == {"a": 4, "b": 6}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            shops(2, start="2024-01-04"),
            "series 'a': the new data begins at 2024-01-04, but 2024-01-04 is already there",
        ),
        (
            shops(2, start="2024-01-07"),
            "the new data begins at 2024-01-07, but 2024-01-05 follows 2024-01-04; give what is",
        ),
        (shops(2, start="2024-01-05").replace("a", "x"), "there is no series 'x'; there is: a, b"),
        (shops(2, start="2024-01-05").assign(size=9), "series 'a' has other static values in the new data"),
    ],
)
def test_what_cannot_be_appended(new: pd.DataFrame, message: str) -> None:
    old = from_dataframe(shops(4, 4), LONG)
    with pytest.raises(DataError) as error:
        append(old, from_dataframe(new, layout=old.layout))
    assert message in str(error.value)


def test_other_columns_cannot_be_appended() -> None:
    old = from_dataframe(hourly())
    with pytest.raises(DataError, match="the new data has other targets: temp, not load"):
        append(old, from_dataframe(hourly().rename(columns={"load": "temp"})))
    with pytest.raises(DataError, match="the new data has other frequency: 2h, not h"):
        append(old, from_dataframe(hourly().iloc[::2]))


def test_the_fingerprint_sees_every_change() -> None:
    first = list(from_dataframe(hourly()).fingerprint())
    assert first == list(from_dataframe(hourly()).fingerprint())
    changed = hourly()
    changed.loc[29, "load"] += 1e-9
    assert first != list(from_dataframe(changed).fingerprint())
    assert first != list(from_dataframe(hourly().rename(columns={"load": "y"})).fingerprint())


@pytest.mark.data
def test_public_series(public_data: Path) -> None:
    hours = read_frames(public_data / "ett/ETTh1.csv.gz")
    assert (len(hours.series[0]), hours.frequency, len(hours.targets)) == (17420, "h", 7)
    air = read_frames(public_data / "air_passengers/AirPassengers.csv")
    assert (len(air.series[0]), air.frequency, air.layout.time) == (144, "MS", "Month")
    with pytest.raises(DataError, match="lacks 17 of 523 times of frequency B, the first 2015-04-03"):
        read_frames(public_data / "stock_daily/AAPL_2015-2017.csv")
    stocks = read_frames(
        public_data / "stock_daily/stocknet_88_daily_prices.csv.gz",
        TimeSeriesOptions(series_id="Symbol", target=("Close",), frequency="steps", gaps="fill"),
    )
    assert len(stocks) == 88
    assert sum(1 for frame in stocks if len(frame) == 1258) == 84
    assert sum(int((~frame.observed).sum()) for frame in stocks) == 3
