from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.frequency import STEPS, Frequency, infer, parse, season_length
from unroll.errors import DataError, OptionError

NAMES = ("15min", "h", "2h", "D", "3D", "B", "W", "2W", "MS", "ME", "QS", "QE", "YS", "YE", "s", "250ms", "4MS")


def stamps(name: str, n: int = 60, start: str = "2019-12-05 06:30") -> np.ndarray:
    """As pandas counts them, through another implementation than ours."""
    if name.endswith("W"):
        name = f"{7 * int(name[:-1] or 1)}D"
    return pd.date_range(start, periods=n, freq=name).to_numpy().astype("datetime64[ns]")


@pytest.mark.parametrize("name", NAMES)
def test_inferred_and_counted_as_pandas_does(name: str) -> None:
    every = stamps(name)
    found = infer(every)
    assert str(found) == name
    assert parse(name) == found
    assert found is not None
    assert (found.stamps(every[0], np.arange(60)) == every).all()
    assert (found.stamps(every[20], np.arange(-20, 40)) == every).all()
    some = np.sort(np.random.default_rng(0).permutation(60)[:45])
    number, on = found.index(every[some])
    assert on.all()
    assert (number - number[0] == some - some[0]).all()


def test_a_missing_stamp_does_not_change_what_is_inferred() -> None:
    for name in NAMES:
        assert str(infer(np.delete(stamps(name), [7, 20, 21]))) == name


def test_months_by_their_last_day_over_a_leap_year() -> None:
    ends = np.array(["2020-01-31", "2020-02-29", "2020-03-31"], dtype="M8[ns]")
    assert str(infer(ends)) == "ME"
    assert parse("ME").stamps(ends[0], np.array([13])).tolist() == [np.datetime64("2021-02-28", "ns").astype(int)]


def test_days_without_weekends_are_business_days_only_if_a_weekend_was_passed() -> None:
    monday = np.datetime64("2024-01-01", "ns")
    days = monday + np.arange(5) * np.timedelta64(1, "D")
    assert str(infer(days)) == "D"
    assert str(infer(np.append(days, days + np.timedelta64(7, "D")))) == "B"


def test_whole_numbers_have_steps() -> None:
    assert infer(np.array([5, 8, 11, 17])) == Frequency(STEPS, 3)
    assert str(infer(np.array([5, 8, 11, 17]))) == STEPS


def test_off_the_grid() -> None:
    every = stamps("h", 20)
    every[3] += np.timedelta64(5, "m")
    found = infer(every)
    assert str(found) == "h"
    assert found is not None
    assert np.flatnonzero(~found.index(every)[1]).tolist() == [3]
    _, on = parse("B").index(np.array(["2024-01-05", "2024-01-06", "2024-01-08"], dtype="M8[ns]"))
    assert on.tolist() == [True, False, True]
    _, on = parse("MS").index(np.array(["2024-01-01", "2024-02-02", "2024-03-01"], dtype="M8[ns]"))
    assert on.tolist() == [True, False, True]


def test_nothing_regular() -> None:
    rng = np.random.default_rng(1)
    irregular = np.datetime64("2020-01-01", "ns") + np.cumsum(rng.integers(1, 10**12, 50)).astype("m8[ns]")
    assert infer(irregular) is None
    assert infer(irregular[:1]) is None


@pytest.mark.parametrize(
    ("name", "season"),
    [
        *(("h", 24), ("15min", 96), ("min", 1440), ("s", 3600), ("D", 7), ("B", 5), ("W", 52), ("MS", 12), ("ME", 12)),
        *(("QS", 4), ("YS", 1), ("2h", 12), ("5h", 1), ("7h", 1), ("2D", 1), ("4MS", 3), ("5MS", 1), (STEPS, 1)),
        ("ms", 1),
    ],
)
def test_seasons(name: str, season: int) -> None:
    assert season_length(name) == season


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("H", "frequency is 'H'; did you mean h?"),
        ("15T", "frequency is '15T'; did you mean 15min?"),
        ("M", "frequency is 'M'; did you mean MS or ME?"),
        ("daily", "frequency is 'daily'; did you mean D?"),
        ("W-TUE", "frequency is 'W-TUE'; give 'W', the day or month is the data's own"),
        ("0h", "frequency is '0h'"),
        ("-1D", "frequency is '-1D'"),
        ("fortnight", "it must be such as 15min, h, D, B, W, MS, YS or steps"),
        ("", "frequency is ''"),
    ],
)
def test_names_that_are_none(name: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        parse(name)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["1000000W", "1000000D", "1000000B", "101YS", "1000000h"])
def test_a_step_of_more_than_a_hundred_years_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"frequency is '{name}'; a step is at most a hundred years"):
        parse(name)


@pytest.mark.parametrize(("name", "within"), [("YS", 241), ("MS", 2903), ("W", 12626), ("B", 63134), ("2h", 1060667)])
def test_times_end_with_the_year_2261(name: str, within: int) -> None:
    origin = np.datetime64("2020-01-01", "ns")
    assert str(parse(name).stamps(origin, np.array([within]))[0])[:4] == "2261"
    for beyond in (within + 1, within * 100):
        with pytest.raises(DataError, match="up to the year 2261"):
            parse(name).stamps(origin, np.array([1, beyond]))
