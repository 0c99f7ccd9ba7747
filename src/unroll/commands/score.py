"""`unroll score`: log-probability of each line under a language model, as JSON lines in the order of the data."""

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
        "How likely a language model finds each line or record: one JSON object each, in order, with the tokens and "
        "their log-probabilities (natural logarithms).",
    )
    parser.add_run("The run folder of a language model.")
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

    from unroll.serving.language_model import LanguagePredictor
    from unroll.serving.predictor import load

    predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    if not isinstance(predictor, LanguagePredictor):
        raise OptionError(f"{given.run} holds a {predictor.task.name} run; text is scored by a language-model run")
    answers = predictor.score_files(
        given.data, carry=given.carry, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding, say=aside
    )
    print_answers(answers, live=given.data == ["-"])
    return 0
