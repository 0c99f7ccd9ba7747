from __future__ import annotations

from pathlib import Path

import pytest

from unroll.data.files.dataset import read
from unroll.data.options import SourceOptions
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
    first, lines = comment.splitlines()[0], 5 * len(comment.splitlines()) + 1
    assert notes == [f"{path}: {lines} comment lines are skipped, the first in line 1: '{first}'"]


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
    assert rows(path, TWO.format(c="") * 4 + TWO.format(c="#x\n"), SourceOptions(comments="skip"))[0] == [CLEAN] * 5


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        ("a _ _ O\nb _ _ B-X\n# id 77 domain=en\nc _ _ O\n\nd _ _ O\n", 3),
        ("a O\nb B-X\n# newdoc\nc O\n\nd O\n", 3),
        ("a O\nb B-X\n#end document\nc O\n\nd O\n", 3),
        ("a\tO\nb\tB-X\n# sent_id = 2\nc\tO\n\nd\tO\n", 3),
        ("a O\nb B-X\n# text of several words\nc O\n\nd O\n", 3),
    ],
)
def test_a_comment_right_after_a_token_ends_its_sentence_and_is_told(tmp_path: Path, content: str, ending: int) -> None:
    path = tmp_path / "x.conll"
    found, notes = rows(path, content)
    assert found == [(["a", "b"], ["O", "B-X"]), (["c"], ["O"]), (["d"], ["O"])]
    line = content.splitlines()[ending - 1]
    assert notes == [
        f"{path}: a comment line is skipped, in line 3: '{line}'; a sentence ends there without a blank line"
    ]


@pytest.mark.parametrize("columns", ["\tB-X\tO\n", "\tB-X\n"])
def test_sources_with_a_tab_after_the_number_sign_are_comments(tmp_path: Path, columns: str) -> None:
    comment = "#\thttp://de.example.org/wiki/A\t[2009-10-17]\n"
    found, notes = rows(tmp_path / "x.conll", (comment + f"1\tOslo{columns}2\tnun{columns}\n") * 3)
    assert [tokens for tokens, _ in found] == [["1", "2"]] * 3
    assert "3 comment lines are skipped" in notes[0]


@pytest.mark.parametrize("key", ["#newdoc", "#newpar", "#sent_id = 3", "#id 3 en x"])
@pytest.mark.parametrize("sentence", [TWO, TABS])
def test_keys_may_stand_at_the_number_sign(tmp_path: Path, key: str, sentence: str) -> None:
    found, _ = rows(tmp_path / "x.conll", sentence.format(c=f"{key}\n") * 2)
    assert found == [CLEAN] * 2


def test_comments_and_number_signs_are_told_apart_in_one_file(tmp_path: Path) -> None:
    found, notes = rows(tmp_path / "x.conll", "# newdoc\na X\n# SYM\nb Y\n\n# newpar\n# SYM\nc X\n\n# X\n")
    assert found == [(["a", "#", "b"], ["X", "SYM", "Y"]), (["#", "c"], ["SYM", "X"]), (["#"], ["X"])]
    assert "2 comment lines are skipped, the first in line 1: '# newdoc'" in notes[0]


def test_a_span_that_only_a_number_sign_begins_is_a_span(tmp_path: Path) -> None:
    found, notes = rows(tmp_path / "x.conll", "# B-X\n1 I-X\n\na O\n")
    assert found == [(["#", "1"], ["B-X", "I-X"]), (["a"], ["O"])]
    assert notes == []


def test_the_whole_file_is_judged(tmp_path: Path) -> None:
    many = TWO.format(c="") * 2100
    found, notes = rows(tmp_path / "x.conll", many + "# one\nc O\n\n# two\nd O\n\n# three\ne O\n\n# O\nf B-Y\n")
    assert [tokens for tokens, _ in found[2100:]] == [["c"], ["d"], ["e"], ["#", "f"]]
    assert "3 comment lines are skipped, the first in line 6301: '# one'" in notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a _ _ O\n# _ O\nb _ _ O\n", "line 2: 3 columns, but other lines have 4"),
        ("a\tO\n#\nb\tO\n", "line 2: 1 column, but other lines have 2; the token '#' has no tag"),
        ("#MeToo\na O\nb O\n", "line 1: 1 column, but other lines have 2; the token '#MeToo' has no tag"),
    ],
)
def test_a_broken_line_with_a_number_sign_is_no_comment(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        rows(tmp_path / "x.conll", content)
    assert str(error.value).endswith(message)


def test_hashtags_alone_and_files_without_tags(tmp_path: Path) -> None:
    assert rows(tmp_path / "x.conll", "#a X\n#b Y\n\n#c X\n")[0] == [(["#a", "#b"], ["X", "Y"]), (["#c"], ["X"])]
    (tmp_path / "y.conll").write_text("# sent_id = 1\na\nb\n\n#\nc\n")
    assert read(tmp_path / "y.conll")["tokens"][:] == [["a", "b"], ["#", "c"]]
