from __future__ import annotations

from pathlib import Path

import pytest

from unroll.data.options import SourceOptions
from unroll.data.sources import read
from unroll.errors import DataError

FOUR = "{c}Oslo _ _ B-LOC\nis _ _ O\n\n"
TWO = "{c}Oslo B-LOC\nis O\n\n"
TABS = "{c}Oslo\tB-LOC\nis\tO\n\n"
CLEAN = (["Oslo", "is"], ["B-LOC", "O"])


def rows(path: Path, content: str, source: SourceOptions | None = None) -> tuple[list[tuple], list[str]]:
    path.write_text(content, encoding="utf-8")
    notes: list[str] = []
    found = [(r["tokens"], r["tags"]) for r in read(path, source=source, notes=notes)]
    return found, notes


@pytest.mark.parametrize("ending", [".conll", ".iob2", ".bio", ".iobes"])
@pytest.mark.parametrize(
    ("sentence", "comment"),
    [
        (FOUR, "# id 1f domain=en\n"),
        (FOUR, "# sent_id = s0\n# text = Oslo is\n"),
        (FOUR, "# newdoc id\n"),
        (FOUR, "# text = x O\n"),
        (TWO, "# newdoc\n"),
        (TWO, "# 3\n"),
        (TWO, "# chapter\n"),
        (TWO, "# text = Oslo\n"),
        (TWO, "#begin document (a/b); part 000\n"),
        (TABS, "# sent_id = s0\n# text = Oslo is\n"),
        (TABS, "# newdoc\n"),
        (TABS, "# one\ttwo\n"),
        (TABS, "#\n"),
    ],
)
def test_comments_are_no_tokens(tmp_path: Path, ending: str, sentence: str, comment: str) -> None:
    path = tmp_path / f"x{ending}"
    found, notes = rows(path, sentence.format(c=comment) * 5 + "#end document\n")
    assert found == [CLEAN] * 5
    assert notes == [f"{path}: comments are skipped, the first in line 1: '{comment.splitlines()[0]}'"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("# _ _ O\n", FOUR),
        ("# O\n", TWO),
        ("#\tO\n", TABS),
        ("#MeToo O\n", TWO),
        ("#1 _ _ O\n", FOUR),
        ("#\tSYM\n", TABS),
    ],
)
def test_a_number_sign_with_a_tag_is_a_token(tmp_path: Path, line: str, sentence: str) -> None:
    found, notes = rows(tmp_path / "x.conll", sentence.format(c="") * 4 + sentence.format(c=line))
    token, tag = line.split()[0], line.split()[-1]
    assert found == [CLEAN] * 4 + [([token, "Oslo", "is"], [tag, "B-LOC", "O"])]
    assert notes == []


def test_a_token_with_a_span_tag_that_is_nowhere_else_is_no_comment(tmp_path: Path) -> None:
    content = FOUR.format(c="# id 1 domain=en\n") * 3 + FOUR.format(c="# global.columns = a b\n# _ _ E-LOC\n")
    found, _ = rows(tmp_path / "x.conll", content)
    assert found == [CLEAN] * 3 + [(["#", "Oslo", "is"], ["E-LOC", "B-LOC", "O"])]


def test_within_a_sentence_a_number_sign_is_a_token(tmp_path: Path) -> None:
    found, _ = rows(tmp_path / "x.conll", "# newdoc\n" + "a NN\n# #\nb NN\n\n" + "# #\nb NN\n\n" * 3)
    assert found[0] == (["a", "#", "b"], ["NN", "#", "NN"])
    assert found[1] == (["#", "b"], ["#", "NN"])


def test_comments_stand_after_a_sentence_too(tmp_path: Path) -> None:
    found, _ = rows(tmp_path / "x.conll", FOUR.format(c="") * 3 + "# sent_id = 4\n\n" + "# x = y\n")
    assert found == [CLEAN] * 3


def test_what_may_be_either_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "x.conll", TWO.format(c="") * 4 + TWO.format(c="# SYM\n")
    with pytest.raises(DataError) as error:
        rows(path, content)
    assert str(error.value) == (
        f"'{path}', line 13: '# SYM' may be a comment, or the token '#' with the tag 'SYM'; --comments skip or none "
        "says which"
    )
    assert rows(path, content, SourceOptions(comments="skip"))[0] == [CLEAN] * 5
    assert rows(path, content, SourceOptions(comments="none"))[0][4] == (["#", "Oslo", "is"], ["SYM", "B-LOC", "O"])
