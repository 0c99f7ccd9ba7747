from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries import calendar
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import TimeSeriesSet, append, from_dataframe, future_stamps
from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.time_zones import Clock, canonical, to_instants, to_local, told_apart
from unroll.errors import DataError, OptionError


def local(rows: int = 48, zone: str = "+08:00", first: str = "2024-01-01") -> pd.DataFrame:
    times = pd.date_range(first, periods=rows, freq="h")
    return pd.DataFrame({"t": [t.isoformat() + zone for t in times], "y": np.arange(float(rows))})


def in_utc(df: pd.DataFrame) -> pd.DataFrame:
    times = pd.to_datetime(df.t, utc=True)
    return df.assign(t=times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))


def refusal(df: pd.DataFrame, options: TimeSeriesOptions | None = None, layout: Schema | None = None) -> str:
    with pytest.raises(DataError) as error:
        from_dataframe(df, options, layout=layout, where="x.csv")
    return str(error.value)


def texts(frames: TimeSeriesSet, steps: int) -> list[str]:
    stamps = future_stamps(frames.series[0], frames.frequency, steps)
    return frames.layout.clock.texts(stamps)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Z", "UTC"),
        ("+00:00", "UTC"),
        ("GMT", "UTC"),
        ("+0800", "+08:00"),
        ("+08", "+08:00"),
        ("UTC-5", "-05:00"),
        ("Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_names_of_zones(name: str, zone: str) -> None:
    assert canonical(name) == zone


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("+25:00", "+08:00"),
    ],
)
def test_zones_that_do_not_exist(name: str, hint: str) -> None:
    with pytest.raises(OptionError, match=r"time_zone is") as error:
        TimeSeriesOptions(time_zone=name)
    assert hint in str(error.value)


def test_a_run_keeps_its_zone() -> None:
    df = local()
    trained = from_dataframe(df, TimeSeriesOptions(calendar=("hour",)))
    assert (trained.layout.zone, trained.frequency) == ("+08:00", "h")
    assert texts(trained, 2) == ["2024-01-03T00:00:00+08:00", "2024-01-03T01:00:00+08:00"]
    hours = calendar.features(pd.date_range("2024-01-01", periods=48, freq="h").to_numpy(), ("hour",))
    np.testing.assert_array_equal(trained.series[0].known, hours)
    again = from_dataframe(in_utc(df), layout=trained.layout)
    np.testing.assert_array_equal(again.series[0].known, hours)
    assert again.series[0].stamps.tolist() == trained.series[0].stamps.tolist()
    assert any("have the zone UTC and are converted to +08:00, the zone of the training" in n for n in again.notes)
    aware = df.assign(t=pd.to_datetime(df.t).dt.tz_convert("Asia/Tokyo"))
    assert from_dataframe(aware, layout=trained.layout).series[0].stamps.tolist() == trained.series[0].stamps.tolist()
    later = in_utc(local(3, first="2024-01-03"))
    assert len(append(trained, from_dataframe(later, layout=trained.layout)).series[0]) == 51
    assert Schema.from_json(trained.layout.to_json()) == trained.layout


def test_another_kind_of_zone_than_that_of_the_training_is_refused() -> None:
    aware, plain = local(), local(zone="")
    trained = from_dataframe(aware).layout
    assert refusal(plain, layout=trained) == (
        "x.csv, column 't' has no time zone ('2024-01-01T00:00:00'), but the times of the training are in +08:00; "
        "write them with it, or train with --time-zone +08:00, which takes times without one to be in it"
    )
    assert "has the time zone +08:00" in refusal(aware, layout=from_dataframe(plain).layout)


def test_a_zone_that_is_given() -> None:
    options = TimeSeriesOptions(time_zone="Asia/Shanghai", calendar=("hour",))
    one, two = from_dataframe(local(zone=""), options), from_dataframe(in_utc(local()), options)
    assert one.series[0].stamps.tolist() == two.series[0].stamps.tolist()
    np.testing.assert_array_equal(one.series[0].known, two.series[0].known)
    assert one.layout.zone == "Asia/Shanghai"
    assert from_dataframe(local(zone=""), layout=one.layout).series[0].stamps[0] == one.series[0].stamps[0]


def test_offsets_of_a_place_with_summer_time() -> None:
    times = pd.date_range("2024-03-30 22:00", periods=12, freq="h", tz="Europe/Berlin")
    df = pd.DataFrame({"t": [t.isoformat() for t in times], "y": np.arange(12.0)})
    assert "has the time zones +01:00 and +02:00, as a place with summer time writes them" in refusal(df)
    frames = from_dataframe(df, TimeSeriesOptions(time_zone="Europe/Berlin"))
    assert frames.frequency == "h"
    assert texts(frames, 1) == ["2024-03-31T11:00:00+02:00"]


