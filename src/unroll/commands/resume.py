"""`unroll resume`: resume a training that was stopped."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from unroll.commands.arguments import Parser
from unroll.commands.output import stopped
from unroll.training.status import Status


def main(arguments: Sequence[str]) -> int:
    """Resume a training exactly from its last checkpoint."""
    parser = Parser("unroll resume", "unroll resume RUN", "Go on with a training that was stopped.")
    parser.add_run("The run folder; its options and data are used again.", finished=False)
    parser.add_slim()
    given = parser.read(arguments)

    with Status("loading PyTorch"):
        from unroll.tasks.train import resume
        from unroll.training.errors import Interrupted

    try:
        resume(given.run, slim=given.slim)
    except Interrupted as stop:
        print(f"unroll: {stop}", file=sys.stderr)
        print(stopped(given.run), file=sys.stderr)
        return 130
    return 0
