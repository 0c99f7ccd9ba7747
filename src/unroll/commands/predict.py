"""`unroll predict`: a run's answers for new data, as JSON lines in the order of the data."""

from __future__ import annotations

import json
from collections.abc import Sequence

from unroll.commands.arguments import Parser
from unroll.errors import OptionError


def main(arguments: Sequence[str]) -> int:
    """Print one JSON object a row."""
    parser = Parser(
        "unroll predict",
        "unroll predict RUN DATA [DATA ...]",
        "A run's answers for new data: one JSON object a row, in order. The data is never held as a whole.",
    )
    parser.add_argument("run", metavar="RUN", help="The run folder.")
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="Data with the input column of the training data, or - for JSON lines or plain lines of text from"
        " standard input, answered as they come.",
    )
    parser.add_argument("--encoding", metavar="NAME", help="Encoding of text files, if not that of the training data.")
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="Answer a row that cannot be used with an error, and go on.",
    )
    given = parser.read(arguments)

    from unroll.serving.predictor import RecordPredictor, load

    predictor = load(given.run)
    if not isinstance(predictor, RecordPredictor):
        raise OptionError(f"{given.run} holds a {predictor.task.name} run, which does not answer row by row")
    live = given.data == ["-"]
    for answer in predictor.predict_files(given.data, skip_bad_rows=given.skip_bad_rows, encoding=given.encoding):
        print(json.dumps(answer, ensure_ascii=False), flush=live)
    return 0
