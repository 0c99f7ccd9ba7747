from __future__ import annotations

import json

import numpy as np
import pytest

from unroll.data.options import TextOptions
from unroll.data.text.word_vocab import MOST_CHARACTERS, WordCharVocabulary, as_tokens, bad_tokens
from unroll.errors import DataError, RunError

SENTENCES = [["The", "cat", "saw", "the", "Dog"], ["the", "dog", "ran"], ["A", "cat"]]


def learn(**options) -> WordCharVocabulary:
    return WordCharVocabulary.learn(iter(SENTENCES), TextOptions(**options))


def test_words_in_order_of_count_then_text() -> None:
    encoder = learn(min_freq=1)
    assert encoder.words == ("the", "cat", "dog", "a", "ran", "saw")
    assert encoder.size == 8
    assert learn().words == ("the", "cat", "dog")
    assert learn(vocab_size=4).words == ("the", "cat")
    assert learn(vocab_size=0, min_freq=1).size == 8
    assert learn(lowercase=False).words == ("cat", "the")


def test_seen_tokens_are_all_there_as_they_are_written() -> None:
    assert learn().seen == ("cat", "the", "A", "Dog", "The", "dog", "ran", "saw")


def test_a_table_has_word_ids_character_ids_and_places_among_the_seen() -> None:
    encoder = learn()
    assert encoder.characters == ("a", "t", "e", "h", "c", "g", "o")
    table = encoder.table(["Dog", "bat", "the", "cats"])
    assert table.words.tolist() == [0, 4, 1, 2, 1]
    assert table.seen.tolist() == [-1, 3, -1, 1, -1]
    assert table.characters.tolist() == [[0] * 4, [1, 8, 7, 0], [1, 2, 3, 0], [3, 5, 4, 0], [6, 2, 3, 1]]
    assert encoder.table([]).characters.shape == (1, 1)


def test_case_is_folded_for_words_and_kept_for_characters() -> None:
    encoder = WordCharVocabulary.learn([["Aa", "aA", "AA"]], TextOptions())
    assert encoder.words == ("aa",)
    assert set(encoder.characters) == {"A", "a"}


def test_unicode_forms_are_one_word() -> None:
    encoder = WordCharVocabulary.learn([["cafe\u0301", "caf\u00e9", "\ufb01n", "fin"]], TextOptions())
    assert encoder.words == ("caf\u00e9", "fin")
    assert encoder.seen == ("caf\u00e9", "fin")
    assert len(set(encoder.table(["cafe\u0301", "caf\u00e9"]).words.tolist()[1:])) == 1
    assert WordCharVocabulary.learn([["\ufb01n", "fin"] * 2], TextOptions(normalize="NFC")).words == ("fin", "\ufb01n")


def test_a_very_long_token_keeps_both_ends() -> None:
    encoder = WordCharVocabulary.learn([["ab" * 500] * 2 + ["c" * 2]], TextOptions())
    table = encoder.table(["a" * 500 + "b" * 500])
    assert table.characters.shape == (2, MOST_CHARACTERS)
    a, b = table.characters[1, 0], table.characters[1, -1]
    assert table.characters[1].tolist() == [a] * 32 + [b] * 32


def test_added_words_come_last() -> None:
    encoder = learn().extended(["fish", "cat", "ran", "fish"])
    assert encoder.words == ("the", "cat", "dog", "fish", "ran")
    assert encoder.id_of("fish") == 5
    assert encoder.id_of("bird") == 1
    assert encoder.seen == learn().seen


def test_an_empty_vocabulary_is_refused() -> None:
    with pytest.raises(DataError, match=r"no word occurs 9 times \(min_freq\)"):
        learn(min_freq=9)


def test_json_there_and_back() -> None:
    encoder = learn(lowercase=False).extended(["电影"])
    again = WordCharVocabulary.from_json(encoder.to_json())
    assert (again.words, again.characters, again.seen) == (encoder.words, encoder.characters, encoder.seen)
    assert again.options == encoder.options
    assert again.to_json() == encoder.to_json()
    tokens = ["The", "电影", "?"]
    for name in ("words", "characters", "seen"):
        assert np.array_equal(getattr(again.table(tokens), name), getattr(encoder.table(tokens), name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "unroll.text/1"}, "not in the form 'unroll.tokens/1'"),
        ({"options": {"min_freq": 0}}, "its options cannot be used"),
        ({"options": {"mincount": 1}}, "its options cannot be used"),
        ({"options": None}, "its options cannot be used"),
        ({"words": "the"}, "its words are not a list of texts"),
        ({"words": ["the", 3]}, "its words are not a list of texts"),
        ({"words": ["the", "the"]}, "one of its words is there twice"),
        ({"characters": ["ab"]}, "one of its characters is several"),
        ({"seen": None}, "its seen are not a list of texts"),
    ],
)
def test_a_damaged_document_is_refused(change: dict, message: str) -> None:
    document = json.loads(learn().to_json()) | change
    with pytest.raises(RunError, match=message):
        WordCharVocabulary.from_json(json.dumps(document))


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(RunError, match="not JSON"):
        WordCharVocabulary.from_json("{")


def test_bad_tokens_are_named() -> None:
    values = [["fine", "电"], None, "a b", [], ["a", None], ["a", 3], ["", "a"], ["\ud800"], ("a",), 7]
    assert dict(bad_tokens(values)) == {
        1: "'tokens' is null",
        2: "'tokens' holds str, not a list of tokens",
        3: "'tokens' is empty",
        4: "'tokens' has a null at token 2",
        5: "'tokens' has int 3 at token 2, where text is needed",
        6: "'tokens' has an empty text at token 1",
        7: "'tokens' has half a character (a lone surrogate) at token 1",
        9: "'tokens' holds int, not a list of tokens",
    }


def test_a_text_is_split_and_everything_else_is_left() -> None:
    assert as_tokens(" It's here, 电影! ") == ["It's", "here,", "电影!"]
    assert as_tokens(" It's here, 电影! ", "words") == ["It's", "here", ",", "电", "影", "!"]
    assert as_tokens(["a b"]) == ["a b"]
    assert as_tokens(None) is None
