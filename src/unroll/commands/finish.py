"""`unroll finish`: end a training that was stopped, and keep its best weights as the model."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.commands.arguments import Parser
from unroll.training.status import Status


def main(arguments: Sequence[str]) -> int:
    """Write the best checkpoint of a stopped training as the run's model."""
    parser = Parser(
        "unroll finish",
        "unroll finish RUN",
        "End a training that was stopped: the best weights so far become the run's model.",
    )
    parser.add_run("The run folder; its data is read again, for the figures of the report.", finished=False)
    parser.add_slim()
    given = parser.read(arguments)

    with Status("loading PyTorch"):
        from unroll.tasks.train import finish

    finish(given.run, slim=given.slim)
    return 0
