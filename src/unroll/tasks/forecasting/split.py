"""Split the series of a run into training, validation and test parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unroll.data.timeseries.inputs import read_history
from unroll.data.timeseries.reader import append
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.data.timeseries.windows import Split, split
from unroll.errors import OptionError
from unroll.tasks.base import DataPaths, Log
from unroll.tasks.forecasting.options import ForecastingSettings, HorizonOptions

Rows = dict[str, tuple[range, ...]]
PARTS = ("training", "validation", "test")


def divided(
    frames: TimeSeriesSet,
    settings: ForecastingSettings,
    sources: DataPaths,
    say: Log,
    valid: TimeSeriesSet | None = None,
) -> tuple[TimeSeriesSet, Rows, dict[str, int]]:
    """Split the series by time, and append the rows of validation and test files; `valid` is in place of such files.

    A series that is too short for a window in any part is left out with a note: nothing can be learnt from it, and its
    scale cannot be estimated.

    Returns:
        The series, the rows of each part for each of them, and the rows of their training parts.

    Raises:
        OptionError: rows are held out for a part that has data of its own.
        DataError: no series is long enough, or the data of a part cannot be used.
    """
    reach = settings.reach
    parts = split_series(frames, reach, sources, valid)
    if parts.left_out:
        named = listed([f"'{name}' ({_rows(rows)})" for name, rows in parts.left_out])
        say(f"left out, with no row for training beside validation and test: {named}")
        frames = frames.only(parts.names)
    rows: Rows = {part: parts.of(part) for part in PARTS}
    without = {name for name, _ in parts.left_out}
    for part, data in _later(sources, valid).items():
        if data:
            frames, rows[part] = _followed(frames, data, settings, say, without)
    some = [_has_window(reach, *(rows[part][s] for part in PARTS)) for s in range(len(frames))]
    if any(some) and not all(some):
        short = [f"'{frame.name}' ({_rows(len(frame))})" for frame, one in zip(frames, some, strict=True) if not one]
        say(f"left out, too short for a history of {reach.lookback} and a horizon of {reach.horizon}: {listed(short)}")
        frames = frames.only([name for name, one in zip(frames.names, some, strict=True) if one])
        rows = {part: tuple(r for r, one in zip(own, some, strict=True) if one) for part, own in rows.items()}
    return frames, rows, parts.upto


def split_series(
    frames: TimeSeriesSet, reach: HorizonOptions, sources: DataPaths, valid: TimeSeriesSet | None = None
) -> Split:
    """Split the series by time; files of validation and test, or `valid`, hold later rows.

    Raises:
        OptionError: rows are held out for a part that has data of its own.
        DataError: no series is long enough.
    """
    later = _later(sources, valid)
    for option, part in (("valid_size", "validation"), ("test_size", "test")):
        if later[part] and getattr(reach, option):
            raise OptionError(f"{option} is set, and {part} data is given too; give one of them")
    n_test = 0 if later["test"] else reach.test_size or 0
    kept = 0 if later["validation"] else reach.valid_size or _enough(frames, reach)
    return split(frames, kept, n_test, train=reach.train_size or None, short="drop")


def _later(sources: DataPaths, valid: TimeSeriesSet | None) -> dict[str, Any]:
    """Return the data that validation and test have of their own."""
    return {"validation": valid or sources.valid, "test": sources.test}


def listed(names: Sequence[str]) -> str:
    """List the first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _enough(frames: TimeSeriesSet, reach: HorizonOptions) -> float | int:
    """Choose the default validation size; series too short for a window do not count."""
    rows = [len(frame) for frame in frames]
    long = [n for n in rows if n >= reach.lookback + reach.horizon] or rows
    return 0.1 if all(round(0.1 * n) >= reach.horizon for n in long) else reach.horizon


def _has_window(reach: HorizonOptions, training: range, *later: range) -> bool:
    """Tell whether any part of a series holds a window; in later parts the history may lie before them."""
    within = len(training) >= reach.lookback + reach.horizon
    return within or any(len(own) > 0 and own.stop - max(own.start, reach.lookback) >= reach.horizon for own in later)


def _followed(
    frames: TimeSeriesSet,
    data: TimeSeriesSet | Sequence[str],
    settings: ForecastingSettings,
    say: Log,
    without: set[str],
) -> tuple[TimeSeriesSet, tuple[range, ...]]:
    """Append series or the rows of files; also return the ranges of these rows. Series in `without` are ignored."""
    more = read_history(data, settings.frame, frames.layout, source=settings.source)
    for note in more.notes:
        say(note)
    longer = append(frames, more.only([name for name in more.names if name not in without]))
    return longer, tuple(range(len(a), len(b)) for a, b in zip(frames, longer, strict=True))
