"""Options of time series; nothing here imports a library, so that help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unroll.errors import OptionError, nearest
from unroll.options import check_types

CALENDAR = ("minute", "hour", "weekday", "day", "week", "month", "quarter", "year")
"""Cycles of the calendar; what each is: `unroll.data.timeseries.calendar`."""

Gaps = Literal["error", "fill", "interpolate"]
Duplicates = Literal["error", "first", "last", "mean"]
Scaling = Literal["standard", "minmax", "none"]


@dataclass(frozen=True)
class TimeSeriesOptions:
    """Which column is what in a table of series, and what is done with gaps."""

    time: str = ""
    """Column of the times, dates or whole numbers, or several that make them up, as Date,Time or year,month (none
    given: what is named or looks like times); none: the rows have no times and stand in their order.
    """

    date_format: str = ""
    """How dates are written, such as %d/%m/%Y (none given: as the whole column tells)."""

    time_zone: str = ""
    """Zone of the times, such as Europe/Berlin: times without one are taken to be in it, times with one are converted
    to it (none given: that of the data).
    """

    series_id: str = ""
    """Column that names the series of each row, in a long table (none given: the table is one series)."""

    target: tuple[str, ...] = ()
    """Columns to forecast (none given: every numeric column that is nothing else)."""

    past_covariates: tuple[str, ...] = ()
    """Columns that help the forecast and are known up to now only."""

    future_covariates: tuple[str, ...] = ()
    """Columns that help the forecast and are known for the future too, such as holidays or prices."""

    static_covariates: tuple[str, ...] = ()
    """Columns that never change within a series: numbers, or text categories."""

    calendar: tuple[str, ...] = ()
    """Cycles of the calendar as inputs: minute, hour, weekday, day, week, month, quarter, year; auto takes what suits
    the frequency.
    """

    frequency: str = ""
    """Step from one time to the next: 15min, h, D, B (business days), W, MS, ME, QS, YS, 2h, ... (none given:
    inferred); steps takes the rows as equal steps, whatever their times.
    """

    gaps: Gaps = "error"
    """Missing times and values: refused, filled with the value before, or interpolated."""

    duplicates: Duplicates = "error"
    """Rows of one series at the same time: refused, or the first, the last or the mean of them is taken."""

    scaling: Scaling = "standard"
    """Of each series and column, as measured on the training part: mean 0 and deviation 1, from 0 to 1, or none."""

    def __post_init__(self) -> None:
        check_types(self)
        uses: dict[str, str] = {name: use for use in ("time", "series_id") if (name := getattr(self, use))}
        if self.time and self.time == self.series_id:
            raise OptionError(f"'{self.time}' is given as time and as series_id; a column is one of them")
        for use in ("target", "past_covariates", "future_covariates", "static_covariates"):
            for name in getattr(self, use):
                if name in uses:
                    again = "twice" if uses[name] == use else f"as {uses[name]} and"
                    raise OptionError(f"'{name}' is given {again} as {use}; a column is one of them")
                uses[name] = use
        if self.date_format and "%" not in self.date_format:
            raise OptionError(f"date_format is {self.date_format!r:.60}; it must be such as %d/%m/%Y")
        if self.time_zone:
            from unroll.data.timeseries.time_zones import canonical

            canonical(self.time_zone)
        for name in self.calendar:
            if name != "auto" and name not in CALENDAR:
                raise OptionError(f"calendar is {name!r:.60}{nearest(name, (*CALENDAR, 'auto'))}")
        if "auto" in self.calendar and len(self.calendar) > 1:
            raise OptionError("calendar: 'auto' cannot be combined with other values")
        if len(set(self.calendar)) < len(self.calendar):
            raise OptionError(f"calendar names a cycle twice: {', '.join(self.calendar)}")
