"""Run the command line: a table of commands, each imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from unroll.errors import UserError

COMMANDS = {
    "fit": "train a model on data and leave a run folder",
    "resume": "resume a training that was stopped",
    "finish": "end a training that was stopped, and keep its best weights as the model",
    "evaluate": "evaluate a run on labelled data",
    "predict": "predict new data with a run, as JSON lines",
    "backtest": "evaluate a forecaster at several past dates (rolling origin)",
    "generate": "generate text from a language model",
    "score": "log-probabilities of lines or of given translations, as JSON lines",
    "backends": "list the implementations of the recurrent layers and which work here",
    "demo": "classify scikit-learn's digits and forecast airline passengers, in under two minutes",
}
"""Every command `NAME` is the function `main` of `unroll.commands.NAME`."""


def usage() -> str:
    """Format the text of `unroll --help`."""
    rows = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
    return (
        f"usage: unroll COMMAND ...\n\nRecurrent sequence modelling.\n\n{rows}\n\n`unroll COMMAND --help` tells more."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 on success, 2 on a user error, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        # Escape characters that the output's encoding lacks, such as names in other scripts on an ASCII terminal.
        sys.stdout.reconfigure(errors="backslashreplace")
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        from unroll import __version__

        print(f"unroll {__version__}")
        return 0
    try:
        if given[0] not in COMMANDS:
            from unroll.errors import OptionError, nearest

            raise OptionError(f"there is no command '{given[0]}'{nearest(given[0], COMMANDS)}")
        status = import_module(f"unroll.commands.{given[0]}").main(given[1:])
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("unroll: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        # Full disks, closed terminals, folders that are files: not a bug of ours, so no traceback.
        where = f" {error.filename}" if error.filename else " the output"
        print(f"unroll: cannot write or read{where}: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2


if __name__ == "__main__":
    sys.exit(main())
