"""Read and write the training history: `history.csv` by epoch, `gradients.csv` by step."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from unroll.atomic_write import write_whole
from unroll.errors import RunError


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one line per epoch; every number reads back to the same bits.

    Raises:
        RunError: the file cannot be written; the older one is intact.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    _write(path, names, [[row.get(name, "") for name in names] for row in rows])


def write_gradients(path: Path, layers: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    """Write one line per kept step: the step, the gradient's norm before clipping, each layer's norm.

    Raises:
        RunError: the file cannot be written; the older one is intact.
    """
    lines = [[int(step), *(f"{v:.6g}" for v in values)] for step, *values in rows]
    _write(path, ["step", "all", *layers], lines)


def read_table(path: Path) -> dict[str, list[float]]:
    """Read the columns of a file written by `write_history` or `write_gradients`; an empty cell is NaN.

    Raises:
        RunError: the file cannot be read, or is not a table of numbers.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            names, *lines = list(csv.reader(file))
        return {name: [float(line[i] or "nan") for line in lines] for i, name in enumerate(names)}
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, IndexError, csv.Error) as error:
        raise RunError(f"{path} is not a table of numbers: {error}") from error


def _write(path: Path, names: Sequence[str], lines: Sequence[Sequence[float | str]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    write_whole(path, text.getvalue())
