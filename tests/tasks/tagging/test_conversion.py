from __future__ import annotations

import itertools

import numpy as np
import pytest

from unroll.data.text.scheme_names import SCHEMES
from unroll.tasks.tagging.conversion import convert, convert_tags

ONE = {
    "BIO": "B-X I-X I-X B-X O B-Y I-Y O",
    "IOB1": "I-X I-X I-X B-X O I-Y I-Y O",
    "IOE2": "I-X I-X E-X E-X O I-Y E-Y O",
    "IOE1": "I-X I-X E-X I-X O I-Y I-Y O",
    "BIOES": "B-X I-X E-X S-X O B-Y E-Y O",
    "BILOU": "B-X I-X L-X U-X O B-Y L-Y O",
    "BMES": "B-X M-X E-X S-X O B-Y E-Y O",
    "BMEWO": "B-X M-X E-X W-X O B-Y E-Y O",
}


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SCHEMES, repeat=2)))
def test_every_scheme_becomes_every_other(source: str, target: str) -> None:
    assert convert(ONE[source].split(), target) == ONE[target].split()


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("O I-X I-X", "O B-X I-X"),
        ("B-X I-Y", "B-X B-Y"),
        ("B-X E-X O S-X", "B-X I-X O B-X"),
        ("O E-X I-X", "O B-X B-X"),
    ],
)
def test_what_breaks_every_scheme_is_mended(broken: str, mended: str) -> None:
    assert convert(broken.split(), "BIO") == mended.split()


def test_sentences_are_numbered_anew_after_the_known_tags() -> None:
    names = ("O", "I-X", "B-X")
    sentences = [np.array([0, 1, 2]), np.array([1, 1])]
    found, numbers = convert_tags(names, sentences, "BIOES", ("O", "S-X"))
    assert found == ("O", "S-X", "B-X", "E-X")
    assert [n.tolist() for n in numbers] == [[0, 1, 1], [2, 3]]


@pytest.mark.parametrize("tags", [["O", "b-per", "i-per"], ["O", "B_per", "I_per"], ["O", "per-B", "per-I"]])
def test_other_notations_are_read(tags: list[str]) -> None:
    found, numbers = convert_tags(tags, [np.array([1, 2, 0])], "BILOU")
    assert found == ("B-per", "L-per", "O")
    assert numbers[0].tolist() == [0, 1, 2]


def test_a_tag_that_marks_no_span_is_named() -> None:
    found, numbers = convert_tags(["O", "B-X", "BX"], [np.array([0, 2]), np.array([1])], "BIO")
    assert numbers[0] == "cannot be converted to BIO: 'BX' at token 2 marks no span"
    assert (found, numbers[1].tolist()) == (("B-X",), [0])
