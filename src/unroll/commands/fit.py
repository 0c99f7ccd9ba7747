"""`unroll fit`: train a model on labelled sequences."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from unroll.commands.arguments import Parser
from unroll.errors import OptionError, nearest
from unroll.tasks.settings import GROUPS, Settings

TASKS = {
    "classification": "Train a classifier: a label, or several, for each text or numeric sequence.",
    "regression": "Train a regressor: a number, or several, for each text or numeric sequence.",
}
_OWN = ("data", "test", "valid", "out", "overwrite")


def parser(task: str) -> Parser:
    """The arguments of `unroll fit TASK`."""
    made = Parser(
        prog=f"unroll fit {task}",
        usage=f"unroll fit {task} DATA [DATA ...] --out RUN [--test DATA] [--config FILE] [options]",
        description=TASKS[task],
    )
    made.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="CSV, TSV, JSON lines, Parquet or .npz files (also .gz, .xz, .zst), a folder with one folder of text"
        " files per class, or a hub name",
    )
    made.add_argument("--out", required=True, metavar="RUN", help="Folder for the run.")
    made.add_argument("--test", nargs="+", default=[], metavar="DATA", help="Held-out data, used once at the end.")
    made.add_argument(
        "--valid",
        nargs="+",
        default=[],
        metavar="DATA",
        help="Data that chooses the best weights, in place of a share of the training data.",
    )
    made.add_argument("--overwrite", action="store_true", help="Replace a run that RUN already holds.")
    made.add_config()
    made.add_options(GROUPS)
    return made


def main(arguments: Sequence[str]) -> int:
    """Train as the arguments say."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: unroll fit TASK DATA [DATA ...] --out RUN [options]\n")
        for name, text in TASKS.items():
            print(f"  {name:<16} {text}")
        print("\n`unroll fit TASK --help` lists the options.")
        return 0 if arguments else 2
    if arguments[0] not in TASKS:
        raise OptionError(f"there is no task '{arguments[0]}'{nearest(arguments[0], TASKS)}")
    given = parser(arguments[0]).read(arguments[1:])
    values = vars(given)
    settings = Settings.from_flat({k: v for k, v in values.items() if k not in _OWN})

    from unroll.tasks.fitting import Sources, fit
    from unroll.training.errors import Interrupted

    sources = Sources(given.data, given.valid, given.test)
    try:
        fit(arguments[0], sources, settings, given.out, overwrite=given.overwrite)
    except Interrupted as stop:
        print(f"unroll: {stop}\nunroll: go on with `unroll resume {given.out}`", file=sys.stderr)
        return 130
    return 0
