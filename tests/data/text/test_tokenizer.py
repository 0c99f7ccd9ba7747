from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unroll.data.files.dataset import stream
from unroll.data.options import LengthOptions, TextOptions
from unroll.data.text.normalize import split_words
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError, OptionError, RunError


def pieces(text: str, **options) -> list[str]:
    encoder = TextTokenizer.learn([text, text], TextOptions(**options))
    ids = encoder.encode([text])[0]
    assert ids.dtype == np.int32
    assert 0 not in ids
    return encoder.tokens(ids)


def test_words_in_order_of_count_then_text() -> None:
    encoder = TextTokenizer.learn(iter(["b b b a a c c", "a d"]), TextOptions(min_freq=2))
    assert encoder.tokens(range(encoder.size)) == ["<pad>", "<unk>", "a", "b", "c"]
    assert [e.tolist() for e in encoder.encode(["c d B", "", "b"])] == [[4, 1, 3], [], [3]]
    assert encoder.size == 5


def test_vocabulary_counts_padding_and_unknown() -> None:
    encoder = TextTokenizer.learn(["a a b b c c d d"], TextOptions(vocab_size=4))
    assert encoder.tokens(range(encoder.size)) == ["<pad>", "<unk>", "a", "b"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["i", "don't", "like", "it", "!", "!", "cafés", "cost", "5", "$", ";", "a_b"]),
        ({"punctuation": "drop"}, ["i", "don't", "like", "it", "cafés", "cost", "5", "a_b"]),
        ({"punctuation": "keep"}, ["i", "don't", "like", "it!!", "cafés", "cost", "5$;", "a_b"]),
        ({"lowercase": False, "punctuation": "drop"}, ["I", "don't", "LIKE", "it", "Cafés", "cost", "5", "a_b"]),
    ],
)
def test_punctuation_and_case(options: dict, expected: list[str]) -> None:
    text = "I don't LIKE it!! Cafe\u0301s cost \uff15$; a_b"
    assert pieces(text, **options) == expected


def test_words_as_they_are_written() -> None:
    assert split_words(" I don't LIKE it!!\t电影\u200b ") == ["I", "don't", "LIKE", "it", "!", "!", "电", "影"]
    assert split_words(" ") == []


def test_normalisation() -> None:
    assert pieces("\ufb01n e\u0301", normalize="NFKC") == ["fin", "\u00e9"]
    assert pieces("\ufb01n e\u0301", normalize="NFC") == ["\ufb01n", "\u00e9"]
    assert pieces("\ufb01n e\u0301", normalize="none") == ["\ufb01n", "e\u0301"]


def test_html() -> None:
    assert pieces("one<br />two<BR>three &amp; four &lt;br&gt;", punctuation="keep") == [
        *("one", "two", "three", "&", "four", "<br>")
    ]
    assert pieces("one<br />&amp;", html=False, punctuation="keep") == ["one<br", "/>&amp;"]


def test_chinese_and_japanese_characters_are_words() -> None:
    assert pieces("我喜欢NLP，很好！") == ["我", "喜", "欢", "nlp", ",", "很", "好", "!"]
    assert pieces("カラーは青い") == ["カ", "ラ", "ー", "は", "青", "い"]
    assert pieces("한국어 좋아요") == ["한국어", "좋아요"]


def test_joiners_stay_within_words() -> None:
    assert pieces("می\u200cخواهم क्\u200dष") == ["می\u200cخواهم", "क्\u200dष"]


def test_names_of_padding_and_unknown_in_a_text_are_ordinary() -> None:
    text = "<pad> [padding token] <unk>"
    for level in ("word", "char", "bpe"):
        for punctuation in ("split", "keep"):
            pieces(text, level=level, punctuation=punctuation)
    assert pieces(text, punctuation="keep") == ["<pad>", "[padding", "token]", "<unk>"]


def test_characters() -> None:
    assert pieces("Ab \n\t c!😀中", level="char") == ["a", "b", " ", "c", "!", "😀", "中"]
    assert pieces("Ab, c!", level="char", punctuation="drop") == ["a", "b", " ", "c"]


