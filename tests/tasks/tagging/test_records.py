from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unroll.data.labels import Labels
from unroll.data.options import SourceOptions, TextOptions
from unroll.data.text.word_vocab import WordCharVocabulary
from unroll.errors import DataError
from unroll.tasks.tagging.options import TaggingOptions
from unroll.tasks.tagging.records import Sentences, checked, load_sentences


def given(rows: list[tuple[Any, Any]], options: TaggingOptions | None = None, **more: Any) -> Sentences:
    tokens = [t for t, _ in rows]

    def values(at: np.ndarray | None = None) -> Any:
        return iter(tokens) if at is None else (tokens[i] for i in at)

    return checked(values, [t for _, t in rows], len(rows), options or TaggingOptions(), "X", **more)


def test_tags_are_numbered_as_they_appear_and_then_as_the_labels_are() -> None:
    found = given([(["a", "b"], ["Y", "X"]), (["c"], ["Y"])])
    assert found.names == ("Y", "X")
    assert [t.tolist() for t in found.tags] == [[0, 1], [0]]
    encoder = WordCharVocabulary.learn([["a", "b", "c"]], TextOptions(min_freq=1))
    part = found.take(np.array([1, 0])).encode(encoder, Labels.learn(found.names))
    assert [t.tolist() for t in part.tags.take(np.arange(2))] == [[1], [1, 0]]
    assert list(found.take(np.array([1])).tokens()) == [["c"]]


def test_texts_are_split_and_tags_may_be_numbers() -> None:
    found = given([("a b.", "A B"), (("c", "d"), [1, 2.0])])
    assert found.names == ("A", "B", "1", "2")
    assert list(found.take(np.array([0])).tokens()) == [["a", "b."]]
    assert list(given([("a b.", "A B C")], TaggingOptions(tokenize="words")).tokens()) == [["a", "b", "."]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((["a", "b"], ["X", "Y", "X"]), "'tags' has 3 tags for 2 tokens"),
        ((["a", "b"], ["X"]), "'tags' has 1 tag for 2 tokens"),
        ((["a", "b"], ["X", None]), "'tags' has no tag at token 2"),
        ((["a", "b"], ["", "X"]), "'tags' has no tag at token 1"),
        ((["a"], [["X"]]), "'tags' has no tag at token 1"),
        ((["a"], None), "'tags' is null"),
        ((["a"], 3), "'tags' holds int, not a list of tags"),
        (([], []), "'tokens' is empty"),
        ((None, ["X"]), "'tokens' is null"),
        ((["a", ""], ["X", "X"]), "'tokens' has an empty text at token 2"),
    ],
)
def test_bad_sentences_are_named_or_left_out(row: tuple[Any, Any], reason: str) -> None:
    rows = [(["fine"], ["X"]), row, (["fine", "too"], ["Y", "X"])]
    with pytest.raises(DataError) as error:
        given(rows)
    assert str(error.value) == f"1 of 3 rows of X cannot be used (row 2: {reason}); --skip-bad-rows leaves them out"
    said: list[str] = []
    found = given(rows, skip=True, say=said.append)
    assert found.rows.tolist() == [0, 2]
    assert said == [f"left out: 1 of 3 rows of X cannot be used (row 2: {reason})"]
    assert (
        len(found.encode(WordCharVocabulary.learn([["fine"]], TextOptions(min_freq=1)), Labels("single", ["X", "Y"])))
        == 2
    )


def test_tags_that_training_did_not_have_come_last_and_are_told() -> None:
    rows = [(["a"], ["NOUN"]), (["a", "b"], ["VERB", "NUON"]), (["c", "d"], ["NUON", "X"])]
    said: list[str] = []
    found = given(rows, known=("NOUN", "VERB"), say=said.append)
    assert found.names == ("NOUN", "VERB", "NUON", "X")
    told = "X: 3 tokens have tags that the training data did not, counted as wrong; the first is 'NUON' in row 2"
    assert said == [told + "; did you mean 'NOUN'?"]
    part = found.encode(WordCharVocabulary.learn([["a"]], TextOptions(min_freq=1)), Labels("single", ["NOUN", "VERB"]))
    assert part.unseen_tags == ("NUON", "X")
    assert [t.tolist() for t in part.tags.take(np.arange(3))] == [[0], [1, 2], [2, 3]]
    given([rows[0], ([], ["Y"]), (["a"], ["Y"])], known=("NOUN", "VERB"), skip=True, say=said.append)
    assert "X: 1 token has a tag that the training data did not" in said[-1]
    assert "; the first is 'Y' in row 3" in said[-1]
    with pytest.raises(DataError, match=r"no token of X has a tag that the training data had; the first is 'NUON' in"):
        given(rows[2:], known=("NOUN", "VERB"))


