"""Decode generated tokens to text as they come, up to a stop string."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from unroll.errors import OptionError


class Decoder(Protocol):
    """Protocol of an incremental decoder from token ids to text."""

    def push(self, i: int) -> str:
        """Add one id; return the text that is certain now."""
        ...

    def finish(self) -> str:
        """Return the rest of the text after the last id."""
        ...


class StopStrings:
    """Cut text that comes in pieces before the first complete stop string.

    If two are complete at the same character, the one that begins first counts. How the text is split into pieces
    makes no difference. Text that may still become a stop string is held back.

    Args:
        strings: the stop strings.

    Raises:
        OptionError: an empty one.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        if "" in strings:
            raise OptionError("a stop string is empty; it would stop every text before it begins")
        self._strings = strings
        self._most = max((len(stop) - 1 for stop in strings), default=0)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """Add a piece; return the text that is certain now, or "" after a stop string."""
        if self.stopped:
            return ""
        text = self._held + text
        matches = [(text.find(stop), len(stop)) for stop in self._strings]
        ends = [(begin + length, begin) for begin, length in matches if begin >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        held = min(len(text), self._most)
        certain = next(i for i in range(len(text) - held, len(text) + 1) if self._may_stop(text, i))
        self._held = text[certain:]
        return text[:certain]

    def finish(self) -> str:
        """Return the text held back, when no more follows."""
        held, self._held = self._held, ""
        return held

    def _may_stop(self, text: str, at: int) -> bool:
        """Whether the text from `at` on is empty or the beginning of a stop string."""
        rest = text[at:]
        return not rest or any(stop.startswith(rest) for stop in self._strings)


def texts(ids: Iterable[int], decoder: Decoder, stop: Sequence[str] = ()) -> Iterator[str]:
    """Decode `ids` to pieces of text, each as soon as it is certain; no id is consumed after a stop string.

    Args:
        ids: the token ids.
        decoder: the incremental decoder; it may already have decoded a prompt.
        stop: strings at which the text ends; they are left out.

    Raises:
        OptionError: a stop string is empty.
    """
    stops = StopStrings(stop)

    def pieces() -> Iterator[str]:
        for i in ids:
            if piece := stops.push(decoder.push(i)):
                yield piece
            if stops.stopped:
                return
        if piece := stops.push(decoder.finish()) + stops.finish():
            yield piece

    return pieces()
