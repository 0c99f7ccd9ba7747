"""Detokenize: convert token ids to text incrementally."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable

from unroll.data.options import TextOptions

_FIRST_TOKEN = 2  # 0 is padding, 1 unknown

# Marks of English, western European languages, Chinese and Japanese that attach to the word before or after.
_CLOSING = frozenset(".,;:!?)]}%…’”»›。，、；：！？）】》」』〉％")
_OPENING = frozenset("([{¿¡$£€#‘“«‹„（【《「『〈")
_IDEOGRAPHS = (
    (0x3000, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFF60),
    (0x20000, 0x3FFFF),
)


def _byte_signs() -> tuple[str, ...]:
    """Return the character for each byte in vocabularies of `tokenizers` (and GPT-2): printable bytes stand for
    themselves, the others are numbered from U+0100.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


BYTE_SIGNS = _byte_signs()
_BYTES = {sign: byte for byte, sign in enumerate(BYTE_SIGNS)}


class TextDecoder:
    """Decode token ids to text one by one; text is returned as soon as it is final.

    Characters stand for themselves. Bytes and byte-pair pieces are bytes of UTF-8: a character is returned when it
    is complete, and invalid bytes become U+FFFD. Words are joined by blanks, but not around line ends, nor, where
    punctuation was split off, before closing marks, after opening ones, and between Chinese or Japanese characters.
    Padding is dropped; unknown tokens are `<unk>` at the word level and U+FFFD elsewhere.
    """

    def __init__(self, token: Callable[[int], str | None], options: TextOptions) -> None:
        self._lookup = token
        self._level = options.level
        self._split = options.punctuation == "split"
        self._blank_first = options.level == "bpe" and not options.line_ends  # the encoder put it there
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._before = ""

    def push(self, i: int) -> str:
        """Decode one more id; return the text that is now final."""
        if i < _FIRST_TOKEN:
            text = self._unknown() if i else ""
        elif self._level == "word":
            text = self._word(self._token(i))
        elif self._level == "char":
            text = self._token(i)
        else:
            text = self._bytes.decode(bytes(_BYTES[sign] for sign in self._token(i)))
        if self._blank_first and text:
            text, self._blank_first = text.removeprefix(" "), False
        return text

    def push_word(self, word: str) -> str:
        """Add a word that is in no vocabulary, at the word level; return the text that is now final."""
        return self._word(word)

    def finish(self) -> str:
        """Flush after the last id: return bytes that never became a character."""
        return self._bytes.decode(b"", final=True)

    def decode(self, ids: Iterable[int]) -> str:
        """Decode `ids` to the end, with `finish`."""
        return "".join([*(self.push(int(i)) for i in ids), self.finish()])

    def _token(self, i: int) -> str:
        found = self._lookup(i)
        if found is None:
            raise IndexError(f"there is no token {i}")
        return found

    def _unknown(self) -> str:
        if self._level == "word":
            return self._word("<unk>")
        if self._level == "char":
            return "\ufffd"
        # it ends a character that was begun
        return self._bytes.decode(b"\xff")

    def _word(self, word: str) -> str:
        before, self._before = self._before, word
        apart = bool(before) and "\n" not in (before, word)
        if apart and self._split:
            leaning = word in _CLOSING or before in _OPENING
            apart = not leaning and not (_is_ideograph(before) and _is_ideograph(word))
        return f" {word}" if apart else word


def _is_ideograph(word: str) -> bool:
    return len(word) == 1 and any(first <= ord(word) <= last for first, last in _IDEOGRAPHS)
