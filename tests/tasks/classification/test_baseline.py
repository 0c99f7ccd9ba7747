from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from unroll.data.ragged import RaggedDataset
from unroll.tasks.base import DataPaths
from unroll.tasks.classification import baseline
from unroll.tasks.classification.baseline import fit_baseline
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.report import format_report
from unroll.tasks.train import train_from_files


def tokens(rows=120, seed=0):
    """Rows of five tokens of twelve; the class is which of two tokens comes first, which pairs of tokens tell."""
    random = np.random.default_rng(seed)
    ids, targets = random.integers(2, 12, (rows, 5)), random.integers(0, 2, rows)
    ids[:, 1], ids[:, 2] = np.where(targets, 20, 21), np.where(targets, 21, 20)
    return RaggedDataset.from_arrays(list(ids.astype(np.int32)), targets)


def test_texts_are_those_of_scikit_learn():
    part = tokens()
    fitted = fit_baseline(part, "single", 2, level="word", seed=0)
    texts = [" ".join(f"w{i}" for i in row) for row in part.take(np.arange(len(part)))]
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    X = tfidf.fit_transform(texts)
    expected = LogisticRegression(C=10, max_iter=300).fit(X, part.targets).predict_proba(X)
    assert fitted.name == "TF-IDF + logistic regression"
    assert fitted.outputs(part).numpy() == pytest.approx(expected, abs=1e-4)
    assert (fitted.outputs(tokens(seed=1)).argmax(1).numpy() == tokens(seed=1).targets).mean() > 0.95
    words = fit_baseline(part, "single", 30, level="word", seed=0)  # many classes: words alone, which tell nothing
    assert (words.outputs(tokens(seed=1)).argmax(1).numpy() == tokens(seed=1).targets).mean() < 0.75
    assert words.outputs(part).shape == (120, 30)


def test_sequences_of_numbers():
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 80)
    arrays = [random.normal(0, 1 + 2 * t, (random.integers(5, 30), 3)).astype(np.float32) for t in targets]
    part = RaggedDataset.from_arrays(arrays, targets)
    fitted = fit_baseline(part.subset(np.arange(60)), "single", 2, level=None, seed=0)
    assert fitted.name == "statistics + random forest"
    assert (fitted.outputs(part).argmax(1).numpy() == targets)[60:].mean() >= 0.9
    lengths = np.array([[len(a)] for a in arrays], np.float64)
    numbers = fit_baseline(RaggedDataset.from_arrays(arrays, lengths), "regression", 1, level=None, seed=0)
    assert np.abs(numbers.outputs(part).numpy() - lengths).mean() < 1.5
    one = RaggedDataset.from_arrays([np.ones((1, 3), np.float32)])
    assert np.isfinite(fitted.outputs(one).numpy()).all()


def test_many_labels_and_regression_of_texts(monkeypatch):
    part = tokens()
    both = np.stack([part.targets, 1 - part.targets], 1)
    many = fit_baseline(RaggedDataset.from_arrays(part.take(np.arange(120)), both), "multi", 2, level="word", seed=0)
    assert ((many.outputs(part).numpy() > 0.5) == both).all()
    monkeypatch.setattr(baseline, "MOST_ROWS", 50)
    values = part.targets[:, None] * 10.0
    fitted = fit_baseline(
        RaggedDataset.from_arrays(part.take(np.arange(120)), values), "regression", 1, level="word", seed=0
    )
    assert fitted.name == "TF-IDF + ridge regression, on 50 rows"
    assert np.abs(fitted.outputs(part).numpy() - values).mean() < 3


def test_the_report_says_who_is_better():
    report = {"rows": 9, "accuracy": 0.8, "baselines": {"TF-IDF + logistic regression": {"accuracy": 0.7}}}
    assert format_report(report)[-1] == "TF-IDF + logistic regression: accuracy 0.7000; the model is better by 0.1000"
    report["accuracy"] = 0.7
    assert format_report(report)[-1].endswith("; the model is as good")
    report["accuracy"] = 0.65
    assert format_report(report, advice=["--ngrams 2", "more --epochs"])[-2:] == [
        "TF-IDF + logistic regression: accuracy 0.7000; the model loses by 0.0500",
        "  try --ngrams 2, more --epochs",
    ]
    errors = {"rows": 9, "rmse": 3.0, "baselines": {"statistics + random forest": {"rmse": 2.0}}}
    assert format_report(errors)[-2] == "statistics + random forest: rmse 2.0000; the model loses by 1.0000"


@pytest.mark.slow
@pytest.mark.parametrize("option", ["auto", "none"])
def test_a_fit_writes_it_beside_the_figures(tmp_path, option):
    rows = [f"{word} {i % 7},{label}" for i in range(40) for word, label in (("fine", "a"), ("poor", "b"))]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    settings = ClassificationSettings.from_flat({"epochs": 1, "hidden_size": 4, "threads": 1, "baseline": option})
    said: list[str] = []
    train_from_files("classification", DataPaths([str(tmp_path / "a.csv")]), settings, tmp_path / "r", say=said.append)
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    if option == "none":
        assert "baselines" not in metrics["validation"]
        assert not any("TF-IDF" in line for line in said)
    else:
        assert metrics["validation"]["baselines"] == {
            "TF-IDF + logistic regression": {"accuracy": 1.0, "f1_macro": 1.0}
        }
        assert any("TF-IDF + logistic regression: accuracy 1.0000" in line for line in said)