def test_byte_pairs_are_never_unknown() -> None:
    texts = ["lower lowest newer newest 很好 很好"] * 20
    encoder = TextTokenizer.learn(texts, TextOptions(level="bpe", vocab_size=300))
    assert encoder.size <= 300
    assert encoder.tokens(encoder.encode(["lowest 很好"])[0]) == [" lowest", " 很", "好"]
    unseen = encoder.encode(["ζωή 🦊\nnew"])[0]
    assert 1 not in unseen
    assert 0 not in unseen
    assert "".join(encoder.tokens(encoder.encode(["slow newer"])[0])) == " slow newer"


def test_length() -> None:
    text = "a b c d e f g"
    expected = {"head": "abcde", "tail": "cdefg", "both": "abcfg"}
    for keep, letters in expected.items():
        length = LengthOptions(5, keep)  # type: ignore[arg-type]
        encoder = TextTokenizer.learn([text], TextOptions(min_freq=1), length)
        assert encoder.tokens(encoder.encode([text])[0]) == list(letters)
        assert encoder.tokens(encoder.encode(["a b"])[0]) == ["a", "b"]
    for keep, letters in {"head": "a", "tail": "g", "both": "a"}.items():
        length = LengthOptions(1, keep)  # type: ignore[arg-type]
        encoder = TextTokenizer.learn([text], TextOptions(min_freq=1), length)
        assert encoder.tokens(encoder.encode([text])[0]) == [letters]
    whole = TextTokenizer.learn([text], TextOptions(min_freq=1))
    assert len(whole.encode([text * 200])[0]) == 1201


def test_batches_of_texts_do_not_matter() -> None:
    texts = [f"w{i} " * (i % 50) for i in range(300)]
    encoder = TextTokenizer.learn(texts, TextOptions())
    together = encoder.encode(texts)
    one_by_one = [encoder.encode([t])[0] for t in texts]
    assert all(np.array_equal(a, b) for a, b in zip(together, one_by_one, strict=True))


def test_texts_larger_than_a_piece() -> None:
    encoder = TextTokenizer.learn(["a a"], TextOptions(), LengthOptions(3))
    encoded = encoder.encode(["a " * 700_000, "a", "a " * 700_000, "", "a a"])
    assert [len(e) for e in encoded] == [3, 1, 3, 0, 2]


@pytest.mark.parametrize("bad", [None, 3, float("nan"), ["a"]])
def test_what_is_not_text(bad: object) -> None:
    encoder = TextTokenizer.learn(["a a"], TextOptions())
    with pytest.raises(DataError, match=r"^row 12 holds .* where text is needed$"):
        encoder.encode(["a", bad], first=10)  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"^row 2 holds .* where text is needed$"):
        TextTokenizer.learn(["a", bad], TextOptions())  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"^row 8 of b\.csv holds .* where text is needed$"):
        encoder.encode(["a", bad], rows=np.array([4, 7]), where="b.csv")  # type: ignore[list-item]


def test_a_vocabulary_of_nothing() -> None:
    with pytest.raises(DataError, match=r"no word occurs 2 times \(min_freq\)"):
        TextTokenizer.learn(["every word here once"], TextOptions(min_freq=2))
    with pytest.raises(DataError, match="vocabulary is empty"):
        TextTokenizer.learn(["", "  \n"], TextOptions(level="char"))
    with pytest.raises(DataError, match="vocabulary is empty"):
        TextTokenizer.learn([], TextOptions())


def test_a_vocabulary_of_the_line_end_alone() -> None:
    texts = ["a b\n", "a\n"]
    with pytest.raises(OptionError, match=r"vocab_size is 3, which has room for .* the line end, but for no word"):
        TextTokenizer.learn(texts, TextOptions(vocab_size=3, min_freq=1, line_ends=True))
    with pytest.raises(DataError, match=r"no word occurs 2 times \(min_freq\)"):
        TextTokenizer.learn(["a b\n", "c\n"], TextOptions(line_ends=True))
    assert TextTokenizer.learn(texts, TextOptions(vocab_size=4, min_freq=1, line_ends=True)).entries() == ["\n", "a"]


