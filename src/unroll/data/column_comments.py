r"""Which lines of a column file are comments, and which begin with a token that is a number sign.

# sent_id = s0          a comment: it says a key and its value
#begin document (x)     a comment, as is #end document
# id 1f domain=en       a comment where the file's other lines have no such tag
#\tO, # _ _ O           the token # with a tag that the file has
#MeToo B-X              a token
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from unroll.data.options import Comments
from unroll.data.schemes import marks_span

_KEY_AND_VALUE = re.compile(r"#\s*[\w.:/-]+\s*=(\s|$)")
_DOCUMENT = re.compile(r"#\s?(begin|end) document\b")
_KEYS = frozenset(
    {
        *("newdoc", "newpar", "id", "sent_id", "sentid", "text", "doc", "docid", "doc_id", "document", "sentence"),
        *("sent", "title", "source", "url", "lang", "meta", "file", "global.columns"),
    }
)
_OFTEN = 0.5


@dataclass(frozen=True)
class CommentRule:
    """How a file's lines that begin with a number sign are taken.

    Attributes:
        choice: what the person said.
        tabs: whether tabs separate the columns.
        columns: how many there are.
        tags: what stands in the last column of lines that are no comments, as far as they were looked at.
        often: whether such lines stand before most sentences.
    """

    choice: Comments
    tabs: bool
    columns: int
    tags: frozenset[str]
    often: bool

    def is_comment(self, line: str, words: int) -> bool | str:
        """Tell whether a line is a comment, or what is wrong where it may be one or a token.

        Args:
            line: without its end.
            words: tokens of its sentence before it.
        """
        if not line.startswith("#") or self.choice == "none":
            return False
        if _DOCUMENT.match(line):
            return True
        if line != "#" and not line[1].isspace():
            return False
        if self.choice == "skip":
            return not line.startswith("#\t")
        if self.tabs:
            return not line.startswith("#\t") and (line != "#" or self.columns > 1)
        return self._among_blanks(line, words)

    def _among_blanks(self, line: str, words: int) -> bool | str:
        cells = line.split()
        if _KEY_AND_VALUE.match(line):
            return True
        if len(cells) == self.columns and (words or self._is_tag(cells[-1])):
            return False
        known = len(cells) > 1 and (cells[1].lower() in _KEYS or cells[1].isdigit() or any("=" in c for c in cells))
        if known or (len(cells) != self.columns and not words) or (self.often and not words):
            return True
        if len(cells) != self.columns:
            return False
        return (
            f"'{line:.40}' may be a comment, or the token '#' with the tag '{cells[-1]:.40}'; --comments skip or none"
            " says which"
        )

    def _is_tag(self, cell: str) -> bool:
        """Whether a cell is a tag of the file, or is written as that of a span."""
        return cell in self.tags or ("-" in cell and marks_span(cell))


def judge_comments(blocks: Iterable[list[tuple[int, str]]], choice: Comments, tabs: bool, columns: int) -> CommentRule:
    """Judge a file by its first sentences.

    Args:
        blocks: lines with their numbers, up to a blank line each.
        choice: what the person said.
        tabs: whether tabs separate the columns.
        columns: how many there are.
    """
    tags: set[str] = set()
    begun = before = 0
    for block in blocks:
        begun += 1
        words, sign_first = 0, False
        for _, line in block:
            is_sign = line.startswith("#") and (line == "#" or line[1].isspace())
            if is_sign and not words:
                sign_first = True
            elif not _KEY_AND_VALUE.match(line):
                words += 1
                tags.add((line.split("\t") if tabs else line.split())[-1].strip())
        before += sign_first
    return CommentRule(choice, tabs, columns, frozenset(tags), bool(begun) and before / begun >= _OFTEN)
