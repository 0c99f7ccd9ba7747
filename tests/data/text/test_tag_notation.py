from __future__ import annotations

import pytest

from unroll.data.text.tag_notation import STANDARD, Notation, notation_of


@pytest.mark.parametrize(
    ("tags", "notation", "read"),
    [
        (["O", "B-PER", "I-a-b"], STANDARD, ["O", "B-PER", "I-a-b"]),
        (["O", "B_PER", "I_PER_A"], Notation("_"), ["O", "B-PER", "I-PER_A"]),
        (["o", "b-per", "i-per"], STANDARD, ["O", "B-per", "I-per"]),
        (["O", "PER-B", "LOC-a-I"], Notation("-", letter_last=True), ["O", "B-PER", "I-LOC-a"]),
        (["O", "PER_B", "PER_E"], Notation("_", letter_last=True), ["O", "B-PER", "E-PER"]),
        (["O", "B:PER", "L:PER", "U:LOC"], Notation(":"), ["O", "B-PER", "L-PER", "U-LOC"]),
    ],
)
def test_other_ways_of_writing_are_found(tags: list[str], notation: Notation, read: list[str]) -> None:
    found = notation_of(tags)
    assert found == notation
    assert [notation.standard(tag) for tag in tags] == read


@pytest.mark.parametrize(
    "tags", [["NOUN", "VERB", "O"], ["B_X", "I_X"], ["NN_S", "O"], ["O", "B_X", "C_X"], ["S_x", "O"]]
)
def test_other_tags_have_no_notation(tags: list[str]) -> None:
    assert notation_of(tags) is None
