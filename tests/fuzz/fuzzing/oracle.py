"""What every trial is held to: an answer, or one sentence of `UserError`, soon and in little memory."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from unroll.errors import UserError

SECONDS = 10.0
"""How long a trial may take."""
GROWTH = 2**30
"""How many bytes of memory a trial may add to what was there before."""
LONGEST = 600
"""How many characters a sentence may have."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OBJECT = re.compile(r"<[\w.]+( object)? at 0x[0-9a-f]+>|<class '")


class Finding(Exception):  # noqa: N818 (no one made a mistake in the program)
    """What must not happen.

    Attributes:
        what: in few words, the same for every trial that finds it.
        place: the innermost function of unroll, if one raised.
        detail: the message, the line, the values.
    """

    def __init__(self, what: str, detail: str, place: str = "") -> None:
        super().__init__(f"{what} at {place or '-'}: {detail}")
        self.what, self.place, self.detail = what, place, detail

    @property
    def key(self) -> str:
        """What duplicates have in common."""
        return f"{self.what} at {self.place or '-'}"


@dataclass(frozen=True)
class Outcome:
    """An answer, or the refusal that came in its place."""

    value: Any = None
    refusal: UserError | None = None

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.refusal is None


class _TooSlowError(BaseException):
    pass


def attempt(action: Callable[[], Any], *, allowed: Callable[[Exception], bool] = lambda _: False) -> Outcome:
    """Do `action`, and hold what it does to the promises.

    Args:
        action: what a person asks for.
        allowed: whether an exception that is no `UserError` is part of a contract, such as scikit-learn's.

    Raises:
        Finding: a traceback, a sentence that is none, a hang, memory, or a library's warning.
    """
    before = _memory("VmRSS")
    _reset_peak()
    try:
        with warnings.catch_warnings(record=True) as said, _within(SECONDS), _no_more_than(4 * GROWTH):
            warnings.simplefilter("always")
            outcome = Outcome(action())
    except UserError as refusal:
        _check_sentence(refusal)
        outcome = Outcome(refusal=refusal)
    except _TooSlowError as stop:
        where, line = _place(stop)
        raise Finding(f"longer than {SECONDS:g} s", line, where) from None
    except Exception as error:
        if not allowed(error):
            where, line = _place(error)
            raise Finding(type(error).__name__, f"{str(error)[:300]!r} ({line})", where) from error
        outcome = Outcome(refusal=UserError(str(error)))
    if (grown := _memory("VmHWM") - before) > GROWTH:
        raise Finding("memory", f"{grown >> 20} MiB more")
    for one in said:
        if one.category is ResourceWarning:
            continue  # it is of whatever trial the garbage was made in
        if one.category is UserWarning or not issubclass(one.category, UserWarning):
            raise Finding(one.category.__name__, f"{one.message!s:.200}", f"{_short(one.filename)}:{one.lineno}")
    return outcome


def _check_sentence(refusal: UserError) -> None:
    text = str(refusal)
    where, line = _place(refusal)
    wrong = ""
    if not text.strip():
        wrong = "empty"
    elif len(text) > LONGEST:
        wrong = "too long"
    elif "\n" in text:
        wrong = "several lines"
    elif _CONTROL.search(text):
        wrong = "control characters"
    elif "Traceback" in text or _OBJECT.search(text):
        wrong = "Python's own words"
    if wrong:
        raise Finding(f"sentence: {wrong}", f"{text[:400]!r} ({line})", where) from refusal


def _place(error: BaseException) -> tuple[str, str]:
    """The innermost function of unroll in a traceback, and its line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "unroll/" in _short(f.filename)]
    if not frames:
        return "", ""
    return f"{_short(frames[-1].filename)} {frames[-1].name}", f"line {frames[-1].lineno}"


def _short(file: str) -> str:
    parts = Path(file).parts
    return "/".join(parts[parts.index("unroll") :]) if "unroll" in parts[:-1] and "src" in parts else Path(file).name


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _no_more_than(more: int) -> Iterator[None]:
    """Let the addresses grow by `more` bytes, so that what grows without end meets an error before the machine does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory(which: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _reset_peak() -> None:
    # where it cannot be, the peak is that of the process's life, and only its first growth is seen
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
