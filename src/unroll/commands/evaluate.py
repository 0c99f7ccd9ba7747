"""`unroll evaluate`: how good a run is on labelled data."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from unroll.commands.arguments import Parser


def _aside(text: str) -> None:
    print(text, file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    """Print every metric, the baseline's beside it."""
    parser = Parser("unroll evaluate", "unroll evaluate RUN DATA [DATA ...]", "How good a run is on labelled data.")
    parser.add_argument("run", metavar="RUN", help="The run folder.")
    parser.add_argument("data", nargs="+", metavar="DATA", help="Labelled data with the columns of the training data.")
    parser.add_argument("--encoding", metavar="NAME", help="Encoding of text files, if not that of the training data.")
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    parser.add_argument("--skip-bad-rows", action="store_true", help="Leave rows out that cannot be used.")
    given = parser.read(arguments)

    from unroll.serving.predictor import load
    from unroll.tasks.task import counted

    predictor = load(given.run)
    report = predictor.evaluate(given.data, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding, say=_aside)
    if given.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print(counted(report))
        print("\n".join(predictor.task.lines(report)))
    return 0
