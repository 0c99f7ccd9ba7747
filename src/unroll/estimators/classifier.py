"""`Classifier` and `Regressor`: sequence models with the scikit-learn API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from unroll.data.bad_rows import describe
from unroll.data.labels import Labels, Values, label_name
from unroll.data.ragged import RaggedDataset
from unroll.data.sample_weights import read_weights
from unroll.errors import DataError
from unroll.estimators.base import Estimator, takes
from unroll.estimators.inputs import Kind, both_or_none, of_validation, read_inputs
from unroll.estimators.parameters import ClassifierParameters, RegressorParameters
from unroll.estimators.targets import read_labels, read_numbers
from unroll.tasks.base import ignore
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.records import Records, bad_inputs
from unroll.tasks.classification.task import ClassificationTask
from unroll.tasks.transfer import resolve_settings

# column names and the baseline of a report are the command's; class weights and label smoothing the classifier's
_FILES = (
    *("text", "sequence", "series_id", "time", "date_format", "label", "label_separator", "sample_weight"),
    "baseline",
)


Weighted = tuple[np.ndarray, np.ndarray | None]
"""Positions of the rows to train on, and their weights; see `weighted_rows`."""
Target = tuple[Labels, np.ndarray]
"""Labels, and the targets of the rows to train on, encoded by them."""
Valid = tuple[list[Any], np.ndarray]
"""Inputs and encoded targets of the validation data."""


class _Labelled(Estimator):
    """Base class of the classifier and the regressor: fit and predict."""

    def _fit(self, values: list[Any], kind: Kind, weighted: Weighted, target: Target, valid: Valid | None) -> None:
        rows, weights = weighted
        labels, targets = target
        own = {"text": "text"} if kind == "text" else {"sequence": "values"}
        settings = resolve_settings(ClassificationSettings, self._options(**own))
        _refuse_bad(values, settings)
        records = Records(values, rows, settings.classification, labels, targets, "X", weights)
        held_out = None
        if valid is not None:
            inputs, answers = valid
            with of_validation():
                _refuse_bad(inputs, settings)
            every = np.arange(len(inputs))
            held_out = Records(inputs, every, settings.classification, labels, answers, "X_val")
        say = print if self.verbose else ignore
        self._train(ClassificationTask.prepare_records(self._task_name, settings, records, held_out, say=say))

    def _valid(
        self, X_val: Any, y_val: Any, kind: Kind, labels: Labels, read: Callable[[Any], np.ndarray]
    ) -> Valid | None:
        """Read validation data, if there is any: inputs, and targets as they are encoded for training."""
        if not both_or_none(X_val, y_val):
            return None
        with of_validation():
            y = read(y_val)
            values, own = read_inputs(self, X_val, reset=False)
        check_consistent_length(values, y)
        if own not in ("unknown", kind):
            raise DataError(f"X_val holds {own}, but X holds {kind}")
        return values, labels.encode(y, where="y_val")

    def _answer(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        values, kind = read_inputs(self, X, reset=False)
        if kind not in ("unknown", "text" if self.task_.takes_text else "numbers"):
            raise DataError(f"X holds {kind}, but the model was fitted on the other")
        encoder = self.task_.encoder
        _refuse_bad(values, self.task_.settings, encoder.features)
        return self.task_.outputs(self.model_, RaggedDataset.from_arrays(encoder.encode(values))).numpy()


@takes(ClassificationSettings, *_FILES)
class Classifier(ClassifierMixin, _Labelled):
    """Recurrent classifier of texts or numeric sequences.

    Every option of `unroll fit classification` is a parameter, with the same name and default; `verbose` shows
    the training.

    X is a sequence of N texts, of N arrays (T,) or (T, D), or a table (N, T) or array (N, T, D). y holds N labels,
    or is an indicator array (N, K) of zeros and ones for multi-label classification.

    Attributes:
        classes_: the labels, sorted.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: warnings of the training monitor.
        model_, task_: the trained model, and the task that encodes and decodes for it.

    Raises (in `fit` and `predict`):
        OptionError: a parameter's value cannot be used.
        DataError: unusable rows, or fewer than two classes.

    Example:
        >>> texts, labels = ["a great film", "so dull"] * 20, ["good", "bad"] * 20
        >>> clf = unroll.Classifier(epochs=8, hidden_size=16, learning_rate=0.02).fit(texts, labels)
        >>> clf.predict(["a great story", "dull"]).tolist()
        ['good', 'bad']
    """

    _task_name = "classification"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[ClassifierParameters]) -> None: ...

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None, sample_weight: Any = None) -> Classifier:
        """Fit on X and y.

        Args:
            X: the inputs, see `Classifier`.
            y: their labels.
            X_val: inputs that select the best epoch (None: a stratified share `validation_fraction` of the rows does).
            y_val: their labels, all of which occur in y.
            sample_weight: (N,) weights of the rows in the training loss, at least 0 (None: all the same). The loss of
                a batch is divided by the sum of its weights. Rows of weight 0 are left out; rows that select the best
                epoch count the same, whatever their weights.

        Raises:
            OptionError: a parameter's value cannot be used.
            DataError: unusable rows or weights, or fewer than two classes.
        """
        y = read_labels(_given(self, y))
        values, kind = read_inputs(self, X, y=y, reset=True)
        check_consistent_length(values, y)
        check_classification_targets(y)
        rows, weights = read_weights(sample_weight, len(values))
        y = y[rows]
        if y.ndim == 2:
            labels = Labels.learn(y, "multi")
            self.classes_ = np.arange(y.shape[1])
            targets = labels.encode(y)
        else:
            self.classes_, targets = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                raise DataError(f"y has one class only, {self.classes_.tolist()[0]!r}; a classifier needs at least two")
            names = [label_name(c) or "" for c in self.classes_.tolist()]
            if len(set(names)) < len(names):
                raise DataError(f"y has labels that read the same: {', '.join(map(repr, self.classes_.tolist()))}")
            kind_of_y: Values = "integer" if y.dtype.kind in "iuf" else "boolean" if y.dtype.kind == "b" else "text"
            labels = Labels("single", names, kind_of_y)
        target = labels, targets.astype(np.float32 if y.ndim == 2 else np.int64)
        self._fit(values, kind, (rows, weights), target, self._valid(X_val, y_val, kind, labels, read_labels))
        return self

    def _loaded(self) -> None:
        several = self.task_.labels.kind == "multi"
        self.classes_ = np.arange(len(self.task_.labels)) if several else self.task_.labels.array()

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable label of each row (N,), or zeros and ones (N, K)."""
        answers = self._answer(X)
        if self.task_.labels.kind == "multi":
            return (answers >= 0.5).astype(int)
        return self.classes_[answers.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each label (N, K), in the order of `classes_`."""
        answers = self._answer(X).astype(np.float64)
        return answers if self.task_.labels.kind == "multi" else answers / answers.sum(1, keepdims=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return _sequence_tags(tags)


@takes(ClassificationSettings, *_FILES, "class_weights", "label_smoothing")
class Regressor(RegressorMixin, _Labelled):
    """Recurrent regressor of texts or numeric sequences.

    Every option of `unroll fit regression` is a parameter; see `Classifier` for X. y is (N,) or (N, K) numbers.

    Example:
        >>> X = [np.full(n, n / 10) for n in (2, 4, 6, 8)] * 10
        >>> reg = unroll.Regressor(epochs=30, hidden_size=16, learning_rate=0.02, batch_size=8)
        >>> reg.fit(X, [len(x) for x in X]).predict([np.full(4, 0.4)]).round().tolist()
        [4.0]
    """

    _task_name = "regression"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[RegressorParameters]) -> None: ...

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None, sample_weight: Any = None) -> Regressor:
        """Fit on X and y.

        Args:
            X: the inputs, see `Classifier`.
            y: their numbers.
            X_val: inputs that select the best epoch (None: a share `validation_fraction` of the rows does).
            y_val: their numbers.
            sample_weight: (N,) weights of the rows in the training loss, at least 0, as in `Classifier.fit`.

        Raises:
            OptionError: a parameter's value cannot be used.
            DataError: unusable rows or weights.
        """
        y = read_numbers(_given(self, y))
        values, kind = read_inputs(self, X, y=y, reset=True, numeric=True)
        check_consistent_length(values, y)
        rows, weights = read_weights(sample_weight, len(values))
        y = y[rows]
        self._flat = y.ndim == 1
        labels = Labels.learn(y, "regression")
        valid = self._valid(X_val, y_val, kind, labels, read_numbers)
        self._fit(values, kind, (rows, weights), (labels, labels.encode(y)), valid)
        return self

    def _loaded(self) -> None:
        self._flat = len(self.task_.labels) == 1

    def predict(self, X: Any) -> np.ndarray:
        """Predict the value of each row (N,), or values (N, K)."""
        answers = self._answer(X).astype(np.float64)
        return answers[:, 0] if self._flat else answers

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return _sequence_tags(tags)


def _sequence_tags(tags: Any) -> Any:
    tags.input_tags.string = True
    tags.input_tags.three_d_array = True
    tags.non_deterministic = False
    return tags


def _given(estimator: Estimator, y: Any) -> Any:
    if y is None:
        raise DataError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    return y


def _refuse_bad(values: Sequence[Any], settings: ClassificationSettings, features: int = 0) -> None:
    bad = bad_inputs(values, settings, "X", features)
    if bad:
        raise DataError(describe(bad, len(values), "X"))