def test_half_a_surrogate_pair_is_replaced() -> None:
    encoder = TextTokenizer.learn(["a \ud83d a"], TextOptions())
    assert encoder.tokens(encoder.encode(["a \ud83d"])[0]) == ["a", "<unk>"]


@pytest.mark.parametrize("level", ["word", "bpe", "char"])
def test_json_there_and_back(level: str) -> None:
    texts = ["The cat, the 猫 &amp; the hat."] * 3
    options = TextOptions(level=level, vocab_size=280)  # type: ignore[arg-type]
    encoder = TextTokenizer.learn(texts, options, LengthOptions(9, "tail"))
    text = encoder.to_json()
    again = TextTokenizer.from_json(text)
    assert again.options == options
    assert again.length == LengthOptions(9, "tail")
    assert again.size == encoder.size
    assert again.to_json() == text
    assert again.encode(texts)[0].tolist() == encoder.encode(texts)[0].tolist()


def _damaged(change) -> str:
    document = json.loads(TextTokenizer.learn(["a a b b"], TextOptions()).to_json())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not in the form"),
        ('{"format": "unroll.text/1"}', "damaged"),
        (_damaged(lambda d: d["options"].update(level="words")), "level is 'words'"),
        (_damaged(lambda d: d["options"].update(levle="word")), "levle"),
        (_damaged(lambda d: d["tokenizer"]["model"].update(type="Nonsense")), "damaged"),
        (_damaged(lambda d: d["tokenizer"]["model"]["vocab"].update(a=7)), "ids are not 0, 1, 2"),
        (_damaged(lambda d: d["tokenizer"]["model"]["vocab"].update(a=2.0)), "not a table of tokens and ids"),
        (_damaged(lambda d: d["tokenizer"]["model"].update(vocab=[1])), "not a table of tokens and ids"),
        (_damaged(lambda d: d.update(tokenizer=[1])), "damaged"),
        (_damaged(lambda d: d["tokenizer"]["model"]["vocab"].pop("[unknown token]")), "damaged"),
        (_damaged(lambda d: d["tokenizer"]["pre_tokenizer"].update(pretokenizers=3)), "damaged"),
        (
            _damaged(lambda d: d["tokenizer"]["model"]["vocab"].update({"a": 0, "[padding token]": 2})),
            "ids 0 and 1",
        ),
    ],
)
def test_damaged_json(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        TextTokenizer.from_json(text)


@pytest.mark.parametrize("level", ["word", "bpe", "char"])
@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        ("normalizer", None),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", {"type": "BertProcessing", "sep": ["a", 2], "cls": ["b", 3]}),
        ("decoder", {"type": "Fuse"}),
        ("truncation", {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}),
        ("padding", {"strategy": {"Fixed": 10**9}}),
        ("added_tokens", [{"id": 2, "content": "a", "special": True}]),
        ("model", {"unk_token": "a"}),
        ("model", {"dropout": 0.5}),
        ("version", "9"),
        ("another", 1),
    ],
)
def test_only_the_vocabulary_is_taken_from_a_document(level: str, part: str, value: Any) -> None:
    options = TextOptions(level=level, vocab_size=300)  # type: ignore[arg-type]
    document = json.loads(TextTokenizer.learn(["a a b b"], options).to_json())
    tokenizer = document["tokenizer"]
    tokenizer[part] = {**tokenizer["model"], **value} if part == "model" else value
    with pytest.raises(RunError, match=f"^the vocabulary is damaged: its '{part}' is not what its options give$"):
        TextTokenizer.from_json(json.dumps(document))


def test_a_document_under_other_options_is_refused() -> None:
    with pytest.raises(RunError, match="its 'normalizer' is not what its options give"):
        TextTokenizer.from_json(_damaged(lambda d: d["options"].update(lowercase=False)))


def test_tokens_out_of_range() -> None:
    encoder = TextTokenizer.learn(["a a"], TextOptions())
    with pytest.raises(DataError, match="no token 3: the vocabulary has 3 entries"):
        encoder.tokens([3])


