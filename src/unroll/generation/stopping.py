"""Text of tokens as they come, up to a stop string."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from unroll.errors import OptionError


class Decoder(Protocol):
    """What makes text of ids, one by one."""

    def push(self, i: int) -> str:
        """The text that is certain with one more id."""
        ...

    def finish(self) -> str:
        """What is still to come after the last id."""
        ...


class StopStrings:
    """Text that comes in pieces, up to the stop string that is complete first, which is left out.

    Where two are complete at the same character, the one that begins first counts. How the text is cut into pieces
    makes no difference. What may yet become a stop string is held back.

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
        """What is certain with this piece more; nothing once a stop string was found."""
        if self.stopped:
            return ""
        text = self._held + text
        found = [(text.find(stop), len(stop)) for stop in self._strings]
        ends = [(begin + length, begin) for begin, length in found if begin >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)[1]]
        held = min(len(text), self._most)
        certain = next(i for i in range(len(text) - held, len(text) + 1) if self._may_stop(text, i))
        self._held = text[certain:]
        return text[:certain]

    def finish(self) -> str:
        """What was held back, since nothing follows."""
        held, self._held = self._held, ""
        return held

    def _may_stop(self, text: str, at: int) -> bool:
        """Whether the text from `at` on, maybe nothing, begins a stop string."""
        rest = text[at:]
        return not rest or any(stop.startswith(rest) for stop in self._strings)


def texts(ids: Iterable[int], decoder: Decoder, stop: Sequence[str] = ()) -> Iterator[str]:
    """The text of `ids` in pieces, each as soon as no later id can change it; no id is asked for after a stop string.

    Args:
        ids: token by token.
        decoder: what makes text of them; it may have been given those of a prompt.
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
