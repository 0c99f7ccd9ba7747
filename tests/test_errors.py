from __future__ import annotations

import pickle

import pytest

from unroll.errors import DataError, UserError


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("'a\nb' is no time", r"'a\nb' is no time"),
        ("a\tb\r\x00\x1b[31m", r"a\tb\r\x00\x1b[31m"),
        ("half \ud83d of one", r"half \ud83d of one"),
        ("one\u2028two\x85", r"one\u2028two\x85"),
        ("größe, 名前, 😀 and C:\\x", "größe, 名前, 😀 and C:\\x"),
    ],
)
def test_a_sentence_stands_in_one_line_and_can_be_printed_anywhere(given: str, shown: str) -> None:
    error = DataError(given)
    assert str(error) == shown
    assert str(error).encode()
    assert str(pickle.loads(pickle.dumps(error))) == shown  # noqa: S301 (processes hand errors on in this way)
    assert isinstance(error, UserError)