THREADS = """
import random, sys
from unroll.data.text.tokenizer import TextTokenizer
from unroll.data.options import LengthOptions, TextOptions
r = random.Random(0)
letters = "abcdefgh " * 40 + "".join(map(chr, range(0x4e00, 0x4f00)))
texts = ["".join(r.choices(letters, k=60)) for _ in range(400)]
for level in ("word", "bpe", "char"):
    print(TextTokenizer.learn(texts, TextOptions(level=level, vocab_size=400, min_freq=1)).to_json())
"""


def test_the_same_vocabulary_for_any_number_of_threads() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", THREADS],
            capture_output=True,
            check=True,
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
        ).stdout
        for threads in ("1", "4")
    ]
    assert outputs[0]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "words"}, r"level is 'words'; did you mean 'word'\?"),
        ({"vocab_size": 2}, "vocab_size is 2; it must be at least 3, since padding and unknown are entries too, or 0"),
        ({"vocab_size": 257, "level": "bpe"}, "vocab_size is 257; it must be at least 258"),
        ({"min_freq": 0}, "min_freq is 0"),
        ({"vocab_size": 10**21}, "vocab_size is 10{21}; it must be at least 3 and below"),
        ({"min_freq": 2**31}, "min_freq is 2147483648; it must be at least 1 and below"),
        ({"lowercase": "yes"}, "lowercase is 'yes'"),
    ],
)
def test_options(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TextOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": -1}, "max_length is -1; it must be at least 0"),
        ({"max_length": 10**21}, "max_length is 10{21}; it must be at least 0 and below"),
        ({"max_length": 2.5}, "max_length is 2.5"),
        ({"keep": "middle"}, "keep is 'middle'"),
    ],
)
def test_options_of_length(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        LengthOptions(**options)


def test_what_is_kept_where_nothing_was_asked() -> None:
    assert LengthOptions().resolved(text=True) == LengthOptions(400, "both")
    assert LengthOptions().resolved(text=False) == LengthOptions(0, "tail")
    assert LengthOptions(7, "head").resolved(text=True) == LengthOptions(7, "head")


ODD = "Hello,  world!\n\n\tIt's 5$ — “good”; 很好 ζωή 🦊 e\u0301 a\u00a0b \x07 \u200d x\r\n end"


def exact(level: str, **options: Any) -> TextOptions:
    plain = {"vocab_size": 300, "min_freq": 1, "normalize": "none", "lowercase": False}
    return TextOptions(level=level, html=False, **plain | {"line_ends": True} | options)  # type: ignore[arg-type]


@pytest.mark.parametrize("punctuation", ["split", "keep"])
@pytest.mark.parametrize("level", ["char", "bpe", "byte"])
def test_with_line_ends_tokens_joined_are_the_text(level: str, punctuation: str) -> None:
    encoder = TextTokenizer.learn([ODD, ODD], exact(level, punctuation=punctuation))
    ids = encoder.encode([ODD])[0]
    assert encoder.decoder().decode(ids) == ODD
    assert encoder.newline in ids
    assert encoder.tokens([encoder.newline]) == ["\n"]  # type: ignore[list-item]
    assert encoder.tokens([0, 1]) == ["<pad>", "<unk>"]
    assert TextTokenizer.from_json(encoder.to_json()).encode([ODD])[0].tolist() == ids.tolist()


def test_bytes_are_their_own_numbers() -> None:
    encoder = TextTokenizer.learn([], exact("byte"))
    assert encoder.size == 258
    assert (encoder.encode([ODD])[0] - 2).astype(np.uint8).tobytes() == ODD.encode()
    plain = TextTokenizer.learn([], TextOptions(level="byte"))
    assert (plain.encode(["  A\n\t\u00e9 "])[0] - 2).astype(np.uint8).tobytes() == "a \u00e9".encode()
    assert plain.newline is None


def test_line_ends_among_words() -> None:
    options = exact("word")
    encoder = TextTokenizer.learn([ODD, ODD], options)
    words = ["Hello", ",", "world", "!", "<eos>", "<eos>", "It's", "5", "$", "—", "“", "good", "”", ";", "很", "好"]
    assert encoder.tokens(encoder.encode([ODD])[0])[:16] == words
    kept = TextTokenizer.learn([ODD, ODD], exact("word", punctuation="keep"))
    assert [w for w in kept.tokens(kept.encode([ODD])[0]) if w != "<eos>"] == ODD.split()
    assert kept.tokens(kept.encode(["<unk> N\n"])[0])[-1] == "<eos>"


def test_line_pieces_make_the_same_tokens_as_the_whole() -> None:
    for level in ("char", "bpe", "byte", "word"):
        for punctuation in ("split", "keep", "drop"):
            encoder = TextTokenizer.learn([ODD, ODD], exact(level, punctuation=punctuation))
            lines = np.concatenate(encoder.encode(ODD.splitlines(keepends=True)))
            assert lines.tolist() == encoder.encode([ODD])[0].tolist(), (level, punctuation)


def test_looking_up_gives_what_the_tokenizer_gives() -> None:
    from tokenizers import trainers

    from unroll.data.text.tokenizer import pipeline

    draw = np.random.default_rng(0)
    letters = "abcdef  \n\t.,!" + "".join(map(chr, range(0xC0, 0x180))) + "很好🦊\ud7ff\ue000\U0010ffff e\u0301\ufb01"
    texts = ["".join(draw.choice(list(letters), draw.integers(60))) for _ in range(200)]
    for level in ("char", "byte"):
        for ends in (True, False):
            for more in ({}, {"vocab_size": 40, "min_freq": 5}, {"normalize": "NFKC", "lowercase": True}):
                options = exact(level, **{"line_ends": ends} | more)
                encoder = TextTokenizer.learn(texts, options)
                library = encoder._tokenizer.encode_batch_fast([*texts, "zß￿"], add_special_tokens=False)
                for ids, found in zip(encoder.encode([*texts, "zß￿"]), library, strict=True):
                    assert ids.tolist() == found.ids
                if level == "char":
                    trained = pipeline(options)
                    trainer = trainers.WordLevelTrainer(
                        vocab_size=options.vocab_size or 10**6,
                        min_frequency=options.min_freq,
                        special_tokens=["[padding token]", "[unknown token]"],
                        show_progress=False,
                    )
                    trained.train_from_iterator(texts, trainer)
                    assert trained.get_vocab() == encoder._tokenizer.get_vocab()


def test_a_vocabulary_of_every_token() -> None:
    texts = [" ".join(f"w{i}" for i in range(30_500))]
    assert TextTokenizer.learn(texts, exact("word", vocab_size=0)).size == 30_502
    with pytest.raises(OptionError, match="vocab_size is 0; it must be at least 258"):
        TextOptions(level="bpe", vocab_size=0)


def test_a_document_from_before_there_were_line_ends() -> None:
    encoder = TextTokenizer.learn(["a a b b"], TextOptions())
    document = json.loads(encoder.to_json())
    del document["options"]["line_ends"]
    assert TextTokenizer.from_json(json.dumps(document)).to_json() == encoder.to_json()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "types", "tokens"),
    [("ptb/ptb.train.txt.gz", 10_000, 929_589), ("wikitext2/wiki.train.tokens.gz", 33_278, 0)],
)
def test_published_counts(public_data: Path, name: str, types: int, tokens: int) -> None:
    with gzip.open(public_data / name, "rt", encoding="utf-8") as file:
        lines = file.readlines()
    encoder = TextTokenizer.learn(lines, exact("word", vocab_size=0, punctuation="keep"))
    assert encoder.size == types + 2
    if tokens:
        assert sum(map(len, encoder.encode(lines))) == tokens


@pytest.mark.data
def test_reviews(public_data: Path) -> None:
    rows = list(islice(stream(public_data / "imdb" / "train.jsonl.xz"), 200))
    texts = [row["text"] for row in rows]
    encoder = TextTokenizer.learn(texts, TextOptions())
    encoded = encoder.encode(texts)
    assert "br" not in encoder.tokens(range(encoder.size))
    assert "don't" in encoder.tokens(range(encoder.size))
    ids = np.concatenate(encoded)
    # Two in a hundred and more are words met once only, among so few reviews.
    assert 0.02 < (ids == 1).mean() < 0.15
    assert encoder.tokens([2]) == ["the"]
