"""`unroll predict`: a run's answers for new data, as JSON lines in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.commands.arguments import Parser, aside, written
from unroll.commands.output import print_answers
from unroll.errors import OptionError


def main(arguments: Sequence[str]) -> int:
    """Print one JSON object a row."""
    parser = Parser(
        "unroll predict",
        "unroll predict RUN DATA [DATA ...]",
        "A run's answers for new data: one JSON object a row, in order. The data is never held as a whole.",
    )
    parser.add_run()
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="Data with the input column of the training data, or - for JSON lines or plain lines of text from"
        " standard input, answered as they come.",
    )
    parser.add_source("Answer a row that cannot be used with an error, and go on.")
    group = parser.add_argument_group("forecasting: DATA is the history, and each step after it is a line")
    parser.add_value("--horizon", int, "Steps to forecast, if not as many as were trained.", group)
    group.add_argument(
        "--future-covariates", nargs="+", metavar="DATA", help="Rows with the future covariates of the times to come."
    )
    parser.add_value("--samples", int, "Draw so many sample paths.", group)
    given = parser.read(arguments)

    from unroll.serving.predictor import load

    predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    answer_files = getattr(predictor, "predict_files", None)
    if answer_files is None:
        raise OptionError(f"{given.run} holds a {predictor.task.name} run, which does not answer row by row")
    more = {
        name: value
        for name in ("horizon", "future_covariates", "samples")
        if (value := getattr(given, name)) is not None
    }
    for name in more:
        if name not in predictor.takes:
            raise OptionError(
                f"--{name.replace('_', '-')} goes with forecasting, and {given.run} holds a {predictor.task.name} run"
            )
    if "say" in predictor.takes:
        more["say"] = aside
    answers = answer_files(given.data, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding, **more)
    print_answers(answers, live=given.data == ["-"])
    return 0
