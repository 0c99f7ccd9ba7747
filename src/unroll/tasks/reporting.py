"""Format reports as text, and plot the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unroll.runs import Run
from unroll.tasks.base import Report


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


def score_table(head: str, scores: Mapping[str, Report], count: str, title: str) -> list[str]:
    """Format precision, recall, F1 and count of each class; `count` is a key of the scores, `title` its heading."""
    rows = [
        [name, *(f"{s[figure]:.4f}" for figure in ("precision", "recall", "f1")), str(s[count])]
        for name, s in scores.items()
    ]
    return aligned([[head, "precision", "recall", "f1", title], *rows])


def save_confusion(run: Run, metrics: Mapping[str, Any], names: str) -> None:
    """Plot confusion.png for the test or validation part; `names` is the metrics' key with the classes."""
    from unroll.training.plots import plot_confusion

    shown = metrics.get("test", metrics.get("validation", {}))
    if "confusion" in shown:
        plot_confusion(shown["confusion"], list(shown[names]), run.path / "confusion.png")
