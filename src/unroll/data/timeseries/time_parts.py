"""Combine times from several columns, such as year and month, into texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from unroll.data.timeseries.table import ColumnTable

PARTS = {
    "year": "year", "yr": "year", "yyyy": "year", "jahr": "year", "année": "year", "annee": "year", "año": "year",
    "年": "year", "年份": "year",
    "quarter": "quarter", "qtr": "quarter", "quartal": "quarter",
    "month": "month", "mon": "month", "monat": "month", "mois": "month", "mes": "month", "月": "month", "月份": "month",
    "年月": "month", "yearmonth": "month", "year_month": "month", "yyyymm": "month",
    "week": "week", "woche": "week", "semaine": "week", "semana": "week", "周": "week",
    "day": "day", "dia": "day", "日": "day",
    "hour": "hour", "hr": "hour", "stunde": "hour", "uhrzeit": "hour", "heure": "hour", "hora": "hour",
    "minute": "minute", "min": "minute", "second": "second", "sec": "second",
}  # fmt: skip
"""Column names, and the part of a date that they stand for."""


def column_key(name: str) -> str:
    """Normalize a column's name: lower case, with `_` for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def part_of(name: str) -> str:
    """Return the part of a date that a column's name stands for; "" for none."""
    return PARTS.get(column_key(name), "")


def joined(table: ColumnTable, parts: Sequence[str]) -> np.ndarray:
    """Join the parts of each time to one text (N,), None where one of them is empty."""
    texts = [table.texts(part) for part in parts]
    roles = [part_of(part) for part in parts]
    times = np.full(len(table), None, dtype=object)
    for row, cells in enumerate(zip(*texts, strict=True)):
        if all(cell is not None for cell in cells):
            times[row] = _one_text(cells, roles)
    return times


def _one_text(cells: Sequence[str], roles: Sequence[str]) -> str:
    if roles[0] != "year":
        clock = f"{cells[1]:0>2}:00" if cells[1].isdigit() else cells[1]
        return f"{cells[0]} {clock}"
    year, second = cells[0], cells[1]
    if roles[1] == "quarter":
        return f"{year}Q{second.lstrip('Qq0')}"
    if roles[1] == "week":
        return f"{year}-W{second:0>2}"
    if not second.isdigit():
        date = f"{cells[2]}-{second}-{year}" if len(cells) > 2 else f"{second}-{year}"
    else:
        date = "-".join([year, *(f"{cell:0>2}" for cell in cells[1:3])])
    clock = [f"{cell:0>2}" for cell in cells[3:]]
    return f"{date} {':'.join([*clock, '00'][: max(2, len(clock))])}" if clock else date
