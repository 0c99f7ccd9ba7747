from __future__ import annotations

from unroll.data.label_spelling import spelling_notes


def test_spellings_of_one_label_and_of_two_are_said() -> None:
    assert spelling_notes(["pos", " pos", "neg", "Neg"]) == [
        "taken as one label: ' pos' and 'pos'",
        "taken as different labels, though they differ in case alone: 'Neg' and 'neg'",
    ]
    assert spelling_notes([1, "1", 1.0, "1.0"]) == ["taken as one label: '1' and '1.0'"]
    assert spelling_notes([["a", "b"], ["a "], []]) == ["taken as one label: 'a' and 'a '"]
    assert spelling_notes(["a", "b", None]) == []
