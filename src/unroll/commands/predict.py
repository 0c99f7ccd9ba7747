"""`unroll predict`: predict new data with a run, as JSON lines in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.commands.arguments import Parser, aside, task_flags, written
from unroll.commands.output import most_likely, print_answers
from unroll.errors import OptionError
from unroll.training.status import Status


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
    parser.add_argument(
        "--format",
        choices=["jsonl", "csv", "conll"],
        default="jsonl",
        help="Format of the answers: JSON lines; a table; or CoNLL columns, tokens with their tags, of a tagging.",
    )
    parser.add_argument("--keep", nargs="+", metavar="COLUMN", help="Columns of the data to repeat in the answers.")
    parser.add_value("--top", int, "Keep only this many of the likeliest labels of a classification.")
    parser.add_task_flags("predict")
    given = parser.read(arguments)
    if given.top is not None and given.top < 1:
        raise OptionError(f"--top is {given.top}; it must be at least 1")
    if given.top is not None and given.format == "csv":
        raise OptionError("--top gives each row other labels, which a table cannot hold; take --format jsonl")
    if given.keep is not None and given.format == "conll":
        raise OptionError("--keep repeats columns of rows, which CoNLL columns cannot hold; take --format jsonl")

    with Status("loading PyTorch and the model"):
        from unroll.serving.predictor import RecordPredictor, load

        predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    answer_files = getattr(predictor, "predict_files", None)
    if answer_files is None:
        raise OptionError(f"{given.run} holds a {predictor.task.name} run, which does not answer row by row")
    more = task_flags(given, "predict", predictor.task.name)
    if given.keep is not None:
        if not isinstance(predictor, RecordPredictor):
            raise OptionError(f"--keep repeats columns of rows, and {given.run} holds a {predictor.task.name} run")
        more["keep"] = given.keep
    answers = answer_files(given.data, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding, say=aside, **more)
    if given.top is not None:
        answers = most_likely(answers, given.top)
    print_answers(answers, live=given.data == ["-"], form=given.format, errors=given.skip_bad_rows)
    return 0
