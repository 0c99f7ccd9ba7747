from __future__ import annotations

import copy
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import unroll
from unroll import Classifier, Regressor
from unroll.errors import DataError, OptionError

pytestmark = pytest.mark.slow

SMALL = {"hidden_size": 8, "epochs": 3, "batch_size": 16, "learning_rate": 0.02, "threads": 1}


EXPECTED_FAILURES = {
    "check_methods_subset_invariance": "asks for 1e-7 between a row alone and in a batch; the answers are float32, and"
    " PyTorch's matrix product rounds the last bit by the size of the batch",
    "check_sample_weight_equivalence_on_dense_data": "asks that a row of weight 2 is as two rows; these may be in two"
    " batches, or in training and validation",
}


def digits(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return images[:rows].reshape(-1, 8, 8).astype("float32"), labels[:rows]


def checks():
    for estimator in (Classifier(**SMALL), Regressor(**(SMALL | {"epochs": 40, "hidden_size": 16}))):
        yield from estimator_checks_generator(
            estimator, legacy=True, expected_failed_checks=EXPECTED_FAILURES, mark="xfail"
        )


def name(value: object) -> str:
    return getattr(value, "func", type(value)).__name__


@pytest.mark.parametrize(("estimator", "check"), list(checks()), ids=name)
def test_the_contract_of_scikit_learn(estimator: object, check) -> None:
    check(estimator)


def test_learns_the_digits_far_better_than_chance() -> None:
    X, y = digits(1797)
    classifier = Classifier(hidden_size=32, epochs=10, learning_rate=0.01, bidirectional=True, pooling="max", threads=1)
    classifier.fit(X[:1400], y[:1400])
    assert (classifier.predict(X[1400:]) == y[1400:]).mean() > 0.85
    p = classifier.predict_proba(X[1400:])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)
    assert (classifier.classes_[p.argmax(1)] == classifier.predict(X[1400:])).all()
    assert classifier.history_[-1]["train_loss"] < classifier.history_[0]["train_loss"]


def test_texts_are_learnt_saved_and_loaded(tmp_path: Path) -> None:
    texts = ["good film", "a good one", "bad film", "such a bad one"] * 10
    labels = ["pos", "pos", "neg", "neg"] * 10
    classifier = Classifier(**(SMALL | {"epochs": 10}), embedding_dim=8, min_freq=1).fit(texts, labels)
    assert classifier.predict(["good good", "bad bad"]).tolist() == ["pos", "neg"]
    classifier.save(tmp_path / "run")
    answers = list(unroll.load(tmp_path / "run").predict([{"text": "good good"}, {"text": "bad bad"}]))
    assert [a["label"] for a in answers] == ["pos", "neg"]
    wanted = classifier.predict_proba(["good good"])[0]
    assert list(answers[0]["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-6)


def test_chinese_texts() -> None:
    classifier = Classifier(**(SMALL | {"epochs": 10}), embedding_dim=8, min_freq=1)
    classifier.fit(["这部电影很好看", "很好", "太差了", "不好看,很差"] * 10, ["好", "好", "差", "差"] * 10)
    assert classifier.predict(["很好看", "太差"]).tolist() == ["好", "差"]


def test_sequences_of_any_length() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(int(n), 2)) + label for n, label in zip(rng.integers(1, 9, 60), [0, 3] * 30, strict=True)]
    y = np.array([0, 3] * 30)
    assert Classifier(**SMALL).fit(X, y).score(X, y) == 1.0
    assert Regressor(**(SMALL | {"epochs": 15}), pooling="mean").fit(X, y).score(X, y) > 0.8


def test_a_list_of_arrays_holds_sequences_also_when_all_have_one_length() -> None:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=5) + label for label in [0, 3] * 20]
    fitted = Classifier(**(SMALL | {"epochs": 15})).fit(X, [0, 1] * 20)
    assert fitted.predict([np.full(7, 3.0), np.full(3, -0.5)]).tolist() == [1, 0]


def test_a_data_frame_with_one_column_of_texts() -> None:
    import pandas as pd

    frame = pd.DataFrame({"review": ["good film", "bad film"] * 20})
    fitted = Classifier(**(SMALL | {"epochs": 10}), embedding_dim=8).fit(frame, ["pos", "neg"] * 20)
    assert fitted.predict(frame[:2]).tolist() == ["pos", "neg"]


def test_several_labels_a_row() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (80, 2))
    X = np.repeat(y[:, None, :].astype(float), 4, axis=1) + rng.normal(0, 0.1, (80, 4, 2))
    classifier = Classifier(**(SMALL | {"epochs": 15})).fit(X, y)
    assert (classifier.predict(X) == y).mean() > 0.95


