from __future__ import annotations

import numpy as np
import pytest

from unroll.data.options import TextOptions
from unroll.data.text.detokenizer import BYTE_SIGNS
from unroll.data.text.tokenizer import TextTokenizer


def encoder(level: str, text: str, **options) -> TextTokenizer:
    plain = {"vocab_size": 280, "min_freq": 1, "normalize": "none", "lowercase": False}
    return TextTokenizer.learn([text], TextOptions(level=level, **plain | options))  # type: ignore[arg-type]


def test_the_signs_of_bytes_are_those_of_the_library() -> None:
    from tokenizers import pre_tokenizers

    assert sorted(BYTE_SIGNS) == sorted(pre_tokenizers.ByteLevel.alphabet())
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("\x00\n é", "很🦊", "~\x7f"):
        signs = "".join(piece for piece, _ in split.pre_tokenize_str(text))
        assert signs == "".join(BYTE_SIGNS[byte] for byte in text.encode())


@pytest.mark.parametrize("level", ["byte", "bpe"])
def test_a_character_is_given_when_it_is_whole(level: str) -> None:
    text = "aé很🦊"
    made = encoder("byte" if level == "byte" else "bpe", "plain", line_ends=True, vocab_size=258)
    ids = made.encode([text])[0]
    assert len(ids) == len(text.encode())
    decoder = made.decoder()
    assert [decoder.push(i) for i in ids] == ["a", "", "é", "", "", "很", "", "", "", "🦊"]
    assert decoder.finish() == ""


def test_bytes_that_are_no_character() -> None:
    made = encoder("byte", "", line_ends=True)

    def decoded(raw: bytes) -> list[str]:
        decoder = made.decoder()
        return [*(decoder.push(b + 2) for b in raw), decoder.finish()]

    assert decoded(b"a\xffb") == ["a", "\ufffd", "b", ""]
    assert decoded(b"\xe5\xbea") == ["", "", "\ufffda", ""]
    assert decoded(b"a\xe5\xbe") == ["a", "", "", "\ufffd"]
    rng = np.random.default_rng(0)
    for _ in range(200):
        raw = rng.integers(0, 256, 12, dtype=np.uint8).tobytes()
        assert "".join(decoded(raw)) == raw.decode("utf-8", "replace")


def test_unknown_and_padding() -> None:
    for level, unknown in (("char", "\ufffd"), ("byte", "\ufffd"), ("bpe", "\ufffd"), ("word", "<unk>")):
        made = encoder(level, "a", line_ends=True)
        assert made.decoder().decode([0, 1, 0]) == unknown
    with pytest.raises(IndexError, match="there is no token 900"):
        encoder("word", "a").decoder().push(900)


def test_words_and_their_marks() -> None:
    text = 'He said : " I can\'t ( really ) do it , sorry ! "\n\nNot [ now ] . 我 喜 欢 ， 很 NLP 50 %'
    made = encoder("word", text, line_ends=True)
    assert made.decoder().decode(made.encode([text])[0]) == (
        'He said: " I can\'t (really) do it, sorry! "\n\nNot [now]. 我喜欢，很 NLP 50%'
    )
    kept = encoder("word", text, line_ends=True, punctuation="keep")
    assert kept.decoder().decode(kept.encode([text])[0]) == text


def test_each_word_is_certain_at_once() -> None:
    made = encoder("word", "a b , c\n", line_ends=True)
    decoder = made.decoder()
    assert [decoder.push(i) for i in made.encode(["a, b\nc"])[0]] == ["a", ",", " b", "\n", "c"]


def test_the_blank_that_byte_pairs_begin_with_is_not_text() -> None:
    made = encoder("bpe", "lower lowest newer", vocab_size=300)
    assert made.decoder().decode(made.encode(["  newer\nlower "])[0]) == "newer lower"
    assert encoder("bpe", "a", line_ends=True).decoder().decode([]) == ""
