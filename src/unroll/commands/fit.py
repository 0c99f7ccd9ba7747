"""`unroll fit`: train a model on the user's data."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from unroll.commands.arguments import Parser
from unroll.commands.output import stopped
from unroll.data.files.early import check_files
from unroll.tasks.registry import TASKS, entry
from unroll.training.status import Status


def parser(task: str) -> Parser:
    """Make the argument parser of `unroll fit TASK`."""
    chosen = entry(task)
    settings = chosen.load_settings()
    made = Parser(
        prog=f"unroll fit {task}",
        usage=f"unroll fit {task} DATA [DATA ...] --out RUN [--test DATA] [--config FILE] [options]",
        description=chosen.text,
    )
    made.add_argument("data", nargs="+", metavar="DATA", help=chosen.data)
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
    made.add_slim()
    made.add_full()
    made.add_config()
    made.add_options(settings.groups(), without=settings.excluded, common=settings.common)
    return made


def main(arguments: Sequence[str]) -> int:
    """Train a model with the given arguments."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: unroll fit TASK DATA [DATA ...] --out RUN [options]\n")
        for name, task in TASKS.items():
            print(f"  {name:<16} {task.text}")
        print("\n`unroll fit TASK --help` shows the options that most people set, --help-all every one.")
        return 0 if arguments else 2
    chosen = entry(arguments[0])
    line = parser(arguments[0])
    given = line.read(arguments[1:])
    options = {name: getattr(given, name) for name in line.named}
    first = chosen.load_settings().from_flat(options)
    for names, columns in ((given.data, first.columns()), ((*given.valid, *given.test), ())):
        check_files(names, columns, first.source, plain=first.reads_plain_text, aligned=first.aligned())

    with Status("loading PyTorch"):
        from unroll.tasks.base import DataPaths
        from unroll.tasks.train import train_from_files
        from unroll.tasks.transfer import resolve_settings
        from unroll.training.errors import Interrupted

    settings = resolve_settings(chosen.load_settings(), options)
    sources = DataPaths(given.data, given.valid, given.test)
    try:
        train_from_files(
            arguments[0], sources, settings, given.out, overwrite=given.overwrite, slim=given.slim, full=given.full
        )
    except Interrupted as stop:
        print(f"unroll: {stop}", file=sys.stderr)
        print(stopped(given.out), file=sys.stderr)
        return 130
    return 0