def test_selection_pipelines_and_clones_work() -> None:
    X, y = digits(120)
    flat = X.reshape(120, 64)
    assert cross_val_score(make_pipeline(StandardScaler(), Classifier(**SMALL)), flat, y, cv=2).shape == (2,)
    search = GridSearchCV(Classifier(**SMALL), {"hidden_size": [4, 8]}, cv=2).fit(flat, y)
    assert search.best_params_["hidden_size"] in (4, 8)
    copy = clone(search.best_estimator_)
    assert copy.get_params() == search.best_estimator_.get_params()


def test_the_same_seed_gives_the_same_model_and_leaves_torchs_random_state_alone() -> None:
    import torch

    X, y = digits(60)
    before = torch.random.get_rng_state()
    a = Classifier(**SMALL, head_dropout=0.3).fit(X, y)
    b = Classifier(**SMALL, head_dropout=0.3).fit(X, y)
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(a)).predict_proba(X), a.predict_proba(X))  # noqa: S301
    c = Classifier(**SMALL, head_dropout=0.3, seed=1).fit(X, y)
    assert not np.array_equal(a.predict_proba(X), c.predict_proba(X))


def test_mistakes_are_said() -> None:
    X, y = digits(60)
    with pytest.raises(TypeError, match="hiden"):
        Classifier(hiden=3)
    with pytest.raises(OptionError, match="hidden_size is 0"):
        Classifier(hidden_size=0).fit(X, y)
    with pytest.raises(DataError, match="one class only"):
        Classifier(**SMALL).fit(X, np.zeros(60))
    with pytest.raises(DataError, match="give a list of texts"):
        Classifier(**SMALL).fit("abc", y)
    spoilt = X.copy()
    spoilt[3, 2, 1] = np.nan
    with pytest.raises(DataError, match=r"row 4: 'X' has nan at step 3, feature 2"):
        Classifier(**SMALL).fit(spoilt, y)
    with pytest.raises(DataError, match=r"row 2: 'X' is empty"):
        Classifier(**SMALL).fit(["a", ""] * 10, [0, 1] * 10)
    with pytest.raises(DataError, match="read the same"):
        Classifier(**SMALL).fit(["x y", "z w"] * 10, ["a", "a "] * 10)
    with pytest.raises(DataError, match="row 1: 'X' is null"):
        Classifier(**SMALL).fit([None, "good"] * 10, [0, 1] * 10)
    fitted = Classifier(**SMALL).fit(X, y)
    with pytest.raises(DataError, match="fitted on the other"):
        fitted.predict(["text"])
    with pytest.raises(DataError, match="7 features per step, not 8"):
        fitted.predict(X[:, :, :7])


def fitted(**given: object) -> Classifier:
    texts, labels = ["good film", "a good one", "bad film", "such a bad one"] * 10, ["pos", "pos", "neg", "neg"] * 10
    return Classifier(**SMALL, embedding_dim=8, min_freq=1).fit(texts, labels, **given)


def test_rows_of_weight_0_are_as_removed() -> None:
    X, y = digits(120)
    weights = np.where(np.arange(120) % 3, 2.0, 0.0)
    all_rows = Classifier(**SMALL).fit(X, y, sample_weight=weights)
    fewer = Classifier(**SMALL).fit(X[weights > 0], y[weights > 0])
    assert (all_rows.predict_proba(X) == fewer.predict_proba(X)).all()
    texts = fitted(sample_weight=[1, 0, 1, 1] * 10)
    assert "one" in texts.task_.encoder.entries()
    assert "one" not in fitted(sample_weight=[1, 0, 1, 0] * 10).task_.encoder.entries()


def test_weights_of_rows_and_of_classes_move_the_predictions() -> None:
    X, more = (
        [np.full(3, i % 2, np.float32) for i in range(60)],
        SMALL | {"epochs": 10, "validation_fraction": 0.0, "preset": "none"},
    )
    y = np.array([0, 0, 0, 1, 1, 1] * 10)  # independent of X
    plain = Classifier(**more).fit(X, y).predict_proba(X)[:, 1].mean()
    heavy = Classifier(**more).fit(X, y, sample_weight=np.where(y, 9.0, 1.0)).predict_proba(X)[:, 1].mean()
    classes = Classifier(**more, class_weights={1: 9}).fit(X, y)
    assert heavy > plain + 0.25
    assert classes.predict_proba(X)[:, 1].mean() == pytest.approx(heavy, abs=0.02)
    assert clone(classes).get_params()["class_weights"] == {1: 9}
    reg = Regressor(**more).fit(X, y * 10.0, sample_weight=np.where(y, 9.0, 1.0))
    assert reg.predict(X).mean() > 6


