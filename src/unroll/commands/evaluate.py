"""`unroll evaluate`: evaluate a run on labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unroll.commands.arguments import Parser, aside, task_flags, written
from unroll.commands.output import json_text
from unroll.training.status import Status


def main(arguments: Sequence[str]) -> int:
    """Print every metric of a run, and the baseline's."""
    parser = Parser(
        "unroll evaluate",
        "unroll evaluate RUN DATA [DATA ...]",
        "Evaluate a run on labelled data: every metric, a baseline beside it.",
    )
    parser.add_run()
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="Data as the run was trained on: with labels, tags or values, or text."
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    parser.add_full()
    parser.add_source()
    parser.add_task_flags("evaluate")
    given = parser.read(arguments)
    with Status("loading PyTorch and the model"):
        from unroll.serving.predictor import load
        from unroll.tasks.describe import counted

        predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    how: dict[str, Any] = {"skip_bad_rows": given.skip_bad_rows, "encoding": given.encoding}
    how |= task_flags(given, "evaluate", predictor.task.name)
    with Status("evaluating the model") as status:
        report = predictor.evaluate(given.data, **{**how, "say": status.around(aside)})
    if given.json:
        print(json_text(report, indent=2))
    else:
        print(counted(report))
        print("\n".join(predictor.task.format_report(report, every=given.full)))
    return 0
