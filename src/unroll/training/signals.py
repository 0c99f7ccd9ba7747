"""Handle Ctrl-C and SIGTERM: the first signal asks for an orderly stop, the second stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


class StopRequest:
    """Record whether the user asked the training to stop.

    Args:
        elsewhere: another source to ask, such as another process's event.
    """

    def __init__(self, elsewhere: Callable[[], bool] | None = None) -> None:
        self._elsewhere = elsewhere
        self._asked = False

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked or (self._elsewhere is not None and self._elsewhere())

    @contextlib.contextmanager
    def listening(self, first: Callable[[], object], second: Callable[[], object]) -> Iterator[Callable[[], None]]:
        """Handle SIGINT and SIGTERM within the context, and restore the previous handlers after it.

        Outside the main thread, where Python allows no handlers, nothing is handled.

        Args:
            first: called at the first signal.
            second: called at each further signal; it may raise, interrupting whatever is running.

        Yields:
            A function that puts the handlers in place (again), for use after someone else replaced them.
        """
        if threading.current_thread() is not threading.main_thread():
            yield lambda: None
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self._asked:
                second()
            else:
                self._asked = True
                first()

        numbers = (signal.SIGINT, signal.SIGTERM)
        before: dict[signal.Signals, Any] = {n: signal.getsignal(n) for n in numbers}

        def install() -> None:
            for n in numbers:
                signal.signal(n, handle)

        install()
        try:
            yield install
        finally:
            for n, handler in before.items():
                # None: a handler that was not set from Python, and cannot be set back from it
                if handler is not None:
                    signal.signal(n, handler)
