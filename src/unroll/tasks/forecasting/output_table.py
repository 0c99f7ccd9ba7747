"""Convert forecasts to records and tables, with unique column names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from unroll.data.timeseries.schema import Schema
from unroll.data.timeseries.series import TimeSeriesSet
from unroll.errors import DataError
from unroll.models.options import ForecasterOptions
from unroll.tasks.forecasting.inference import Forecasts

if TYPE_CHECKING:
    import pandas as pd

STEP, PATH = "step", "path"
_DAYS = ("D", "B", "W", "M", "Q", "Y")


def quantile_column(target: str, level: float) -> str:
    """Name the column of a quantile of a target."""
    return f"{target}_{level:g}"


def paths_column(target: str) -> str:
    """Name the column of a target's sample paths in a record."""
    return f"{target}_paths"


def check_names(layout: Schema, options: ForecasterOptions) -> None:
    """Check that the columns of the forecasts will have unique names.

    Raises:
        DataError: two have the same name; the message says which column to rename.
    """
    used = {layout.series: "the names of the series"} if layout.series else {}
    used |= {layout.time: "the times"} if layout.time else {STEP: "the numbers of the steps"}
    drawn = options.output != "point" or options.intervals == "conformal"
    if drawn:
        used[PATH] = "the numbers of sample paths"
    for target in layout.target:
        if drawn:
            used |= {
                quantile_column(target, level): f"the quantile {level:g} of '{target}'" for level in options.quantiles
            }
            used[paths_column(target)] = f"the sample paths of '{target}'"
    for target in layout.target:
        if target in used:
            raise DataError(
                f"the target '{target}' is called as the column of a forecast that holds {used[target]}; rename the"
                " column"
            )
    for name in (layout.series, layout.time):
        own = {layout.series: "the names of the series", layout.time: "the times"}.get(name)
        if name and used[name] != own:
            raise DataError(f"the column '{name}' is called as that of a forecast that holds {used[name]}; rename it")


def json_key(frames: TimeSeriesSet, name: str) -> str | int:
    """Return the name of a series for a record: a whole number if it was one in the data, else text."""
    key = frames.key(name)
    return key if isinstance(key, int) else name


def records(
    frames: TimeSeriesSet, stamps: list[np.ndarray], answers: Forecasts, levels: tuple[float, ...]
) -> Iterator[dict[str, Any]]:
    """Yield one record for each series and step."""
    layout = frames.layout
    for s, frame in enumerate(frames):
        for f, time in enumerate(time_texts(stamps[s], layout)):
            record: dict[str, Any] = {layout.series: json_key(frames, frame.name)} if layout.series else {}
            record[layout.time or STEP] = time
            for k, target in enumerate(layout.target):
                record[target] = float(answers.point[s, f, k])
                if answers.quantiles is not None:
                    values = answers.quantiles[s, f, k].tolist()
                    record |= {quantile_column(target, q): v for q, v in zip(levels, values, strict=True)}
                if answers.paths is not None:
                    record[paths_column(target)] = answers.paths[s, :, f, k].tolist()
            yield record


def table(
    frames: TimeSeriesSet, stamps: list[np.ndarray], answers: Forecasts, levels: tuple[float, ...]
) -> pd.DataFrame:
    """Build a table with a row for each series, step and sample path; with paths, it has no point or quantiles."""
    import pandas as pd

    layout = frames.layout
    parts = []
    for s, frame in enumerate(frames):
        for path in range(1 if answers.paths is None else answers.paths.shape[1]):
            columns: dict[str, Any] = {layout.series: frames.key(frame.name)} if layout.series else {}
            columns[layout.time or STEP] = layout.clock.column(stamps[s])
            columns |= {} if answers.paths is None else {PATH: path}
            for k, target in enumerate(layout.target):
                if answers.paths is not None:
                    columns[target] = answers.paths[s, path, :, k]
                    continue
                columns[target] = answers.point[s, :, k]
                if answers.quantiles is not None:
                    for q, level in enumerate(levels):
                        columns[quantile_column(target, level)] = answers.quantiles[s, :, k, q]
            parts.append(pd.DataFrame(columns, index=range(len(stamps[s]))))
    return pd.concat(parts, ignore_index=True)


def time_texts(stamps: np.ndarray, layout: Schema) -> list[str] | list[int]:
    """Format stamps for records: ISO 8601, only the date where steps are days or more, or whole numbers."""
    if stamps.dtype.kind != "M":
        return [int(stamp) for stamp in stamps]
    if layout.zone:
        return layout.clock.texts(stamps)
    whole = layout.frequency.lstrip("0123456789")[:1] in _DAYS and bool((stamps == stamps.astype("M8[D]")).all())
    seconds = bool((stamps == stamps.astype("M8[s]")).all())
    return [str(np.datetime_as_string(stamp, unit="D" if whole else "s" if seconds else "ns")) for stamp in stamps]