@pytest.mark.parametrize("first", ["2024-03-30", "2024-10-26"])
def test_hours_are_instants_and_their_calendar_is_of_the_clock(first: str) -> None:
    times = pd.date_range(first, periods=60, freq="h", tz="Europe/Berlin")
    df = pd.DataFrame({"t": times, "y": np.arange(60.0)})
    frames = from_dataframe(df, TimeSeriesOptions(calendar=("hour",)))
    assert (frames.frequency, len(frames.series[0])) == ("h", 60)
    wanted = 2 * np.pi * times.hour.to_numpy() / 24
    np.testing.assert_allclose(frames.series[0].known[:, 0], np.sin(wanted), atol=1e-12)
    plain = df.assign(t=times.tz_localize(None))
    if first == "2024-10-26":
        again = from_dataframe(plain, TimeSeriesOptions(time_zone="Europe/Berlin"))
        assert again.series[0].stamps.tolist() == frames.series[0].stamps.tolist()
        newest_first = from_dataframe(plain[::-1], TimeSeriesOptions(time_zone="Europe/Berlin"))
        assert newest_first.series[0].target.tolist() == frames.series[0].target.tolist()


@pytest.mark.parametrize(
    ("frequency", "found"), [("D", "D"), ("B", "B"), ("W-MON", "W"), ("MS", "MS"), ("ME", "ME"), ("QS", "QS")]
)
@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlin", "America/New_York", "Asia/Shanghai", "America/Sao_Paulo", "Australia/Sydney", "Asia/Kolkata"],
)
def test_local_days_weeks_and_months_are_regular(frequency: str, found: str, zone: str) -> None:
    """Midnights in October 2017 did not exist in Sao Paulo."""
    times = pd.date_range("2017-08-01", periods=90, freq=frequency).tz_localize(zone, nonexistent="shift_forward")
    frames = from_dataframe(pd.DataFrame({"t": times[:-2], "y": np.arange(88.0)}))
    assert (frames.frequency, len(frames.series[0]), frames.layout.zone) == (found, 88, zone)
    ahead = frames.layout.clock.column(future_stamps(frames.series[0], frames.frequency, 2))
    assert list(ahead) == list(times[-2:])


def test_times_that_the_clock_never_or_twice_showed() -> None:
    stamps = np.array(["2024-03-31T01:30", "2024-03-31T02:30", "2024-03-31T03:30"], dtype="M8[ns]")
    _, wrong = told_apart(stamps, "Europe/Berlin")
    assert list(wrong) == [1]
    assert "was never on the clock of Europe/Berlin" in wrong[1]
    alone = np.array(["2024-10-27T01:30", "2024-10-27T02:30", "2024-10-27T03:30"], dtype="M8[ns]")
    _, wrong = told_apart(alone, "Europe/Berlin")
    assert "was on the clock of Europe/Berlin twice" in wrong[1]
    both = alone[[0, 1, 1, 2]]
    instants, wrong = told_apart(both, "Europe/Berlin")
    assert not wrong
    assert np.diff(instants).astype("m8[h]").astype(int).tolist() == [1, 1, 1]


def test_there_and_back() -> None:
    instants = pd.date_range("2024-03-30", periods=200, freq="h").to_numpy().astype("M8[ns]")
    shown = to_local(instants, "America/New_York")
    assert to_instants(shown, "America/New_York").tolist() == instants.tolist()
    assert Clock("+08:00").format_timestamp(np.datetime64("2024-01-01T00:00", "ns")) == "2024-01-01 08:00+08:00"
    assert Clock().format_timestamp(np.datetime64("2024-01-01T00:00", "ns")) == "2024-01-01"


@pytest.mark.parametrize(
    ("cells", "message"),
    [(np.arange(9), "time_zone is UTC, but the table, column 't' holds whole numbers, not dates")],
)
def test_whole_numbers_have_no_zone(cells: Any, message: str) -> None:
    with pytest.raises(OptionError) as error:
        from_dataframe(pd.DataFrame({"t": cells, "y": 1.0}), TimeSeriesOptions(time_zone="UTC"))
    assert str(error.value) == message


def test_days_of_another_clock() -> None:
    """Midnights in UTC are at 1 and at 2 o'clock in Berlin."""
    days = pd.date_range("2023-01-01", periods=240, tz="UTC").tz_convert("Europe/Berlin")
    frames = from_dataframe(pd.DataFrame({"t": days, "y": 1.0}))
    assert (frames.frequency, frames.layout.zone) == ("24h", "Europe/Berlin")
    assert texts(frames, 1) == ["2023-08-29T02:00:00+02:00"]
    months = pd.date_range("2023-01-01", periods=24, freq="MS", tz="UTC").tz_convert("Europe/Berlin")
    df = pd.DataFrame({"t": months, "y": 1.0})
    assert refusal(df) == (
        "x.csv: the times in column 't' have the frequency MS in UTC, but none on the clock of Europe/Berlin; give "
        "--time-zone UTC"
    )
    assert from_dataframe(df, TimeSeriesOptions(time_zone="UTC")).frequency == "MS"


def test_the_zone_of_a_machine_is_no_name() -> None:
    with pytest.raises(OptionError, match="time_zone is 'localtime'"):
        canonical("localtime")
