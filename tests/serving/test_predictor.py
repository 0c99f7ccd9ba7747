from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from unroll.errors import DataError
from unroll.estimators.labelled import Classifier
from unroll.serving.predictor import RecordPredictor

TEXTS = ["good", "bad bad film", "a good one", "bad", "a good good good film"]


@pytest.fixture(scope="module")
def predictor() -> RecordPredictor:
    texts = ["good film", "a good one", "bad film", "such a bad one"] * 10
    options = {"hidden": 8, "embedding": 8, "epochs": 15, "learning_rate": 0.03, "threads": 1}
    fitted = Classifier(**options).fit(texts, ["pos", "pos", "neg", "neg"] * 10)
    return RecordPredictor(fitted.task_, fitted.model_)


def test_answers_keep_the_order_whatever_the_lengths(predictor: RecordPredictor) -> None:
    answers = list(predictor.predict(TEXTS))
    assert [a["label"] for a in answers] == ["pos", "neg", "pos", "neg", "pos"]
    alone = [next(predictor.predict([text])) for text in TEXTS]
    for one, other in zip(answers, alone, strict=True):
        assert one["probabilities"]["pos"] == pytest.approx(other["probabilities"]["pos"], abs=2e-6)


def test_records_texts_and_many_groups_give_the_same(
    predictor: RecordPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(predictor.predict({"text": text} for text in TEXTS))
    monkeypatch.setattr("unroll.serving.predictor.ROWS_AT_ONCE", 2)
    parts = list(predictor.predict(iter(TEXTS)))
    for one, other in zip(whole, parts, strict=True):
        assert one["label"] == other["label"]
        assert one["probabilities"]["pos"] == pytest.approx(other["probabilities"]["pos"], abs=2e-6)


def test_live_answers_what_has_come_before_more_comes(predictor: RecordPredictor) -> None:
    answered = threading.Event()

    def slow() -> Iterator[str]:
        yield "good"
        assert answered.wait(20)
        yield "bad bad"

    answers = predictor.predict(slow(), live=True)
    assert next(answers)["label"] == "pos"
    answered.set()
    assert [a["label"] for a in answers] == ["neg"]


def test_an_error_in_a_live_source_reaches_the_reader(predictor: RecordPredictor) -> None:
    def broken() -> Iterator[str]:
        yield "good"
        raise DataError("the source is broken")

    answers = predictor.predict(broken(), live=True)
    assert next(answers)["label"] == "pos"
    with pytest.raises(DataError, match="the source is broken"):
        next(answers)


def test_records_that_cannot_be_used_are_named_or_answered(predictor: RecordPredictor) -> None:
    with pytest.raises(DataError, match=r"row 2: there is no 'text'; did you mean 'texts'"):
        list(predictor.predict([{"text": "good"}, {"texts": "good"}]))
    answers = list(predictor.predict([{"texts": "x"}, {"text": " "}, {"text": "good"}], skip_bad_rows=True))
    assert ["error" in a for a in answers] == [True, True, False]
    with pytest.raises(DataError, match="several records"):
        list(predictor.predict("good"))


def test_prediction_keeps_no_graph(predictor: RecordPredictor) -> None:
    assert not predictor.model.training
    list(predictor.predict(TEXTS))
    assert all(p.grad is None for p in predictor.model.parameters())
    assert torch.is_grad_enabled()