def test_validation_data_takes_the_place_of_the_split() -> None:
    X = ["good film", "bad one"]
    assert fitted(X_val=X, y_val=["neg", "pos"]).task_.mean.tolist() == [0.5, 0.5]
    wrong = fitted(X_val=X * 8, y_val=["neg", "pos"] * 8).history_[-1]["valid_accuracy"]
    right = fitted(X_val=X * 8, y_val=["pos", "neg"] * 8).history_[-1]["valid_accuracy"]
    assert wrong + right == 1
    numbers = [np.full(3, i / 10, np.float32) for i in range(20)]
    reg = Regressor(**SMALL).fit(numbers, range(20), X_val=numbers[:2], y_val=[100.0, 100.0])
    assert reg.history_[-1]["valid_mae"] > 70


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X_val": ["good"]}, "X_val is given without y_val; give both, or none to hold out a share of X"),
        ({"y_val": ["pos"]}, "y_val is given without X_val; give both, or none to hold out a share of X"),
        (
            {"X_val": ["good"], "y_val": ["poss"]},
            "y_val has a label that the training data did not have: 'poss' (1 row, first row 1); did you mean 'pos'?",
        ),
        (
            {"X_val": ["good", None], "y_val": ["pos", "neg"]},
            "X_val, y_val: 1 of 2 rows of X cannot be used (row 2: 'X' is null)",
        ),
        ({"X_val": [[1.0, 2.0]], "y_val": ["pos"]}, "X_val holds numbers, but X holds text"),
        ({"sample_weight": [1]}, "sample_weight has shape (1,); give one number for each of the 40 rows of X"),
        (
            {"sample_weight": [0, 0, 1, 1] * 10},
            "y has one class only, 'neg'; a classifier needs at least two",
        ),
    ],
)
def test_validation_data_and_weights_that_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as error:
        fitted(**given)
    assert str(error.value) == message


def test_validation_sequences_of_another_width() -> None:
    X, y = digits(40)
    with pytest.raises(DataError) as error:
        Classifier(**SMALL).fit(X, y, X[:2, :, :3], y[:2])
    assert str(error.value) == "row 1 of X_val has 3 features per step, but the training data has 8"


@pytest.mark.parametrize("labels", [["yes", "no"], [7, -1], [True, False], [1.0, 2.0]], ids=str)
def test_labels_of_any_type_survive_every_copy(labels: list[object], tmp_path: Path) -> None:
    X, y = [[0.0, 1.0], [1.0, 0.0]] * 20, labels * 20
    classifier = Classifier(**SMALL).fit(X, y)
    again = Classifier.load(classifier.save(tmp_path / "run"))
    dumped = tmp_path / "model.joblib"
    joblib.dump(classifier, dumped)
    for copied in (again, copy.deepcopy(classifier), joblib.load(dumped)):
        assert copied.classes_.tolist() == sorted(labels)  # pyright: ignore[reportArgumentType]
        assert copied.classes_.dtype.kind in (classifier.classes_.dtype.kind, "i")
        assert copied.score(X, y) == classifier.score(X, y)
        assert (copied.predict(X) == classifier.predict(X)).all()
        assert copied.predict_proba(X).dtype == np.float64


def test_workers_of_joblib_and_pipelines_take_the_estimators() -> None:
    X, y = digits(60)
    classifier = Classifier(**(SMALL | {"epochs": 1})).fit(X, y % 2)
    own = joblib.Parallel(n_jobs=2)(joblib.delayed(classifier.predict)(X[i : i + 5]) for i in (0, 5))
    assert (np.concatenate(own) == classifier.predict(X[:10])).all()
    pipeline = make_pipeline(FunctionTransformer(lambda rows: rows / 16), classifier)
    weights = np.where(y[:40] % 2, 2.0, 1.0)
    pipeline.fit(X[:40], y[:40] % 2, classifier__sample_weight=weights)
    assert 0 <= pipeline.score(X[40:], y[40:] % 2) <= 1
    grid = GridSearchCV(classifier, {"class_weights": ["none", {1: 4.0}]}, cv=2, scoring="roc_auc")
    assert grid.fit(X, y % 2).best_params_["class_weights"] in ("none", {1: 4.0})
    scores = cross_val_score(classifier, X[:40], y[:40] % 2, cv=2, params={"sample_weight": weights})
    assert scores.shape == (2,)
