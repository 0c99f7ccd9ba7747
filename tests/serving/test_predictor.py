from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import unroll
from unroll.errors import DataError
from unroll.estimators.classifier import Classifier, Regressor
from unroll.estimators.forecaster import Forecaster
from unroll.estimators.tagger import Tagger
from unroll.serving.predictor import RecordPredictor, load

TEXTS = ["good", "bad bad film", "a good one", "bad", "a good good good film"]


@pytest.fixture(scope="module")
def predictor() -> RecordPredictor:
    texts = ["good film", "a good one", "bad film", "such a bad one"] * 10
    options = {"hidden_size": 8, "embedding_dim": 8, "epochs": 15, "learning_rate": 0.03, "threads": 1}
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
    for one in ("good", b"good", {"text": "good"}, {"good"}, None, 5):
        with pytest.raises(DataError, match="several records"):
            predictor.predict(one)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"row 2: 'text' is null; skip_bad_rows answers"):
        list(predictor.predict(["good", float("nan")]))


def test_prediction_keeps_no_graph(predictor: RecordPredictor) -> None:
    assert not predictor.model.training
    list(predictor.predict(TEXTS))
    assert all(p.grad is None for p in predictor.model.parameters())
    assert torch.is_grad_enabled()


def test_a_frame_is_answered_row_by_row_with_its_index(predictor: RecordPredictor) -> None:
    frame = pd.DataFrame({"id": range(5), "text": TEXTS}, index=[7, 7, 3, 1, 0])
    found = predictor.predict(frame)
    assert found.index.tolist() == [7, 7, 3, 1, 0]
    assert found.columns.tolist() == ["label", "probabilities"]
    assert found["label"].tolist() == ["pos", "neg", "pos", "neg", "pos"]
    assert found["probabilities"].tolist() == [a["probabilities"] for a in predictor.predict(TEXTS)]
    assert predictor.predict(frame[["text"]]).equals(found)
    none = predictor.predict(frame[:0])
    assert (len(none), none.columns.tolist()) == (0, ["label", "probabilities"])


def test_rows_of_a_frame_that_cannot_be_used(predictor: RecordPredictor) -> None:
    frame = pd.DataFrame({"text": ["good", None, "bad"]})
    with pytest.raises(DataError, match="row 2: 'text' is null"):
        predictor.predict(frame)
    found = predictor.predict(frame, skip_bad_rows=True)
    assert found["error"].tolist()[1] == "'text' is null"
    assert found["label"].isna().tolist() == [False, True, False]
    with pytest.raises(DataError, match="the table has no column 'text'; did you mean 'texts'"):
        predictor.predict(frame.rename(columns={"text": "texts"}))
    with pytest.raises(DataError, match=r"is a pyarrow table; give its .to_pandas\(\)"):
        predictor.predict(pa.table({"text": ["good"]}))  # type: ignore[arg-type]


def test_series_arrays_and_data_sets_give_their_rows(predictor: RecordPredictor) -> None:
    wanted = list(predictor.predict(TEXTS))
    made = datasets.Dataset.from_dict({"text": TEXTS, "id": list(range(5))})
    for rows in (
        pd.Series(TEXTS, index=[5, 4, 3, 2, 1]),
        np.array(TEXTS),
        made,
        made.to_iterable_dataset(),
        iter(TEXTS),
    ):
        assert list(predictor.predict(rows)) == wanted
    assert list(predictor.predict([])) == []


def test_numeric_sequences_come_as_arrays_tensors_and_cells() -> None:
    options = {"hidden_size": 4, "epochs": 1, "threads": 1}
    fitted = Regressor(**options).fit([[0.0, 1.0, 2.0], [3.0, 4.0]] * 6, [0.0, 1.0] * 6)
    predictor = RecordPredictor(fitted.task_, fitted.model_)
    rows = np.arange(6.0).reshape(2, 3)
    wanted = [answer["value"] for answer in predictor.predict(rows.tolist())]
    assert [a["value"] for a in predictor.predict(rows)] == wanted
    assert [a["value"] for a in predictor.predict(rows[:, :, None])] == wanted
    assert [a["value"] for a in predictor.predict(torch.from_numpy(rows))] == wanted
    frame = pd.DataFrame({"values": list(rows), "label": [0.0, 1.0]})
    assert predictor.predict(frame)["value"].tolist() == wanted
    assert predictor.predict(frame[:0]).columns.tolist() == ["value"]
    assert predictor.evaluate(frame.rename(columns={"label": fitted.task_.settings.classification.label}))["rows"] == 2
    with pytest.raises(DataError, match="row 1: 'values' has 2 features per step, not 1"):
        list(predictor.predict(np.zeros((1, 3, 2))))


def test_what_comes_before_a_bad_row_is_answered_first(predictor: RecordPredictor) -> None:
    def records(*rows: object) -> Iterator[object]:
        yield from rows
        raise DataError("the source is broken")

    for live in (False, True):
        answers = predictor.predict(records("good", "bad bad", 5, "good"), live=live)
        assert [next(answers)["label"] for _ in range(2)] == ["pos", "neg"]
        with pytest.raises(DataError, match="row 3: 'text' holds int, not text"):
            next(answers)
        answers = predictor.predict(records("good", "bad bad"), live=live)
        assert [next(answers)["label"] for _ in range(2)] == ["pos", "neg"]
        with pytest.raises(DataError, match="the source is broken"):
            next(answers)


