"""Say on a terminal what a command is doing while it has nothing else to show."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType


class Status:
    """Show a line on standard error within the context, and remove it afterwards; nothing if that is no terminal.

    Args:
        text: the line, such as "reading the data".
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Status:
        self._write(f"{self._text} ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write("")

    def around(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return a function that calls `say` with the line removed, and shows it again."""

        def saying(text: str) -> None:
            self._write("")
            say(text)
            self._write(f"{self._text} ...")

        return saying

    def _write(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()


def say_line(text: str) -> None:
    """Print a line at once, so that it stands in a log file before what is written to standard error after it."""
    print(text, flush=True)
