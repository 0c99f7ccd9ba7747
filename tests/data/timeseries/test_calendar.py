from __future__ import annotations

import numpy as np
import pytest

from unroll.data.timeseries import calendar
from unroll.data.timeseries.options import CALENDAR

STAMP = np.array(["2024-02-29T18:15:36"], dtype="M8[ns]")


@pytest.mark.parametrize(
    ("cycle", "share"),
    [
        ("minute", (15 + 36 / 60) / 60),
        ("hour", (18 + 15.6 / 60) / 24),
        ("weekday", 3 / 7),
        ("day", 28 / 29),
        ("week", 8 / 52),
        ("month", 1 / 12),
        ("quarter", 0.0),
        ("year", 59 / 366),
    ],
)
def test_how_much_of_a_cycle_has_passed(cycle: str, share: float) -> None:
    assert calendar.passed(STAMP, cycle)[0] == pytest.approx(share, abs=1e-15)
    sin, cos = calendar.features(STAMP, (cycle,))[0]
    assert (sin, cos) == (pytest.approx(np.sin(2 * np.pi * share)), pytest.approx(np.cos(2 * np.pi * share)))


def test_every_cycle_stays_below_one_and_before_1970_too() -> None:
    times = np.datetime64("1967-12-20", "ns") + np.arange(24 * 4 * 800) * np.timedelta64(15, "m")
    for cycle in CALENDAR:
        share = calendar.passed(times, cycle)
        assert share.min() == 0.0
        assert 0.7 < share.max() < 1.0
    assert calendar.passed(np.array(["1969-12-29"], dtype="M8[ns]"), "weekday")[0] == 0.0


def test_names_and_widths() -> None:
    assert calendar.names(("hour", "year")) == ("hour_sin", "hour_cos", "year_sin", "year_cos")
    assert calendar.features(STAMP, ("hour", "year")).shape == (1, 4)
    assert calendar.features(STAMP, ()).shape == (1, 0)


@pytest.mark.parametrize(
    ("frequency", "cycles"),
    [
        ("s", ("minute", "hour", "weekday", "year")),
        ("15min", ("hour", "weekday", "year")),
        ("h", ("hour", "weekday", "year")),
        ("D", ("weekday", "day", "year")),
        ("B", ("weekday", "day", "year")),
        ("W", ("year",)),
        ("MS", ("month",)),
        ("QE", ("month",)),
        ("YS", ()),
        ("steps", ()),
    ],
)
def test_what_suits_a_frequency(frequency: str, cycles: tuple[str, ...]) -> None:
    assert calendar.automatic(frequency) == cycles