def test_evaluation_of_frames_and_data_sets(predictor: RecordPredictor) -> None:
    label = predictor.task.settings.classification.label  # type: ignore[attr-defined]
    frame = pd.DataFrame({"text": TEXTS, label: ["pos", "neg", "neg", "neg", "pos"]}, index=[3, 3, 3, 3, 3])
    report = predictor.evaluate(frame)
    assert (report["rows"], report["accuracy"]) == (5, 0.8)
    assert predictor.evaluate(datasets.Dataset.from_pandas(frame, preserve_index=False)) == report
    assert predictor.evaluate(frame[:1])["accuracy"] == 1.0
    with pytest.raises(DataError, match="the table has no rows"):
        predictor.evaluate(frame[:0])
    with pytest.raises(DataError, match=f"the table has no column '{label}'"):
        predictor.evaluate(frame[["text"]])
    with pytest.raises(DataError, match=r"'maybe' \(5 rows, first row 1\)"):
        predictor.evaluate(frame.assign(**{label: "maybe"}))
    said: list[str] = []
    some = frame.assign(**{label: ["pos", None, "neg", "neg", "pos"]})
    with pytest.raises(DataError, match=r"row 2: 'label' is null or empty\); skip_bad_rows=True leaves them out"):
        predictor.evaluate(some)
    assert predictor.evaluate(some, skip_bad_rows=True, say=said.append)["accuracy"] == 0.75
    assert said == ["left out: 1 of 5 rows of the table cannot be used (row 2: 'label' is null or empty)"]
    for data in ([{"text": "good"}], None, 5):
        with pytest.raises(DataError, match=r"give files, a DataFrame or a datasets\.Dataset"):
            predictor.evaluate(data)  # type: ignore[arg-type]


def test_a_tagger_answers_and_evaluates_frames() -> None:
    sentences, tags = [["the", "cat"], ["a", "dog", "ran"]] * 6, [["D", "N"], ["D", "N", "V"]] * 6
    fitted = Tagger(hidden_size=4, embedding_dim=4, epochs=1, threads=1, characters="none").fit(sentences, tags)
    predictor = RecordPredictor(fitted.task_, fitted.model_)
    frame = pd.DataFrame({"tokens": [["the", "dog"], np.array(["cat"], dtype=object)]}, index=["x", "y"])
    found = predictor.predict(frame)
    assert found.index.tolist() == ["x", "y"]
    assert found["tags"].tolist() == [a["tags"] for a in predictor.predict([["the", "dog"], ["cat"]])]
    assert predictor.predict(frame[:0]).columns.tolist() == ["tokens", "tags", "probabilities"]
    truth = frame.assign(tags=[["D", "N"], ["N"]])
    assert predictor.evaluate(truth)["sentences"] == 2
    with pytest.raises(DataError, match=r"row 2: 'tags' has no tag at token 1"):
        predictor.evaluate(truth.assign(tags=[["D", "N"], [None]]))
    with pytest.raises(DataError, match=r"row 1: 'tags' has half a character \(a lone surrogate\) at token 2"):
        predictor.evaluate(truth.assign(tags=[["D", "x\ud83d"], ["N"]]))


def test_a_forecaster_evaluates_frames_and_data_sets(tmp_path: Path) -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=30), "y": np.arange(30.0)})
    fitted = Forecaster(horizon=2, lookback=4, hidden_size=4, epochs=1, threads=1).fit(frame)
    predictor = load(fitted.save(tmp_path / "run"))
    report = predictor.evaluate(frame)
    assert report["windows"] == 25
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert predictor.evaluate(tmp_path / "rows.csv") == report
    assert predictor.evaluate(datasets.Dataset.from_pandas(frame)) == report
    with pytest.raises(DataError, match="the data has no column 'y'"):
        predictor.evaluate(frame[["when"]])


def test_a_predictor_tells_what_it_is(predictor: RecordPredictor, tmp_path: Path) -> None:
    assert repr(predictor) == (
        "RecordPredictor: classification of texts ('text'), 2 labels: neg, pos\n"
        "  model: 1 LSTM layer of 8, 658 parameters"
    )
    quick = {"hidden_size": 4, "epochs": 1, "threads": 1}
    run = Classifier(**quick).fit([[0.0, k % 9] for k in range(40)], [k % 9 for k in range(40)]).save(tmp_path / "run")
    os.utime(run / "model.safetensors", (0, 86400 * 365))
    lines = repr(load(run)).splitlines()
    assert lines[0].endswith("sequences ('values'), 9 labels: 0, 1, 2, 3, 4, 5, 6, 7 and 1 more")
    assert lines[2].startswith(f"  run: {run}, weights of 197")
    fitted = {
        "regression of sequences ('values'), 1 number": Regressor(**quick).fit([[1.0], [2.0]] * 8, [1, 2] * 8),
        "tagging of tokens ('tokens'), 2 tags: D, N": Tagger(**quick).fit([["the", "cat"]] * 20, [["D", "N"]] * 20),
        "language-model, 8 tokens (char level)": unroll.LanguageModel(level="char", **quick).fit(["abcde"] * 60),
    }
    for summary, estimator in fitted.items():
        assert estimator.task_.summary() == summary
    frame = pd.DataFrame({"day": pd.date_range("2020", periods=40, freq="D"), "sold": np.arange(40.0)})
    forecaster = Forecaster(target="sold", horizon=2, lookback=4, **quick).fit(frame)
    summary = "ForecastPredictor: forecasting of 'sold', 2 steps from 4, frequency D"
    assert repr(forecaster.predictor_).splitlines()[0] == summary
    assert repr(Classifier(hidden_size=4)) == "Classifier(hidden_size=4)"
