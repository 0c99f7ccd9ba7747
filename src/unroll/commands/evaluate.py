"""`unroll evaluate`: how good a run is on data with the truth in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unroll.commands.arguments import Parser, aside, written
from unroll.commands.output import json_text
from unroll.errors import OptionError


def main(arguments: Sequence[str]) -> int:
    """Print every metric, the baseline's beside it."""
    parser = Parser(
        "unroll evaluate", "unroll evaluate RUN DATA [DATA ...]", "How good a run is on data with the truth in it."
    )
    parser.add_run()
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="Data as the run was trained on: with labels, tags or values, or text."
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    parser.add_source()
    parser.add_value(
        "--dynamic-rate",
        float,
        "Language models: go on learning at this rate from each window of the text, once it has been scored.",
    )
    parser.add_value(
        "--dynamic-decay",
        float,
        "Language models: after each such step go back this share of the way to the trained weights. Default: 0.",
    )
    given = parser.read(arguments)
    if given.dynamic_decay is not None and given.dynamic_rate is None:
        raise OptionError("--dynamic-decay goes with --dynamic-rate")

    from unroll.serving.predictor import load
    from unroll.tasks.base import counted

    predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    how: dict[str, Any] = {"skip_bad_rows": given.skip_bad_rows, "encoding": given.encoding, "say": aside}
    if given.dynamic_rate is not None:
        how["dynamic"] = _dynamic(predictor, given)
    report = predictor.evaluate(given.data, **how)
    if given.json:
        print(json_text(report, indent=2))
    else:
        print(counted(report))
        print("\n".join(predictor.task.format_report(report)))
    return 0


def _dynamic(predictor: Any, given: Any) -> Any:
    from unroll.serving.language_model import LanguagePredictor
    from unroll.tasks.language_modeling.report import Dynamic

    if not isinstance(predictor, LanguagePredictor):
        raise OptionError(f"--dynamic-rate is for language models; {given.run} holds a {predictor.task.name} run")
    return Dynamic(given.dynamic_rate, given.dynamic_decay or 0.0)
