from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unroll.tasks.tagging.options import TaggingOptions
from unroll.tasks.tagging.records import Sentences, checked
from unroll.tasks.tagging.scheme import settle_scheme


def given(tags: list[str], where: str = "X", **more: Any) -> Sentences:
    lists = [t.split() for t in tags]

    def values(at: np.ndarray | None = None) -> Any:
        return (["w"] * len(lists[i]) for i in (range(len(lists)) if at is None else at))

    return checked(values, lists, len(lists), TaggingOptions(), where, **more)


def settled(main: Sentences, held: Sentences | None = None, **options: Any) -> tuple[str | None, list[str]]:
    said: list[str] = []
    return settle_scheme(TaggingOptions(**options), main, held, said.append), said


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O B-X I-X", "B-X O"], "BIO"),
        (["I-X B-X O"], "IOB1"),
        (["I-X E-X E-X O"], "IOE2"),
        (["B-X L-X U-X O"], "BILOU"),
        (["B M E", "S S"], "BMES"),
        (["N V", "N D"], None),
    ],
)
def test_data_that_keeps_to_a_scheme_needs_no_word(tags: list[str], scheme: str | None) -> None:
    assert settled(given(tags)) == (scheme, [])


def test_exceptions_are_named_and_kept() -> None:
    main = given(["O I-X I-X", "I-X B-X", "O O"] * 20 + ["O B-X", "O", "O B-X I-X"])
    scheme, said = settled(main)
    assert scheme == "IOB1"
    assert said == [
        (
            "X: tags are in the scheme IOB1, but for 2 of 42 sentences with spans, the first in row 61"
            " ('B-X' at token 2 cannot follow 'O'); decoder crf does not learn from these;"
            " --convert IOB1 writes their spans in the scheme"
        )
    ]
    assert settled(main, scheme="none") == (None, [])
    assert settled(main, scheme="IOB2") == ("BIO", [])
    assert settled(main, convert="IOBES") == ("BIOES", [])


def test_the_validation_data_has_a_say() -> None:
    main = given(["O B-X I-X"] * 39)
    held = given(["B-X O", "O I-X", "O I-Z"], "V", known=main.names)
    scheme, said = settled(main, held)
    assert scheme == "BIO"
    assert "but for 1 of 41 sentences with spans, the first in row 2 of V ('I-X' at token 2 cannot" in said[0]
    assert "decoder crf does not learn from this one" in said[0]


def test_no_scheme_is_said_with_the_best_two() -> None:
    scheme, said = settled(given(["O I-X", "B-X I-X", "B-X O"]))
    assert scheme is None
    assert said == [
        (
            "X: tags mark spans, but fewer than 95% of the 3 sentences with spans keep to one scheme, so any sequence"
            " is allowed: 66.7% keep to BIO, 33.3% to IOB1; the first that is not in BIO is row 1"
            " ('I-X' at token 2 cannot follow 'O'); --convert BIO writes all in one scheme"
        )
    ]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (
            ["O B_PER I_PER"],
            (
                "X: tags such as 'B_PER' look like spans but are not written 'B-PER', so they are taken as they are,"
                " without figures for spans; --convert BIO writes them so"
            ),
        ),
        (
            ["o b-per"],
            (
                "X: tags such as 'b-per' look like spans but are not written 'B-per', so they are taken as they are,"
                " without figures for spans; --convert BIO writes them so"
            ),
        ),
        (
            ["O PER-B PER-I"],
            (
                "X: tags such as 'PER-B' look like spans but are not written 'B-PER', so they are taken as they are,"
                " without figures for spans; --convert BIO writes them so"
            ),
        ),
        (
            ["O B-X I-X"] * 30 + ["O BX"],
            (
                "X: all tags would mark spans but for those of 1 of 31 sentences, the first 'BX' at token 2 of row 31,"
                " so they are taken as they are, without figures for spans; --scheme BIO --skip-bad-rows leaves those"
                " sentences out"
            ),
        ),
        (
            ["0 3 4"],
            (
                "X: the tags are the numbers 0, 3, ..., and the data does not say what they stand for, so they are"
                " taken as they are, without figures for spans"
            ),
        ),
    ],
)
def test_tags_that_nearly_mark_spans_get_a_word(tags: list[str], said: str) -> None:
    assert settled(given(tags)) == (None, [said])
