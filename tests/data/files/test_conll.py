from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from unroll.data.files.dataset import Unreadable, read, stream
from unroll.errors import DataError

CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""

CONLLU = """# sent_id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tv\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tp\tCase=Acc\t1\tobj\t1:obj\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\t_\tDefinite=Def\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\tn\t_\t1\tobl\t_\tSpaceAfter=No
5.1\tvamos\tir\tVERB\t_\t_\t_\t_\t1:conj\t_

# sent_id = 2
1\tdel mar\tdel mar\tX\t_\t_\t0\troot\t_\t_
"""


def rows(path: Path) -> list[dict]:
    got = read(path).to_list()
    assert list(stream(path)) == got
    return got


@pytest.mark.parametrize("ending", [".conll", ".conll2003", ".bio", ".iob", ".iob2", ".iobes", ".conll.gz", ".BIO.xz"])
def test_a_sentence_of_a_column_file_is_a_row_of_lists(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"eng{ending}"
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, lambda data: data)
    path.write_bytes(pack(CONLL.encode()))
    first, second = rows(path)
    assert first["tokens"] == first["column1"] == ["EU", "rejects", "German"]
    assert first["tags"] == first["column4"] == ["B-ORG", "O", "B-MISC"]
    assert second["column2"] == ["NNP", "NNP"]
    assert second["column3"] == ["B-NP", "I-NP"]
    assert set(first) == {"tokens", "tags", "column1", "column2", "column3", "column4"}


def test_tabs_keep_blanks_within_a_token(tmp_path: Path) -> None:
    path = tmp_path / "new.conll"
    path.write_bytes("New York\tB-LOC\r\n\u2028\tO\r\n\t \r\n电影\tO".encode())
    assert [(r["tokens"], r["tags"]) for r in rows(path)] == [
        (["New York", "\u2028"], ["B-LOC", "O"]),
        (["电影"], ["O"]),
    ]


def test_a_file_with_one_column_has_no_tags(tmp_path: Path) -> None:
    path = tmp_path / "new.conll"
    path.write_text("a\nb\n\n\n\nc")
    assert rows(path) == [{"tokens": ["a", "b"], "column1": ["a", "b"]}, {"tokens": ["c"], "column1": ["c"]}]


def test_a_new_document_ends_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "new.conll"
    path.write_text("a X\n-DOCSTART-\nb Y\n")
    assert [r["tokens"] for r in rows(path)] == [["a"], ["b"]]


def test_the_words_of_conllu_are_read_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "es.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first, second = rows(path)
    assert first["tokens"] == first["form"] == ["Vamos", "nos", "a", "el", "mar"]
    assert first["tags"] == first["upos"] == ["VERB", "PRON", "ADP", "DET", "NOUN"]
    assert first["head"] == ["0", "1", "5", "5", "1"]
    assert first["feats"] == ["Mood=Imp", "Case=Acc", "_", "Definite=Def", "_"]
    assert first["misc"][-1] == "SpaceAfter=No"
    assert second["lemma"] == ["del mar"]


def test_a_conllu_file_may_lack_tags(tmp_path: Path) -> None:
    path = tmp_path / "blind.conllu"
    path.write_text("1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n2\t_\t_\tSYM\t_\t_\t_\t_\t_\t_\n")
    (row,) = rows(path)
    assert row["tokens"] == ["a", "_"]
    assert row["tags"] == [None, "SYM"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conll", "a X\nb X Y\n", "'{}', line 2: 3 columns, but other lines have 2"),
        ("a.conll", "a X\n\nb\n", "'{}', line 3: 1 column, but other lines have 2; the token 'b' has no tag"),
        ("a.conll", "a\tX\nb\t\n", "'{}', line 2: column 2 is empty"),
        ("a.conll", "a\tX\n\tX\n", "'{}', line 2: column 1 is empty"),
        ("a.conllu", "1\ta\t_\n", "'{}', line 1: 3 columns, but CoNLL-U has 10, parted by tabs"),
        (
            "a.conllu",
            CONLLU.replace("4\tel", "5\tel"),
            "'{}', line 8: the id is '5', but the next word of the sentence is 4",
        ),
        (
            "a.conllu",
            CONLLU.replace("1\tdel", "x\tdel"),
            "'{}', line 13: the id is 'x', but the next word of the sentence is 1",
        ),
        ("a.conllu", CONLLU.replace("PRON", ""), "'{}', line 5: column 4 is empty; CoNLL-U writes _ there"),
        ("a.conll", "", "'{}' is empty"),
        ("a.conll", "\n \n", "'{}' has no rows"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    for reading in (lambda: read(path), lambda: list(stream(path))):
        with pytest.raises(DataError) as error:
            reading()
        assert str(error.value) == message.format(path)


def test_skipping_leaves_out_the_sentence_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_bytes(b"a X\n\nb X\nc\nd X\n\ne\xff X\n\nf X\n")
    skipped: list[str] = []
    dataset = read(path, skipped=skipped)
    assert dataset["tokens"][:] == [["a"], ["f"]]
    assert skipped == [
        f"'{path}', line 4: 1 column, but other lines have 2; the token 'c' has no tag",
        f"'{path}', line 7: byte 0xFF is not utf-8",
    ]
    got = list(stream(path, skip=True))
    assert [isinstance(row, Unreadable) for row in got] == [False, True, True, False]


def test_a_first_line_that_is_unlike_the_others_is_the_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("a b X\n\nb X\n\nc Y\n")
    with pytest.raises(DataError, match=r"line 1: 3 columns, but other lines have 2$"):
        read(path)
    skipped: list[str] = []
    assert read(path, skipped=skipped)["tokens"][:] == [["b"], ["c"]]
    assert skipped == [f"'{path}', line 1: 3 columns, but other lines have 2"]
    path.write_text("New York X\n\nNew York\tX\n\nRome\tY\n")
    with pytest.raises(DataError, match=r"line 1: 1 column, but other lines have 2; the token 'New York X' has no tag"):
        read(path)


def test_another_encoding_is_guessed_and_read(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_bytes("电影 NOUN\n".encode("gbk"))
    with pytest.raises(DataError, match=r"line 1: byte 0xB5 is not utf-8; --encoding gbk may be right"):
        read(path)
    assert read(path, encoding="gbk")[0]["tokens"] == ["电影"]


def test_the_treebank_has_its_published_counts(public_data: Path) -> None:
    path = public_data / "ud_english_ewt" / "en_ewt-ud-dev.conllu.gz"
    sentences = list(stream(path))
    assert len(sentences) == 2001
    assert sum(len(s["tokens"]) for s in sentences) == 25147
    assert len({tag for s in sentences for tag in s["tags"]}) == 17
