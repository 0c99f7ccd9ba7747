from __future__ import annotations

import numpy as np
import pytest
import torch

from unroll.data.options import BatchOptions, TextOptions
from unroll.data.text.tagged import NO_TAG, TaggedSentences, TaggingBatches
from unroll.data.text.word_vocab import WordCharVocabulary
from unroll.errors import DataError

SENTENCES = [["the", "cat", "saw", "the", "dog"], ["a", "dog"], ["cat"], ["the", "a", "a"]]
ENCODER = WordCharVocabulary.learn(SENTENCES, TextOptions(min_freq=1))
TAGS = [np.arange(len(s), dtype=np.int32) for s in SENTENCES]
PART = TaggedSentences.encode(iter(SENTENCES), ENCODER, TAGS)


def spelt(chars: torch.Tensor) -> str:
    return "".join(ENCODER.characters[i - 2] for i in chars.tolist() if i)


def test_each_distinct_token_is_kept_once() -> None:
    assert PART.table.words.shape == (6,)
    assert [PART.tokens.take(np.array([i]))[0].tolist() for i in range(4)] == [
        [1, 2, 3, 1, 4],
        [5, 4],
        [2],
        [1, 5, 5],
    ]
    assert (len(PART), PART.count) == (4, 11)
    with pytest.raises(DataError, match="there are no rows"):
        TaggedSentences.encode([], ENCODER)


def test_batches_hold_words_tags_and_the_characters_of_distinct_tokens() -> None:
    for batch in TaggingBatches(PART, batch_size=3, shuffle=False):
        rows = batch.rows.tolist()
        T = max(len(SENTENCES[r]) for r in rows)
        assert batch.x.shape == batch.places.shape == batch.target.shape == (len(rows), T)
        tokens = {t for r in rows for t in SENTENCES[r]}
        padded = any(len(SENTENCES[r]) < T for r in rows)
        assert batch.chars.shape == (len(tokens) + padded, 3)
        assert batch.total == sum(len(SENTENCES[r]) for r in rows)
        assert batch.counts == "tokens"
        for i, r in enumerate(rows):
            n = len(SENTENCES[r])
            assert batch.x[i, :n].tolist() == [ENCODER.id_of(t) for t in SENTENCES[r]]
            assert [spelt(batch.chars[p]) for p in batch.places[i, :n]] == SENTENCES[r]
            assert batch.target[i].tolist() == [*range(n), *[NO_TAG] * (T - n)]
            assert not batch.x[i, n:].any()
            assert not batch.chars[batch.places[i, n:]].any()


def test_characters_are_left_out_on_request_and_tags_where_there_are_none() -> None:
    (batch,) = TaggingBatches(TaggedSentences.encode(SENTENCES, ENCODER), shuffle=False, chars=False)
    assert (batch.chars, batch.places, batch.target) == (None, None, None)
    (batch,) = TaggingBatches(PART, shuffle=False)
    moved = batch.to("meta")
    assert moved.chars.device.type == moved.places.device.type == moved.target.device.type == "meta"
    assert moved.lengths.device.type == "cpu"


def test_processes_share_the_rows_and_know_the_tokens_of_all() -> None:
    options = BatchOptions(batch_size=2, seed=3)
    whole = TaggingBatches(PART, options, shuffle=True)
    parts = [whole.shard(rank, 2) for rank in (0, 1)]
    for batches in (whole, *parts):
        batches.set_epoch(1)
    for batch, *own in zip(whole, *parts, strict=True):
        assert sorted(batch.rows.tolist()) == sorted(r for b in own for r in b.rows.tolist())
        assert [b.total for b in own] == [batch.total] * 2
        assert sum(int(b.lengths.sum()) for b in own) == batch.total


def test_a_restored_position_gives_the_rest() -> None:
    options = BatchOptions(batch_size=1, seed=3)
    batches = TaggingBatches(PART, options, shuffle=True)
    iterator = iter(batches)
    next(iterator), next(iterator)
    state = batches.state_dict()
    rest = [b.rows.tolist() for b in iterator]
    again = TaggingBatches(PART, options, shuffle=True)
    again.load_state_dict(state)
    assert [b.rows.tolist() for b in again] == rest


def test_joined_sentences_keep_words_characters_and_tags():
    vocabulary = WordCharVocabulary.learn([["a", "bb", "a", "bb"]], TextOptions(min_freq=1))
    first = TaggedSentences.encode([["a", "bb"]], vocabulary, [np.array([0, 1])])
    second = TaggedSentences.encode([["bb"], ["new", "a"]], vocabulary, [np.array([1]), np.array([0, 0])])
    joined = first.join(second)
    rows = joined.tokens.take(np.arange(3))
    words = [joined.table.words[row].tolist() for row in rows]
    a, bb = first.table.words[1:].tolist()
    assert words == [[a, bb], [bb], [1, a]]
    assert joined.table.characters[rows[2][0]].tolist() == second.table.characters[2].tolist()
    assert joined.tags is not None
    assert [row.tolist() for row in joined.tags.take(np.arange(3))] == [[0, 1], [1], [0, 0]]
