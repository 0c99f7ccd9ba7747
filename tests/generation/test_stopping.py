from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from unroll.data.options import TextOptions
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import OptionError
from unroll.generation.stopping import StopStrings, texts


def cuts(text: str) -> Iterator[list[str]]:
    """Every way to cut a text into pieces."""
    for places in itertools.product([False, True], repeat=len(text) - 1):
        at = [0, *(i + 1 for i, cut in enumerate(places) if cut), len(text)]
        yield [text[a:b] for a, b in itertools.pairwise(at)]


@pytest.mark.parametrize(
    ("text", "stops", "wanted"),
    [
        ("one two", [], "one two"),
        ("one two", ["two"], "one "),
        ("one two", ["three"], "one two"),
        ("aaab", ["aab"], "a"),
        ("ababac", ["abac"], "ab"),
        ("abcd", ["abcd", "bc"], "a"),  # complete first, though it begins later
        ("abcd", ["bc", "abc"], ""),  # complete together: the one that begins first
        ("xabcx", ["abd", "c"], "xab"),
        ("stop stop", ["stop"], ""),
        ("电影\n\n好", ["\n\n"], "电影"),
        ("endi", ["ending"], "endi"),  # never complete
    ],
)
def test_stop_strings_whatever_the_pieces(text: str, stops: list[str], wanted: str) -> None:
    for pieces in cuts(text):
        found = StopStrings(stops)
        given = [found.push(piece) for piece in pieces]
        assert "".join(given) + found.finish() == wanted
        assert found.stopped == any(stop in text for stop in stops)


def test_only_what_may_yet_become_a_stop_string_is_held_back() -> None:
    found = StopStrings(["abc", "bx"])
    assert [found.push(c) for c in "aaabba"] == ["", "a", "a", "", "ab", "b"]
    assert found.finish() == "a"
    assert found.finish() == ""


def test_an_empty_stop_string_is_refused_before_anything_is_asked_for() -> None:
    with pytest.raises(OptionError, match="a stop string is empty"):
        texts(iter(()), encoder("byte").decoder(), ["a", ""])


def encoder(level: str) -> TextTokenizer:
    return TextTokenizer.learn(["the cat sat 电影 é\n"] * 2, TextOptions(level=level, line_ends=True))  # type: ignore[arg-type]


def test_characters_of_several_bytes_come_whole() -> None:
    coder = encoder("byte")
    ids = coder.encode(["é电a"])[0]
    assert len(ids) == 6
    assert list(texts(ids, coder.decoder())) == ["é", "电", "a"]
    assert list(texts(ids[:4], coder.decoder())) == ["é", "\ufffd"]
    assert list(texts(ids, coder.decoder(), ["电"])) == ["é"]


def test_words_come_as_they_stand_in_a_text() -> None:
    coder = encoder("word")
    ids = coder.encode(["the cat\nsat"])[0]
    assert list(texts(ids, coder.decoder())) == ["the", " cat", "\n", "sat"]
    asked = iter(ids)
    assert list(texts(asked, coder.decoder(), ["t\n"])) == ["the", " ca"]
    assert next(asked) == ids[-1]  # not asked for after the stop
