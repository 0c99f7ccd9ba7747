"""Format a translator's report."""

from __future__ import annotations

from collections.abc import Iterator

from unroll.tasks.base import Report
from unroll.tasks.reporting import aligned

_COUNTS = {
    "copied": "translations that are their source",
    "empty": "empty translations",
    "cut_off": "translations cut off at the maximal length",
}


def format_report(report: Report, *, tables: bool) -> list[str]:
    """Format a line for each figure, the simple answers beside it, and with `tables` BLEU by the source's length."""
    lines = [
        f"BLEU            {report['bleu']:.2f}   (sacreBLEU {report['bleu_signature']})",
        f"BLEU, any case  {report['bleu_lowercase']:.2f}",
        f"chrF            {report['chrf']:.2f}",
        f"exact match     {report['exact_match']:.4f}",
        f"perplexity      {report['perplexity']:.3f}   (of a target token, given those before it)",
        f"length ratio    {report['length_ratio']:.3f}   (words written per word of the references)",
    ]
    lines += [f"{report[name]:,} {told}" for name, told in _COUNTS.items() if report[name]]
    lines += _baselines(report)
    if tables and report.get("by_length"):
        head = ["tokens of the source", "rows", "BLEU", "chrF"]
        rows = [[t["tokens"], f"{t['rows']:,}", f"{t['bleu']:.2f}", f"{t['chrf']:.2f}"] for t in report["by_length"]]
        lines += aligned([head, *rows])
    return lines


def _baselines(report: Report) -> Iterator[str]:
    figure = "exact_match" if report["bleu"] == 0 else "bleu"
    for name, beside in report.get("baselines", {}).items():
        gain = report[figure] - beside[figure]
        told = f"better by {gain:.2f}" if gain > 0 else f"worse by {-gain:.2f}" if gain < 0 else "as good"
        yield f"{name}: {'BLEU' if figure == 'bleu' else 'exact match'} {beside[figure]:.2f}; the model is {told}"
