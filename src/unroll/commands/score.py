"""`unroll score`: log-probability of lines or of given translations, as JSON lines in the order of the data."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.commands.arguments import Parser, aside, written
from unroll.commands.output import print_answers
from unroll.errors import OptionError


def main(arguments: Sequence[str]) -> int:
    """Print one JSON object per line."""
    parser = Parser(
        "unroll score",
        "unroll score RUN DATA [DATA ...]",
        "How likely a language model finds each line or record, or a translator the target of each pair: one JSON"
        " object each, in order, with the tokens and their log-probabilities (natural logarithms).",
    )
    parser.add_run("The run folder of a language model or a translator.")
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="Text files, or records with the text column of the training data, or - for JSON lines or plain lines of"
        " text from standard input, answered as they come.",
    )
    parser.add_argument(
        "--carry",
        action="store_true",
        help="Read each line after those before it, as one text, rather than by itself.",
    )
    parser.add_source(
        "Leave out lines and records that cannot be used (from standard input: answer them with an error)."
    )
    given = parser.read(arguments)

    from unroll.serving.predictor import load

    predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    score_files = getattr(predictor, "score_files", None)
    if score_files is None:
        raise OptionError(
            f"{given.run} holds a {predictor.task.name} run; text is scored by a language-model run, pairs by a"
            " translation run"
        )
    more = {"carry": True} if given.carry else {}
    if more and predictor.task.name != "language-model":
        raise OptionError(f"--carry goes with language-model, and {given.run} holds a {predictor.task.name} run")
    answers = score_files(given.data, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding, say=aside, **more)
    print_answers(answers, live=given.data == ["-"])
    return 0
