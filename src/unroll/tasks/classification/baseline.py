"""Fit a strong baseline in seconds: TF-IDF + linear model for texts, statistics + random forest for sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unroll.data.ragged import ROWS_AT_ONCE, RaggedDataset

Kind = Literal["single", "multi", "regression"]
MOST_ROWS = 20_000
"""Training rows that the baseline is fitted on, at most: it should take seconds."""
_MOST_TOKENS = 2_000_000
_MOST_FEATURES = 50_000
_MANY_CLASSES = 20
"""With more classes than this, pairs of words would take a minute."""


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline.

    Attributes:
        name: such as "TF-IDF + logistic regression"; says if it was fitted on a part of the rows.
        kind: one label, any labels, or numbers.
        outputs_count: K.
        features: a fitted scikit-learn transformer of token ids, or None for statistics of numeric sequences.
        model: a fitted scikit-learn model.
    """

    name: str
    kind: Kind
    outputs_count: int
    features: Any
    model: Any

    def outputs(self, part: RaggedDataset) -> Float[Tensor, "N K"]:
        """Compute probabilities, or values, for every row."""
        inputs = _inputs(part, np.arange(len(part)))
        X = _statistics(inputs) if self.features is None else self.features.transform(inputs)
        if self.kind == "regression":
            return torch.from_numpy(self.model.predict(X).reshape(len(part), -1))
        result = np.zeros((len(part), self.outputs_count))
        if self.kind == "single":
            result[:, self.model.classes_] = self.model.predict_proba(X)
        else:
            result[:] = self.model.predict_proba(X)
        return torch.from_numpy(result)


def fit_baseline(train: RaggedDataset, kind: Kind, outputs: int, *, level: str | None, seed: int) -> Baseline:
    """Fit the baseline on the encoded training part.

    Texts: TF-IDF (sublinear) of words and pairs of words, or of runs of up to four characters, and logistic regression
    (C = 10) or ridge regression. Numeric sequences: mean, deviation, quartiles, range, first and last value of each
    feature and of its changes, and a random forest of 200 trees.

    Args:
        train: the training part.
        kind: one label, any labels, or numbers.
        outputs: K, the number of labels or targets.
        level: what a token of a text is; None: rows are numeric sequences.
        seed: of the rows that are taken of many, and of the forest.
    """
    targets = train.targets
    assert targets is not None  # noqa: S101 (a training part has them)
    rows = np.arange(len(train))
    most = min(MOST_ROWS, max(1000, int(_MOST_TOKENS / max(1.0, train.lengths.mean()))))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), most, replace=False))
    inputs, y = _inputs(train, rows), targets[rows]
    features, text = None, level is not None
    if text:
        features = _tfidf(4 if level != "word" else 1 if outputs > _MANY_CLASSES else 2)
        X = features.fit_transform(inputs)
    else:
        X = _statistics(inputs)
    model = _model(kind, text=text, seed=seed)
    model.fit(X, y[:, 0] if kind == "regression" and y.shape[1] == 1 else y)
    what = {"regression": "ridge regression"}.get(kind, "logistic regression") if text else "random forest"
    of = "" if len(rows) == len(train) else f", on {len(rows):,} rows"
    name = f"{'TF-IDF' if text else 'statistics'} + {what}{of}"
    return Baseline(name, kind, outputs, features, model)


def _model(kind: Kind, *, text: bool, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    if kind == "regression":
        return Ridge() if text else RandomForestRegressor(200, random_state=seed)
    single = LogisticRegression(C=10, max_iter=300) if text else RandomForestClassifier(200, random_state=seed)
    return single if kind == "single" else OneVsRestClassifier(single)


def _tfidf(most: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    def runs(ids: np.ndarray) -> Iterator[str]:
        tokens = [str(i) for i in ids.tolist()]
        for n in range(1, most + 1):
            for k in range(len(tokens) - n + 1):
                yield " ".join(tokens[k : k + n])

    analyzer: Any = runs  # declared as a name alone
    return TfidfVectorizer(analyzer=analyzer, sublinear_tf=True, max_features=_MOST_FEATURES)


def _inputs(part: RaggedDataset, rows: np.ndarray) -> list[np.ndarray]:
    return [x for start in range(0, len(rows), ROWS_AT_ONCE) for x in part.take(rows[start : start + ROWS_AT_ONCE])]


def _statistics(inputs: list[np.ndarray]) -> Float[np.ndarray, "N F"]:
    """Describe each sequence (T, D) by 17 numbers for each feature, and its length."""
    described = []
    for values in inputs:
        x = values.reshape(len(values), -1).astype(np.float64)
        change = np.diff(x, axis=0) if len(x) > 1 else np.zeros_like(x)
        parts = [x[0], x[-1]]
        for series in (x, change):
            parts += [series.mean(0), series.std(0), *np.quantile(series, (0, 0.25, 0.5, 0.75, 1), axis=0)]
        parts.append(np.abs(change).mean(0))
        described.append(np.concatenate([*parts, [len(x)]]))
    return np.stack(described)
