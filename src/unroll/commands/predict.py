"""`unroll predict`: predict new data with a run, as JSON lines in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.commands.arguments import Parser, aside, task_flags, written
from unroll.commands.output import print_answers
from unroll.errors import OptionError


def main(arguments: Sequence[str]) -> int:
    """Print one JSON object per row."""
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
    parser.add_task_flags("predict")
    given = parser.read(arguments)

    from unroll.serving.predictor import load

    predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    answer_files = getattr(predictor, "predict_files", None)
    if answer_files is None:
        raise OptionError(f"{given.run} holds a {predictor.task.name} run, which does not answer row by row")
    more = task_flags(given, "predict", predictor.task.name)
    answers = answer_files(given.data, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding, say=aside, **more)
    print_answers(answers, live=given.data == ["-"])
    return 0
