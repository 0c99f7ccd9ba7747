"""Exceptions for user errors, each with a message of one sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Control characters (line ends included) and lone surrogates: text quoted from a file may contain any of them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(ValueError):
    """Base class of user errors: the message says what was wrong, where, and what would be right.

    The command line prints the message and exits with status 2; in Python it is a `ValueError`. Characters that
    cannot be printed on one line are escaped as in Python.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(_UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], sentence))


class DataError(UserError):
    """Raised for invalid data: a file, a row, a column or a value."""


class OptionError(UserError):
    """Raised for an invalid option name or value."""


class RunError(UserError):
    """Raised when a run folder cannot be written, read or trusted."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggest the known name closest to `name`, as `"; did you mean 'x'?"`, or else list the names, if few."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:
        lowered = {n.lower(): n for n in names}
        close = [lowered[c] for c in difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)]
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is: {', '.join(names)}" if 0 < len(names) <= 12 else ""
