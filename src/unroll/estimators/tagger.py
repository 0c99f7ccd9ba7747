"""`Tagger`: sequence tagging with the scikit-learn API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from unroll.data.bad_rows import describe
from unroll.data.labels import label_name
from unroll.data.tables import rows_in
from unroll.data.text.word_vocab import as_tokens
from unroll.data.values import is_missing
from unroll.errors import DataError
from unroll.estimators.base import Estimator, takes
from unroll.estimators.inputs import both_or_none
from unroll.estimators.parameters import TaggerParameters
from unroll.tasks.base import Log, ignore
from unroll.tasks.tagging.options import TaggingOptions, TaggingSettings
from unroll.tasks.tagging.records import Sentences, checked
from unroll.tasks.tagging.task import TaggingTask
from unroll.tasks.transfer import resolve_settings


@takes(TaggingSettings, "tokens", "tags")
class Tagger(Estimator):
    """Recurrent tagger of token lists.

    Every option of `unroll fit tagging` is a parameter, with the same name and default; `verbose` shows the training.

    X is a sequence of N token lists, or of texts that are split according to `tokenize`. y is a sequence of N tag
    lists, each as long as the sentence's tokens.

    Attributes:
        classes_: the tags, sorted.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: warnings of the training monitor.
        model_, task_: the trained model, and the task that encodes and decodes for it.

    Raises (in `fit`, `predict` and `score`):
        OptionError: a parameter's value cannot be used.
        DataError: unusable sentences, or only one tag.

    Example:
        >>> X, y = [["Ada", "met", "Bob"], ["they", "slept"]] * 20, [["B-PER", "O", "B-PER"], ["O", "O"]] * 20
        >>> unroll.Tagger(epochs=10, learning_rate=0.02).fit(X, y).predict([["Ada", "slept"]])
        [['B-PER', 'O']]
    """

    _task_name = "tagging"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[TaggerParameters]) -> None: ...

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Tagger:
        """Fit on X and y.

        Args:
            X: the sentences, see `Tagger`.
            y: their tags.
            X_val: sentences that select the best epoch (None: a share `validation_fraction` of the sentences does).
            y_val: their tags; those that do not occur in y count as errors.

        Raises:
            OptionError: a parameter's value cannot be used.
            DataError: unusable sentences, or only one tag.
        """
        if y is None:
            raise DataError("Tagger requires y to be passed, but the target y is None")
        settings = resolve_settings(TaggingSettings, self._options())
        say = print if self.verbose else ignore
        sentences = _sentences(X, y, ("X", "y"), settings.tagging, say)
        held_out = None
        if both_or_none(X_val, y_val):
            held_out = _sentences(X_val, y_val, ("X_val", "y_val"), settings.tagging, say, sentences.names)
        self._train(TaggingTask.prepare_records("tagging", settings, sentences, held_out, say=say))
        self.classes_ = np.array(self.task_.labels.names)
        return self

    def _loaded(self) -> None:
        self.classes_ = np.array(self.task_.labels.names)

    def predict(self, X: Any) -> list[list[str]]:
        """Predict the tags of each sentence."""
        check_is_fitted(self)
        return [record["tags"] for record in self._answer(rows_in(X, "X"))]

    def score(self, X: Any, y: Any) -> float:
        """Compute accuracy: the share of tokens with the right tag."""
        answered, wanted = self.predict(X), [as_tokens(tags) for tags in rows_in(y, "y")]
        check_consistent_length(answered, wanted)
        bad = [(row, reason) for row, tags in enumerate(wanted) if (reason := _wrong_tags(tags))]
        if bad:
            raise DataError(describe(bad, len(wanted), "y"))
        for row, (one, other) in enumerate(zip(answered, wanted, strict=True), start=1):
            if len(one) != len(other):
                raise DataError(f"row {row} of y has tags for {len(other)} tokens, but X has {len(one)}")
        pairs = zip(chain(*answered), chain(*wanted), strict=True)
        return float(np.mean([a == label_name(w) for a, w in pairs]))

    def _answer(self, sentences: Sequence[Any]) -> list[dict[str, Any]]:
        if not len(sentences):
            raise DataError("Found array with 0 sample(s) while a minimum of 1 is required.")
        bad = sorted(self.task_.validate(sentences).items())
        if bad:
            raise DataError(describe(bad, len(sentences), "X"))
        return self.task_.predict(self.model_, sentences)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        tags.non_deterministic = False
        return tags


def _sentences(
    X: Any, y: Any, names: tuple[str, str], options: TaggingOptions, say: Log, known: Sequence[str] | None = None
) -> Sentences:
    tokens, tags = rows_in(X, names[0]), rows_in(y, names[1])
    check_consistent_length(tokens, tags)

    def values(rows: np.ndarray | None = None) -> Iterator[Any]:
        return iter(tokens) if rows is None else (tokens[i] for i in rows)

    return checked(values, tags, len(tokens), options, " and ".join(names), remedy="", say=say, known=known)


def _wrong_tags(tags: Any) -> str:
    if is_missing(tags):
        return "'y' is null"
    if not isinstance(tags, list | tuple | np.ndarray):
        return f"'y' holds {type(tags).__name__}, not a list of tags"
    missing = next((i for i, tag in enumerate(tags, 1) if label_name(tag) is None), 0)
    return f"'y' has no tag at token {missing}" if missing else ""
