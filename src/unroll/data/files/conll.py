"""Read CoNLL column files: one token per line, its annotations in columns, a blank line after each sentence.

A sentence becomes a row of list columns. Every format has `tokens` and `tags`, so that a model trained on one
can be used on another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from unroll.data.files.conll_comments import CommentRule, judge_comments, split_cells
from unroll.data.files.paths import opened_text, wrong_byte
from unroll.data.files.rows import Row, Unreadable, refused
from unroll.data.options import SourceOptions

CONLLU = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel", "misc")
"""The columns of a .conllu file that are read; ids and enhanced dependencies are not."""

_PLACES = (1, 2, 3, 4, 5, 6, 7, 9)
_FIELDS = 10
_LINES_LOOKED_AT = 500
_NO_WORD = re.compile(r"[0-9]+-[0-9]+|[0-9]+\.[0-9]+")

Cells = list[str]
Parse = Callable[[str, int], Cells | str | None]
"""From a line and the number of words before it: its columns, an empty list for a line to skip, or an error text; None
where the sentence ends."""


def column_rows(path: Path, source: SourceOptions) -> Iterator[Row]:
    """Read CoNLL files (2000, 2002, 2003, ...): columns separated by tabs, or by blanks if most lines have no tab.

    Every line has as many columns as most of the first 500 have (the first of them decides between equally common
    numbers, and between tabs and blanks); lines that begin with -DOCSTART-, and comments (see `conll_comments`), are
    skipped, and end a sentence. A sentence has the columns `column1`, `column2`, ..., and again `tokens` (the first)
    and `tags` (the last, if there are two or more). With a line that cannot be used it is an `Unreadable` with
    `source.skip_bad_rows`, else an error.

    Raises:
        DataError: a line that may be a comment or a token, another number of columns than the others, an empty column,
            bytes that are no characters.
    """
    encoding, skip = source.encoding, source.skip_bad_rows
    rule = _comment_rule(path, source)
    wanted = rule.columns

    def parse(line: str, words: int) -> Cells | str | None:
        comment = rule.is_comment(line, words)
        if comment:
            return comment if isinstance(comment, str) else None
        cells = split_cells(line, rule.tabs)
        if not all(cells):
            return f"column {cells.index('') + 1} is empty"
        if len(cells) != wanted:
            tagless = f"; the token '{cells[0]:.40}' has no tag" if len(cells) == 1 else ""
            return f"{_counted(cells)}, but other lines have {wanted}{tagless}"
        return cells

    for sentence in _sentences(path, encoding, skip, parse):
        if isinstance(sentence, Unreadable):
            yield sentence
            continue
        columns = [list(column) for column in zip(*sentence, strict=True)]
        row: Row = {"tokens": columns[0]}
        if len(columns) > 1:
            row["tags"] = columns[-1]
        yield row | {f"column{i}": column for i, column in enumerate(columns, start=1)}


def conllu_rows(path: Path, encoding: str, skip: bool) -> Iterator[Row]:
    """Read CoNLL-U files (universaldependencies.org/format.html): ten columns separated by tabs, words numbered from 1.

    Comments, multiword tokens (3-4) and empty nodes (8.1) are skipped. A sentence has the columns `CONLLU`, all text,
    and again `tokens` (the forms) and `tags` (the universal parts of speech; null where the file has "_", none).
    With a line that cannot be used it is an `Unreadable` with `skip`, else an error.

    Raises:
        DataError: not ten columns, an empty column, an id out of sequence, bytes that are not valid characters.
    """

    def parse(line: str, words: int) -> Cells | str:
        if line.startswith("#"):
            return []
        cells = line.split("\t")
        if len(cells) != _FIELDS:
            return f"{_counted(cells)}, but CoNLL-U has {_FIELDS}, parted by tabs"
        if not all(cells):
            return f"column {cells.index('') + 1} is empty; CoNLL-U writes _ there"
        if _NO_WORD.fullmatch(cells[0]):
            return []
        if cells[0] != str(words + 1):
            return f"the id is '{cells[0]:.20}', but the next word of the sentence is {words + 1}"
        return cells

    for sentence in _sentences(path, encoding, skip, parse):
        if isinstance(sentence, Unreadable):
            yield sentence
            continue
        row: Row = {name: [cells[i] for cells in sentence] for name, i in zip(CONLLU, _PLACES, strict=True)}
        yield {"tokens": row["form"], "tags": [None if tag == "_" else tag for tag in row["upos"]]} | row


def _layout(path: Path, encoding: str) -> tuple[int, bool]:
    """Detect how many columns most of the first lines have, and whether tabs separate them."""
    with opened_text(path, encoding, lenient=True) as text:
        every = (line for block in _blocks(text) for _, line in block)
        lines = list(islice((line for line in every if not line.startswith("#")), _LINES_LOOKED_AT))
    if not lines:
        with opened_text(path, encoding, lenient=True) as text:
            lines = list(islice((line for block in _blocks(text) for _, line in block), _LINES_LOOKED_AT))
    if not lines:
        return 0, False
    # For equal counts, a Counter gives the first.
    tabs = Counter("\t" in line for line in lines).most_common(1)[0][0]
    return Counter(len(split_cells(line, tabs)) for line in lines).most_common(1)[0][0], tabs


def _comment_rule(path: Path, source: SourceOptions) -> CommentRule:
    """Detect the file's layout, and how to treat its lines that begin with a number sign."""
    columns, tabs = _layout(path, source.encoding)
    with opened_text(path, source.encoding, lenient=True) as text:
        return judge_comments(_blocks(text), source.comments, tabs, columns)


def comment_notes(path: Path, source: SourceOptions) -> tuple[str, ...]:
    """Describe the comments that were skipped in a file."""
    rule = _comment_rule(path, source)
    if not rule.present:
        return ()
    first, count, ending = "", 0, 0
    with opened_text(path, source.encoding, lenient=True) as text:
        for block in _blocks(text):
            words = 0
            for number, line in block:
                if rule.is_comment(line, words) is True:
                    first = first or f"in line {number}: '{line:.60}'"
                    count, ending, words = count + 1, ending + (words > 0), 0
                else:
                    words += 1
    if not count:
        return ()
    if count == 1:
        ends = "; a sentence ends there without a blank line" if ending else ""
        return (f"{path}: a comment line is skipped, {first}{ends}",)
    ends = f"; at {ending:,} of them a sentence ends without a blank line" if ending else ""
    return (f"{path}: {count:,} comment lines are skipped, the first {first}{ends}",)


def _sentences(path: Path, encoding: str, skip: bool, parse: Parse) -> Iterator[list[Cells] | Unreadable]:
    """Yield the columns of each sentence's words, or an `Unreadable` for a sentence with an invalid line."""
    with opened_text(path, encoding, lenient=skip) as text:
        for block in _blocks(text):
            words: list[Cells] = []
            for number, line in block:
                parsed = wrong_byte(line, encoding) or parse(line, len(words))
                if isinstance(parsed, str):
                    yield refused(f"'{path}', line {number}: {parsed}", skip)
                    break
                if parsed:
                    words.append(parsed)
                elif parsed is None and words:
                    yield words
                    words = []
            else:
                if words:
                    yield words


def _blocks(lines: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """Group numbered lines into blocks that end at a blank line or at the start of a document."""
    held: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("-DOCSTART-"):
            held.append((number, line.rstrip("\n")))
        elif held:
            yield held
            held = []
    if held:
        yield held


def _counted(cells: Cells) -> str:
    return f"{len(cells)} column{'s' if len(cells) != 1 else ''}"
