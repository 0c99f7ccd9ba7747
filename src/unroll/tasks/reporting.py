"""Format reports as text, and plot the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unroll.runs import Run
from unroll.tasks.base import Report

MOST_ROWS = 15
"""Lines of a table of classes, at most, unless all are asked for."""
_LARGEST = 5


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Format a table as lines: the first column left-aligned, the others right-aligned."""
    widths = [max(len(row[c]) for row in table) for c in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]


def number(value: float | None) -> str:
    """Format a number for reports, with an exponent only if very large or small."""
    if value is None:
        return "not defined"
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        decimals = 4 if abs(value) < 10 else 3 if abs(value) < 100 else 2 if abs(value) < 1000 else 1
        return f"{value:,.{decimals}f}"
    return f"{value:.3e}"


def score_table(head: str, scores: Mapping[str, Report], count: str, title: str, *, every: bool = False) -> list[str]:
    """Format precision, recall, F1 and count of each class; `count` is a key of the scores, `title` its heading.

    Of more than `MOST_ROWS` classes the largest and those with the lowest F1 are shown, unless `every` is set.
    """
    names = list(scores) if every else kept_classes(scores, count)
    rows = [
        [name, *(f"{scores[name][figure]:.4f}" for figure in ("precision", "recall", "f1")), f"{scores[name][count]:,}"]
        for name in names
    ]
    left = len(scores) - len(names)
    more = f"{left:,} more are left out: these are the largest, and those with the lowest f1; --full shows all"
    return aligned([[head, "precision", "recall", "f1", title], *rows]) + ([more] if left else [])


def kept_classes(scores: Mapping[str, Report], count: str) -> list[str]:
    """Choose the classes of a table of at most `MOST_ROWS`: the largest, and those with the lowest F1, in order.

    A class that the data does not hold has no F1 to speak of, and comes last.
    """
    if len(scores) <= MOST_ROWS:
        return list(scores)
    largest = sorted(scores, key=lambda name: -scores[name][count])[:_LARGEST]
    worst = sorted(scores, key=lambda name: (not scores[name][count], scores[name]["f1"], -scores[name][count]))
    kept = {*largest, *[name for name in worst if name not in largest][: MOST_ROWS - _LARGEST]}
    return [name for name in scores if name in kept]


def save_confusion(run: Run, metrics: Mapping[str, Any], names: str) -> None:
    """Plot confusion.png for the test or validation part; `names` is the metrics' key with the classes."""
    from unroll.training.plots import plot_confusion

    part = "test" if "test" in metrics else "validation"
    shown = metrics.get(part, {})
    if "confusion" in shown:
        plot_confusion(shown["confusion"], list(shown[names]), run.path / "confusion.png", part=part)
