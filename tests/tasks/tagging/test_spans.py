from __future__ import annotations

import itertools
import random

import pytest

from unroll.data.text.bio import breach
from unroll.data.text.scheme_names import SCHEMES
from unroll.tasks.tagging.spans import Counts, Span, count, spans, total, written

# Whether conlleval (2004, `startOfChunk` and `endOfChunk`; with E and S as seqeval 1.2.2 has them) lets a chunk begin
# at a tag, given the one before, where both have one type. Written out; the rows are the tags before.
BEGINS = {
    #     B      I      E      S
    "O": (True, True, True, True),
    "B": (True, False, False, True),
    "I": (True, False, False, True),
    "E": (True, True, True, True),
    "S": (True, True, True, True),
}


def split(sentences: str) -> list[list[str]]:
    return [sentence.split() for sentence in sentences.split("|")]


@pytest.mark.parametrize(("before", "after"), list(itertools.product("OBIES", "BIES")))
@pytest.mark.parametrize("same", [True, False])
def test_where_a_chunk_begins(before: str, after: str, same: bool) -> None:
    first = "O" if before == "O" else f"{before}-X"
    found = spans([first, f"{after}-{'X' if same else 'Y'}"])
    begins = BEGINS[before]["BIES".index(after)] or not same
    kind = "X" if same else "Y"
    if before == "O":
        assert found == [Span(kind, 1, 2)]
    elif begins:
        assert found == [Span("X", 0, 1), Span(kind, 1, 2)]
    else:
        assert found == [Span("X", 0, 2)]


@pytest.mark.parametrize("before", "BIES")
def test_a_chunk_ends_before_what_is_outside_and_with_the_sentence(before: str) -> None:
    assert spans([f"{before}-X", "O"]) == [Span("X", 0, 1)]
    assert spans(["O", f"{before}-X"]) == [Span("X", 1, 2)]


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("", []),
        ("O O", []),
        ("B-X I-X O B-Y", [("X", 0, 2), ("Y", 3, 4)]),
        ("I-X I-X", [("X", 0, 2)]),
        ("O I-X I-Y", [("X", 1, 2), ("Y", 2, 3)]),
        ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
        ("B-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
        ("S-X B-X I-X E-X I-X", [("X", 0, 1), ("X", 1, 4), ("X", 4, 5)]),
        ("B-X E-X E-X", [("X", 0, 2), ("X", 2, 3)]),
        ("B I O I", [("", 0, 2), ("", 3, 4)]),
    ],
)
def test_spans_of_whole_sentences(tags: str, wanted: list[tuple[str, int, int]]) -> None:
    assert spans(tags.split()) == wanted


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("BIO", "B-X I-X I-X B-X O B-Y B-Z"),
        ("IOB1", "I-X I-X I-X B-X O I-Y I-Z"),
        ("IOE2", "I-X I-X E-X E-X O E-Y E-Z"),
        ("IOE1", "I-X I-X E-X I-X O I-Y I-Z"),
        ("BIOES", "B-X I-X E-X S-X O S-Y S-Z"),
        ("BILOU", "B-X I-X L-X U-X O U-Y U-Z"),
        ("BMES", "B-X M-X E-X S-X O S-Y S-Z"),
        ("BMEWO", "B-X M-X E-X W-X O W-Y W-Z"),
    ],
)
def test_spans_are_written_in_each_scheme_and_read_again(scheme: str, tags: str) -> None:
    found = [Span("X", 0, 3), Span("X", 3, 4), Span("Y", 5, 6), Span("Z", 6, 7)]
    assert written(found, 7, scheme) == tags.split()
    assert spans(tags.split()) == found
    typeless = [Span("", s.start, s.end) for s in found[:2]]
    letters = [tag.partition("-")[0] for tag in tags.split()[:5]]
    assert written(typeless, 5, scheme) == letters
    assert spans(letters) == typeless


@pytest.mark.parametrize("scheme", SCHEMES)
def test_random_spans_are_legal_in_each_scheme_and_come_back(scheme: str) -> None:
    rng = random.Random(0)  # noqa: S311 (test data)
    for _ in range(300):
        found, at = [], 0
        while at < 12:
            length = rng.choice([1, 1, 2, 3])
            if rng.random() < 0.7:
                found.append(Span(rng.choice("XY"), at, at + length))
            at += length
        tags = written(found, at, scheme)
        assert breach(tags, scheme) == ""
        assert spans(tags) == found


def test_the_counts_are_those_of_seqevals_documentation() -> None:
    gold = split("O O O B-MISC I-MISC I-MISC O | B-PER I-PER O")
    answered = split("O O B-MISC I-MISC I-MISC I-MISC O | B-PER I-PER O")
    found = count(gold, answered)
    assert found == {"MISC": Counts(1, 1, 0), "PER": Counts(1, 1, 1)}
    whole = total(found.values()).scores()
    assert (whole["precision"], whole["recall"], whole["f1"]) == (0.5, 0.5, 0.5)
    assert found["MISC"].scores()["f1"] == 0.0
    assert found["PER"].scores()["f1"] == 1.0
    assert count(split("B-NP I-NP O"), split("I-NP I-NP O")) == {"NP": Counts(1, 1, 1)}


def test_counts_by_hand() -> None:
    gold = split("B-X I-X O B-Y | O B-X O | B-Y I-Y")
    answered = split("B-X O O B-Y | B-X B-X O | B-X I-X")
    found = count(gold, answered)
    # X: gold 0-2, 1-2; answered 0-1, 0-1, 1-2, 0-2. Y: gold 3-4, 0-2; answered 3-4.
    assert found == {"X": Counts(2, 4, 1), "Y": Counts(2, 1, 1)}
    scores = total(found.values()).scores()
    assert scores["precision"] == pytest.approx(2 / 5)
    assert scores["recall"] == pytest.approx(2 / 4)
    assert scores["f1"] == pytest.approx(4 / 9)


def test_nothing_to_find() -> None:
    assert count([["O"]], [["O"]]) == {}
    assert total([]).scores() == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "gold": 0, "found": 0, "right": 0}
