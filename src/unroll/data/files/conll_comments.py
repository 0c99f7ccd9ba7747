r"""Detect which lines of a column file are comments, and which begin with the token "#".

    # sent_id = s0          a comment: it says a key and its value
    #begin document (x)     a comment, as is #end document
    # text of a sentence    a comment where the file's lines have another number of columns
    # id 1f domain=en       a comment where no other line has such a tag, and a word of it is one that comments have
    #\tO, # _ _ O           the token # with a tag that the file has
    #MeToo B-X              a token

What is left, a number sign with a tag that no other line has, is judged together over the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from unroll.data.options import Comments
from unroll.data.text.bio import mark_spans, marks_span

Verdict = Literal["comment", "token", "unsure"]

_BLANKS = re.compile(r"[ \t]+")
_KEY_AND_VALUE = re.compile(r"# *[\w.:/-]+ *=(\s|$)")
_DOCUMENT = re.compile(r"#\s?(begin|end) document\b")
_KEYS = frozenset(
    {
        *("newdoc", "newpar", "id", "sent_id", "sentid", "text", "doc", "docid", "doc_id", "document", "sentence"),
        *("sent", "title", "source", "url", "lang", "meta", "file", "global.columns"),
    }
)
_SEVERAL = 3
_OFTEN = 0.9
_ENOUGH = 5


def split_cells(line: str, tabs: bool) -> list[str]:
    """Split a line into its columns, at tabs or at runs of blanks and tabs."""
    return [cell.strip(" ") for cell in line.split("\t")] if tabs else _BLANKS.split(line.strip(" \t"))


@dataclass(frozen=True)
class CommentRule:
    """Decide whether a line of a file that begins with a number sign is a comment.

    Attributes:
        choice: the `comments` option.
        tabs: whether tabs separate the columns.
        columns: number of columns.
        tags: values in the last column of lines that are not comments.
        others: how number signs with any other tag are treated.
        present: whether the file has lines that begin with a number sign.
    """

    choice: Comments
    tabs: bool
    columns: int
    tags: frozenset[str] = frozenset()
    others: Verdict = "unsure"
    present: bool = True

    def is_comment(self, line: str, words: int) -> bool | str:
        """Tell whether a line is a comment; where that is ambiguous, return an error text.

        Args:
            line: without its end.
            words: tokens of its sentence before it.
        """
        if not line.startswith("#") or self.choice == "none":
            return False
        if _DOCUMENT.match(line) or _KEY_AND_VALUE.match(line):
            return True
        cells = split_cells(line, self.tabs)
        fits, known = self.fits(cells), cells[-1] in self.tags
        if not _stands_alone(line):
            if self.choice == "skip":
                return not fits
            return not fits and not words and not known and (_is_key(line[1:].split()[0]) or "=" in line)
        if self.choice == "skip":
            return not (self.tabs and fits and known)
        if not fits:
            return not words if line.strip() == "#" else not (words and known)
        if known or cells[-1] == "#" or self.columns == 1:
            return False
        if cells[0] != "#" or is_worded(cells) or self.others == "comment":
            return True
        if self.others == "token":
            return False
        return (
            f"'{line:.40}' may be a comment, or the token '#' with the tag '{cells[-1]:.40}'; --comments skip or none"
            " says which"
        )

    def fits(self, cells: list[str]) -> bool:
        """Tell whether a line has as many columns as the others, none of them empty."""
        return len(cells) == self.columns and all(cells)


def is_worded(cells: list[str]) -> bool:
    """Tell whether the words after a number sign look like a comment: a key, a number, key=value or a URL."""
    words = [*cells[0].split()[1:], *cells[1:]]
    return _is_key(words[0]) or words[0].isdigit() or any("=" in word or "://" in word for word in words)


def _is_key(word: str) -> bool:
    return word.lower().rstrip(":") in _KEYS


def _stands_alone(line: str) -> bool:
    return line == "#" or line[1].isspace()


def judge_comments(blocks: Iterable[list[tuple[int, str]]], choice: Comments, tabs: bool, columns: int) -> CommentRule:
    """Detect the comment rule of a file from all its sentences.

    Number signs with a tag of their own are comments if these tags are three or more, or if they stand before
    sentences only and say three things or more, or stand before nearly every sentence. They are tokens if the tag marks
    a span as the file's other tags do, if one stands within a sentence, or if a tab follows them.

    Args:
        blocks: lines with their numbers, up to a blank line each.
        choice: the `comments` option.
        tabs: whether tabs separate the columns.
        columns: number of columns.
    """
    rule = CommentRule(choice, tabs, columns)
    tags: set[str] = set()
    by_tag: dict[str, set[str]] = {}
    sentences = present = 0
    before: dict[str, int] = {}
    inside: set[str] = set()
    for block in blocks:
        words = 0
        for _, line in block:
            cells = split_cells(line, tabs)
            present += line.startswith("#")
            if not rule.fits(cells) or _DOCUMENT.match(line) or _KEY_AND_VALUE.match(line):
                continue
            if not line.startswith("#") or not _stands_alone(line):
                words += 1
                tags.add(cells[-1])
            elif columns > 1 and cells[0] == "#" and not is_worded(cells):
                lines = by_tag.setdefault(cells[-1], set())
                if len(lines) < _SEVERAL:
                    lines.add(line)
                if words:
                    inside.add(cells[-1])
                else:
                    before[cells[-1]] = before.get(cells[-1], 0) + 1
        sentences += words > 0
    by_tag = {tag: lines for tag, lines in by_tag.items() if tag not in tags and tag != "#"}
    if mark_spans(tags):
        alike = {tag for tag in by_tag if marks_span(tag)}
        tags |= alike
        by_tag = {tag: lines for tag, lines in by_tag.items() if tag not in alike}
    within = not inside.isdisjoint(by_tag)
    said = sum(map(len, by_tag.values()))
    everywhere = sum(before.get(tag, 0) for tag in by_tag) >= max(_ENOUGH, _OFTEN * sentences)
    others: Verdict = "token" if tabs or within else "unsure"
    if len(by_tag) >= _SEVERAL or (not within and (said >= _SEVERAL or everywhere)):
        others = "comment"
    return CommentRule(choice, tabs, columns, frozenset(tags), others, bool(present))
