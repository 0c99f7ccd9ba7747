from __future__ import annotations

import pytest

from unroll.data.timeseries.date_parser import Written, canonical_date, date_formats, in_words, is_clock, take_apart

HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "date", "hours", "zone"),
    [
        ("12-Feb-21", "12-feb-21", 0, ""),
        ("Sept. 3rd, 2020", "sep 3 2020", 0, ""),
        ("Wednesday, 5 February 2020", "5 feb 2020", 0, ""),
        ("2020-03-20 12-AM", "2020-03-20", 0, ""),
        ("2020-03-20 12 pm", "2020-03-20", 12, ""),
        ("3/20/2020 3:30 p.m.", "3/20/2020", 15.5, ""),
        ("20/03/2020 3PM", "20/03/2020", 15, ""),
        ("20200203T1230", "20200203", 12.5, ""),
        ("2020-02-03T06", "2020-02-03", 6, ""),
        ("2020-02-03T06:30:00.5+08:00", "2020-02-03", 6.5 + 0.5 / 3600, "+08:00"),
        ("2020-02-03t06:00z", "2020-02-03", 6, "Z"),
        ("Mon, 03 Feb 2020 12:00:00 GMT", "03 feb 2020", 12, "GMT"),
        ("Mon Feb  3 12:00:00 2020", "feb 3 2020", 12, ""),
        ("Mon Feb 03 12:00:00 UTC 2020", "feb 03 2020", 12, "UTC"),
        ("06:00 03.02.2020", "03.02.2020", 6, ""),
        ("2020-02-03_06:00:00", "2020-02-03", 6, ""),
        ("2020年2月3日 6时30分", "2020-2-3", 6.5, ""),
        ("2020년 2월 3일", "2020-2-3", 0, ""),
        ("31/12/2020 24:00", "31/12/2020", 24, ""),
    ],
)
def test_times_are_taken_apart(text: str, date: str, hours: float, zone: str) -> None:
    found = take_apart(text)
    assert found is not None
    assert (found.date, found.nanoseconds, found.zone) == (date, round(hours * HOUR), zone)


@pytest.mark.parametrize("text", ["2020-02-03 25:00", "2020-02-03 12:60", "13:00 PM 2020-02-03", "Mon", "", "today"])
def test_what_is_no_time(text: str) -> None:
    assert take_apart(text) is None


def test_a_date_alone_has_no_clock() -> None:
    assert take_apart("2020-02-03") == Written("2020-02-03")
    assert take_apart("2020-02") == Written("2020-02")


@pytest.mark.parametrize(
    ("date", "formats"),
    [
        ("02/12/21", ("%d/%m/%y", "%m/%d/%y", "%y/%m/%d")),
        ("2/12/2021", ("%d/%m/%Y", "%m/%d/%Y")),
        ("12.02.21", ("%d.%m.%y", "%y.%m.%d")),
        ("12-feb-21", ("%d-%b-%y",)),
        ("jan-20", ("%b-%y",)),
        ("05-jan", ()),
        ("jan 20", ()),
        ("1-01", ()),
        ("2020", ()),
        ("2020.1", ()),
        ("2020-001", ("%Y-%j",)),
    ],
)
def test_formats_of_dates(date: str, formats: tuple[str, ...]) -> None:
    assert date_formats(canonical_date(date)) == formats


@pytest.mark.parametrize(
    ("date", "canonical"),
    [
        ("2020q3", "quarter 2020-07"),
        ("q3 2020", "quarter 2020-07"),
        ("3q2020", "quarter 2020-07"),
        ("q3'99", "quarter 1999-07"),
        ("2020-w05", "week 2020-05-1"),
        ("2020w053", "week 2020-05-3"),
        ("2020-w05-3", "week 2020-05-3"),
        ("w5 2020", "week 2020-05-1"),
    ],
)
def test_quarters_and_weeks(date: str, canonical: str) -> None:
    assert canonical_date(date) == canonical


def test_formats_in_words() -> None:
    assert in_words("%d/%m/%y") == "day/month/year"
    assert in_words("%Y%m%d") == "yyyymmdd"
    assert in_words("week %G-%V-%u") == "week"


def test_times_of_day_alone() -> None:
    assert [is_clock(text) for text in ("17:24:00", "5:24 PM", "17", "25:00", "2020-01-01 17:24")] == [
        True,
        True,
        False,
        False,
        False,
    ]