def test_a_named_scheme_is_kept_to() -> None:
    rows = [(["a", "b"], ["B-X", "I-X"]), (["a", "b"], ["O", "I-X"])]
    with pytest.raises(DataError, match=r"row 2: 'tags' is not in the scheme BIO: 'I-X' at token 2 cannot follow 'O'"):
        given(rows, TaggingOptions(scheme="BIO"))
    assert len(given(rows)) == 2


def test_files_are_read_with_their_own_columns(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("a DT X\nb NN Y\n")
    with (tmp_path / "a.jsonl").open("w") as file:
        file.write(json.dumps({"words": ["a", "b"], "pos": ["DT", "NN"]}) + "\n")
    source = SourceOptions()
    found = load_sentences([str(tmp_path / "a.conll")], TaggingOptions(), source, print)
    assert found.names == ("X", "Y")
    found = load_sentences([str(tmp_path / "a.conll")], TaggingOptions(tags="column2"), source, print)
    assert found.names == ("DT", "NN")
    options = TaggingOptions(tokens="words", tags="pos")
    assert load_sentences([str(tmp_path / "a.jsonl")], options, source, print).names == ("DT", "NN")
    with pytest.raises(DataError, match=r"has no column 'tokens'"):
        load_sentences([str(tmp_path / "a.jsonl")], TaggingOptions(), source, print)


def test_broken_sentences_of_a_file_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("a X\n\nb\n\nc Y\n")
    said: list[str] = []
    source = SourceOptions(skip_bad_rows=True)
    found = load_sentences([str(tmp_path / "a.conll")], TaggingOptions(), source, said.append)
    assert len(found) == 2
    assert len(said) == 1
    assert "1 sentence left out because of broken lines, the first: " in said[0]
    assert "line 3: 1 column" in said[0]


def test_numbers_that_the_data_names_are_tags_by_name(tmp_path: Path) -> None:
    import datasets

    kinds = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER", "NA"])),
        }
    )
    rows = {"tokens": [["a", "b"], ["c"], ["d"]], "tags": [[1, 0], [2], [-1]]}
    table = datasets.Dataset.from_dict(rows, features=kinds)
    table.to_parquet(str(tmp_path / "a.parquet"))
    for data in ([str(tmp_path / "a.parquet")], table):
        with pytest.raises(DataError, match=r"1 of 3 rows .* \(row 3: 'tags' has no tag at token 1\)"):
            load_sentences(data, TaggingOptions(), SourceOptions(), print)
        found = load_sentences(data, TaggingOptions(), SourceOptions(skip_bad_rows=True), lambda _: None)
        assert found.names == ("B-PER", "O", "NA")
        assert [tags.tolist() for tags in found.tags] == [[0, 1], [2]]


@pytest.mark.parametrize("name", ["NA", "null", "None", "N/A", "nan"])
def test_what_other_programs_take_for_missing_is_a_tag(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.conll").write_text(f"a {name}\nb O\n")
    (tmp_path / "a.jsonl").write_text(json.dumps({"tokens": ["a", "b"], "tags": [name, "O"]}) + "\n")
    (tmp_path / "a.csv").write_text(f"tokens,tags\na b,{name} O\n")
    for ending in ("conll", "jsonl", "csv"):
        found = load_sentences([str(tmp_path / f"a.{ending}")], TaggingOptions(), SourceOptions(), print)
        assert found.names == (name, "O")


def test_spans_are_written_in_the_scheme_to_convert_to() -> None:
    rows = [(["a", "b", "c"], ["O", "I-X", "I-X"]), (["d"], ["I-Y"]), (["e"], ["BX"])]
    options = TaggingOptions(convert="iobes")
    with pytest.raises(
        DataError, match=r"row 3: 'tags' cannot be converted to BIOES: 'BX' at token 1 marks no span\); --skip"
    ):
        given(rows, options)
    found = given(rows, options, skip=True)
    assert found.names == ("O", "B-X", "E-X", "S-Y")
    assert [tags.tolist() for tags in found.tags] == [[0, 1, 2], [3]]
    assert found.rows.tolist() == [0, 1]
    new = given([(["a", "b"], ["B-Y", "B-Z"])], options, known=found.names)
    assert new.names == (*found.names, "S-Z")
    assert new.tags[0].tolist() == [3, 4]
    outside = given([(["a"], ["O"])], options, known=found.names)
    assert outside.tags[0].tolist() == [0]
