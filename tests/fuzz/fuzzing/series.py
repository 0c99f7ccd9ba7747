"""Tables of series whose times and numbers are written in many ways; what is read is compared with what was written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from fuzzing.mutations import change_bytes, change_lines
from fuzzing.oracle import Finding, Outcome, attempt

_STEPS = ("D", "D", "h", "15min", "W-MON", "MS", "QS", "YS", "B")
_CLOCKS = ("h", "15min")
_TIMES = ("date", "Date", "time", "timestamp", "ds", "Datum", "日期", "Month", "open time", "when", "x1")
_DAYS = (
    "%Y-%m-%d", "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%y", "%d-%b-%Y", "%d %b %Y", "%B %d, %Y",
    "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%Y%m%d", "%Y/%m/%d", "%Y年%m月%d日", "%a, %d %b %Y", "%Y-%j", "excel", "unix",
    "ms", "%Y-%m-%dT00:00:00Z", "%Y-%m-%d 00:00:00+08:00",
)  # fmt: skip
_INSTANTS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+08:00", "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %I:%M %p", "%d-%b-%y %H:%M", "%Y%m%dT%H%M", "unix", "ms", "excel",
    "%Y-%m-%d %H:%M:%S UTC",
)  # fmt: skip
_MONTHS = ("%Y-%m", "%Y%m", "%b-%y", "%b %Y", "%m/%Y", "%Y年%m月", "%YM%m")
_WEEKS = ("%G-W%V", "%GW%V", "%G-W%V-%u")


def written_series(random: Random, folder: Path) -> bool:
    """A CSV of one or more series, sound or damaged; True where it was read."""
    step = random.choice(_STEPS)
    rows = random.randint(12, 60)
    start = pd.Timestamp("2019-01-01") + pd.Timedelta(days=random.randint(0, 1500))
    stamps = pd.date_range(start, periods=rows, freq=step)
    way = random.choice(_ways(step))
    spell = random.choice(tuple(_NUMBERS))
    names = random.sample(("y", "price", "load", "Preis, EUR", "Q"), random.randint(1, 2))
    series = random.choice(("", "", "shop")) and random.choice(("shop", "NA", "item"))
    labels = [""] if not series else random.choice((["a", "b"], ["NA", "None"], ["1", "2"]))
    time = random.choice(_TIMES)
    values = {label: [[_value(random) for _ in names] for _ in range(rows)] for label in labels}
    table = [
        ([label] if series else []) + [_said(stamp, way)] + [_NUMBERS[spell](v) for v in values[label][i]]
        for label in labels
        for i, stamp in enumerate(stamps)
    ]
    order = random.choice(("rising", "rising", "falling", "shuffled"))
    if order == "falling":
        table.reverse()
    elif order == "shuffled":
        random.shuffle(table)
    comma = spell in ("comma", "comma dots")
    delimiter = random.choice((";", "\t", "|", *(() if comma else (",", ","))))
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(
        [[*([series] if series else []), time, *names], *table]
    )
    content = out.getvalue().encode()
    damaged = random.random() < 0.25
    if damaged:
        content = random.choice((change_bytes, change_lines))(random, content)
    path = folder / "series.csv"
    path.write_bytes(content)
    options = {"series_id": series} | ({"time": time} if random.random() < 0.3 else {})
    options |= {"target": tuple(names)} if random.random() < 0.3 else {}
    outcome = attempt(lambda: _frames(path, options, skip=damaged and random.random() < 0.3))
    if outcome.answered and not damaged:
        about = f"{step} {way} {spell} {order} {content[:150]!r}"
        _hold(outcome, stamps, {label: np.array(values[label]) for label in labels}, names, way, about)
    return outcome.answered


def _frames(path: Path, options: dict[str, Any], *, skip: bool) -> Any:
    from unroll.data.timeseries.options import TimeSeriesOptions
    from unroll.data.timeseries.reader import read_frames

    return read_frames(str(path), TimeSeriesOptions(**options), skip_bad_rows=skip)


def _hold(
    outcome: Outcome,
    stamps: pd.DatetimeIndex,
    values: dict[str, np.ndarray],
    names: Sequence[str],
    way: str,
    about: str,
) -> None:
    frames = outcome.value
    if set(frames.targets) != set(names):
        raise Finding("series: other targets", f"{frames.targets} of {names}; {about}")
    if set(frames.names) != set(values):
        raise Finding("series: other names", f"{frames.names} of {list(values)}; {about}")
    wanted = stamps.to_numpy().astype("M8[ns]")
    for frame in frames:
        truth = values[frame.name][:, [list(names).index(name) for name in frames.targets]]
        found = frame.stamps
        if found.dtype.kind != "M" and way == "excel":
            return  # a spreadsheet's days in a column whose name says no date are whole steps
        if found.dtype.kind != "M":
            raise Finding("series: times as numbers", f"{found[:3]}; {about}")
        zoned = way.endswith(("Z", "UTC", "+08:00"))
        if len(found) != len(wanted):
            raise Finding("series: number of rows", f"{len(wanted)} became {len(found)}; {about}")
        apart = found - wanted
        if (apart != (apart[0] if zoned else np.timedelta64(0, "ns"))).any():
            raise Finding("series: times", f"{wanted[:2]} became {found[:2]}; {about}")
        if not np.array_equal(frame.target, truth):
            raise Finding("series: values", f"{truth[:2].tolist()} became {frame.target[:2].tolist()}; {about}")


def _ways(step: str) -> tuple[str, ...]:
    if step in _CLOCKS:
        return _INSTANTS
    if step == "MS":
        return _MONTHS + _DAYS
    return _DAYS + _WEEKS if step == "W-MON" else _DAYS


def _said(stamp: pd.Timestamp, way: str) -> str:
    seconds = int(stamp.timestamp())
    if way == "unix":
        return str(seconds)
    if way == "ms":
        return str(seconds * 1000)
    if way == "excel":
        return f"{seconds / 86400 + 25569:g}" if seconds % 86400 == 0 else f"{seconds / 86400 + 25569:.10f}"
    return stamp.strftime(way)


def _value(random: Random) -> float:
    return round(random.choice((random.gauss(0, 3), random.uniform(-50000, 90000), random.uniform(1e6, 1e7))), 2)


def _grouped(value: float, group: str, point: str) -> str:
    return f"{value:,.2f}".replace(",", "G").replace(".", point).replace("G", group)


_NUMBERS: dict[str, Callable[[float], str]] = {
    "plain": str,
    "two places": lambda v: f"{v:.2f}",
    "comma": lambda v: f"{v:.2f}".replace(".", ","),
    "comma dots": lambda v: _grouped(v, ".", ","),
    "thousands": lambda v: _grouped(v, ",", "."),
    "blanks": lambda v: _grouped(v, "\u202f", "."),
    "apostrophe": lambda v: _grouped(v, "'", "."),
    "minus": lambda v: f"{v:.2f}".replace("-", "\u2212"),
    "plus": lambda v: f"{v:+.2f}",
    "exponent": lambda v: f"{v:.12e}",
}
