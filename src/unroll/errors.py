"""What a person got wrong, said in one sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Control characters, the ends of lines among them, and halves of characters: what is quoted from a file may hold any.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class UserError(ValueError):
    """A person's mistake: what was wrong, where, and what would be right.

    The command line prints the sentence and leaves with status 2; from Python it is a `ValueError`. Characters of the
    sentence that cannot be printed in one line are escaped, as Python writes them.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(_UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], sentence))


class DataError(UserError):
    """Something is wrong with the data that was brought: a file, a row, a column or a value."""


class OptionError(UserError):
    """An option's name or value cannot be used."""


class RunError(UserError):
    """A run folder cannot be written, read or trusted."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name closest to `name`; failing that, the known names, if few."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:
        lowered = {n.lower(): n for n in names}
        close = [lowered[c] for c in difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)]
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is: {', '.join(names)}" if 0 < len(names) <= 12 else ""
