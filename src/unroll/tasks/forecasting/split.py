"""Split the series of a run into training, validation and test parts."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.data.timeseries.reader import append, read_frames
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.data.timeseries.windows import Split, split
from unroll.errors import OptionError
from unroll.tasks.base import DataPaths, Log
from unroll.tasks.forecasting.options import ForecastingSettings, HorizonOptions

Rows = dict[str, tuple[range, ...]]
PARTS = ("training", "validation", "test")


def divided(
    frames: TimeSeriesSet, settings: ForecastingSettings, sources: DataPaths, say: Log
) -> tuple[TimeSeriesSet, Rows, dict[str, int]]:
    """Split the series by time, and append the rows of validation and test files.

    A series that is too short for a window in any part is left out with a note: nothing can be learnt from it, and its
    scale cannot be estimated.

    Returns:
        The series, the rows of each part for each of them, and the rows of their training parts.

    Raises:
        OptionError: rows are held out for a part that has files.
        DataError: no series is long enough, or a file cannot be used.
    """
    reach = settings.reach
    parts = split_series(frames, reach, sources)
    if parts.left_out:
        named = listed([f"'{name}' ({_rows(rows)})" for name, rows in parts.left_out])
        say(f"left out, with no row for training beside validation and test: {named}")
        frames = frames.only(parts.names)
    rows: Rows = {part: parts.of(part) for part in PARTS}
    without = {name for name, _ in parts.left_out}
    for part, files in (("validation", sources.valid), ("test", sources.test)):
        if files:
            frames, rows[part] = _followed(frames, list(files), settings, say, without)
    some = [_has_window(reach, *(rows[part][s] for part in PARTS)) for s in range(len(frames))]
    if any(some) and not all(some):
        short = [f"'{frame.name}' ({_rows(len(frame))})" for frame, one in zip(frames, some, strict=True) if not one]
        say(f"left out, too short for a history of {reach.lookback} and a horizon of {reach.horizon}: {listed(short)}")
        frames = frames.only([name for name, one in zip(frames.names, some, strict=True) if one])
        rows = {part: tuple(r for r, one in zip(own, some, strict=True) if one) for part, own in rows.items()}
    return frames, rows, parts.upto


def split_series(frames: TimeSeriesSet, reach: HorizonOptions, sources: DataPaths) -> Split:
    """Split the series by time; files of validation and test hold later rows.

    Raises:
        OptionError: rows are held out for a part that has files.
        DataError: no series is long enough.
    """
    for part, files in (("valid_size", sources.valid), ("test_size", sources.test)):
        if files and getattr(reach, part):
            raise OptionError(f"{part} is set, and so are files for it; give one of them")
    n_test = 0 if sources.test else reach.test_size or 0
    kept = 0 if sources.valid else reach.valid_size or _enough(frames, reach)
    return split(frames, kept, n_test, train=reach.train_size or None, short="drop")


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
    frames: TimeSeriesSet, files: list[str], settings: ForecastingSettings, say: Log, without: set[str]
) -> tuple[TimeSeriesSet, tuple[range, ...]]:
    """Append the rows in other files to the series; also return their ranges. Series in `without` are ignored."""
    source = settings.source
    more = read_frames(
        files,
        settings.frame,
        source=source,
        layout=frames.layout,
    )
    for note in more.notes:
        say(note)
    longer = append(frames, more.only([name for name in more.names if name not in without]))
    return longer, tuple(range(len(a), len(b)) for a, b in zip(frames, longer, strict=True))
