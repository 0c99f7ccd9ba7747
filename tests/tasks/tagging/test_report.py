from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from unroll.data.options import TextOptions
from unroll.data.text.tagged import TaggedSentences
from unroll.data.text.word_vocab import WordCharVocabulary
from unroll.tasks.tagging.report import MajorityTagBaseline, evaluate, format_report

NAMES = ("D", "N", "V")


def part(sentences: list[str], encoder: WordCharVocabulary | None = None) -> tuple[TaggedSentences, WordCharVocabulary]:
    """From sentences such as "the/D cat/N"."""
    pairs = [[word.split("/") for word in s.split()] for s in sentences]
    tokens = [[w for w, _ in s] for s in pairs]
    tags = [np.array([NAMES.index(t) for _, t in s], np.int32) for s in pairs]
    encoder = encoder or WordCharVocabulary.learn(tokens, TextOptions(min_freq=1))
    return TaggedSentences.encode(tokens, encoder, tags), encoder


TRAIN, ENCODER = part(["the/D run/N ran/V", "run/V run/V the/D The/D", "saw/V saw/N cat/N dog/N dog/N"])


def test_the_guess_is_each_words_most_common_tag() -> None:
    guess = MajorityTagBaseline.learn(TRAIN, len(ENCODER.seen), 3)
    answers = {word: NAMES[i] for word, i in zip(ENCODER.seen, guess.tags.tolist(), strict=True)}
    # saw was a noun as often as a verb: the first of the tags is taken
    assert answers == {"run": "V", "the": "D", "The": "D", "dog": "N", "saw": "N", "cat": "N", "ran": "V"}
    assert NAMES[guess.unseen] == "N"
    assert guess.answer(np.array([-1, ENCODER.seen.index("run")])).tolist() == [1, 2]


def test_figures_by_hand_and_as_scikit_learn_has_them() -> None:
    held, _ = part(["the/D fox/N ran/V", "Run/V dog/N", "a/D fox/N saw/V"], ENCODER)
    answered = [np.array([0, 1, 2]), np.array([1, 1]), np.array([0, 2, 2])]
    guess = MajorityTagBaseline.learn(TRAIN, len(ENCODER.seen), 3)
    found = evaluate(held, answered, NAMES, guess, spans=False)
    truth, flat = np.array([0, 1, 2, 2, 1, 0, 1, 2]), np.concatenate(answered)
    assert next(iter(found.items())) == ("tokens", 8)
    assert found["sentences"] == 3
    assert found["accuracy"] == pytest.approx(6 / 8)
    # fox, Run, a, fox were never seen as they are written; guessed N, N, N, N
    assert found["unseen_tokens"] == 4
    assert found["unseen_accuracy"] == pytest.approx(2 / 4)
    assert found["baseline_unseen_accuracy"] == pytest.approx(2 / 4)
    # D N V, N N, N N N
    assert found["baseline_accuracy"] == pytest.approx(5 / 8)
    assert found["sentence_accuracy"] == pytest.approx(1 / 3)
    assert found["confusion"] == sk.confusion_matrix(truth, flat).tolist()
    wanted = sk.precision_recall_fscore_support(truth, flat)
    for k, name in enumerate(NAMES):
        scores = found["per_tag"][name]
        got = [scores[n] for n in ("precision", "recall", "f1", "tokens")]
        assert got == pytest.approx([w[k] for w in wanted], abs=1e-6)
    assert found["f1_macro"] == pytest.approx(sk.f1_score(truth, flat, average="macro"), abs=1e-6)
    assert "spans" not in found


def test_spans_overall_by_type_and_of_the_guess() -> None:
    names = ("B-X", "B-Y", "I-X", "O")
    tokens = [["a", "b", "c"], ["d", "a"]]
    encoder = WordCharVocabulary.learn(tokens, TextOptions(min_freq=1))
    tags = [np.array([0, 2, 3], np.int32), np.array([1, 0], np.int32)]
    held = TaggedSentences.encode(tokens, encoder, tags)
    guess = MajorityTagBaseline.learn(held, len(encoder.seen), 4)
    found = evaluate(held, [np.array([0, 3, 3]), np.array([1, 0])], names, guess, spans=True)
    assert found["spans"] == {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "gold": 3, "found": 3, "right": 2}
    assert found["per_type"]["X"]["f1"] == pytest.approx(1 / 2)
    assert found["per_type"]["Y"]["right"] == 1
    assert found["baseline_span_f1"] == 1.0


def test_lines_for_a_person() -> None:
    held, _ = part(["the/D fox/N ran/V", "run/V dog/N"], ENCODER)
    guess = MajorityTagBaseline.learn(TRAIN, len(ENCODER.seen), 3)
    found = evaluate(held, [np.array([0, 1, 2]), np.array([1, 1])], NAMES, guess, spans=False)
    shown = format_report(found)
    assert shown[0] == (
        "accuracy          0.8000   (1.0000 for each word's most common tag in the training part, 'N' for unseen words)"
    )
    assert shown[1] == "unseen words      1.0000   (1.0000; 1 of 5 tokens)"
    assert shown[2] == "whole sentences   0.5000   (of 2)"
    assert shown[4].split() == ["tag", "precision", "recall", "f1", "tokens"]
    assert shown[5].split() == ["D", "1.0000", "1.0000", "1.0000", "1"]
    assert len(format_report(found, full=False)) == 4
    known, _ = part(["the/D"], ENCODER)
    assert format_report(evaluate(known, [np.array([0])], NAMES, guess, spans=True))[1:4] == [
        "unseen words      none",
        "whole sentences   1.0000   (of 1)",
        "span f1           1.0000   (1.0000; precision 1.0000, recall 1.0000 of 1)",
    ]
