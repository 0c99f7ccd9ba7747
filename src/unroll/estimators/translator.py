"""`Translator`: text to text with the scikit-learn API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from sklearn.utils.validation import check_consistent_length, check_is_fitted

from unroll.data.bad_rows import describe
from unroll.data.pairs.reader import Pairs, bad_pairs
from unroll.data.tables import rows_in
from unroll.errors import DataError
from unroll.estimators.base import Estimator, takes
from unroll.estimators.inputs import both_or_none
from unroll.estimators.parameters import TranslatorParameters
from unroll.serving.translator import TranslationPredictor
from unroll.tasks.base import Report, ignore
from unroll.tasks.translation.options import TranslationSettings
from unroll.tasks.translation.records import PairRecords
from unroll.tasks.translation.task import TranslationTask


@takes(TranslationSettings, "source", "target")
class Translator(Estimator):
    """Recurrent encoder-decoder with attention: one text in, another out.

    Every option of `unroll fit translation` is a parameter, with the same name and default; `verbose` shows the
    training. X is a sequence of N texts, y of their N translations.

    Attributes:
        history_: a mapping for each epoch: losses and metrics.
        warnings_: warnings of the training monitor.
        model_, task_: the trained model, and the task that encodes and decodes for it.

    Raises (in `fit`, `predict` and `score`):
        OptionError: a parameter's value cannot be used.
        DataError: unusable texts.

    Example:
        >>> X = [f"{a} {b}" for a in "abcdefgh" for b in "abcdefgh"] * 6
        >>> y = [f"{text[2]} {text[0]}" for text in X]
        >>> reverse = unroll.Translator(level="char", hidden_size=32, epochs=12, learning_rate=0.01, batch_size=16)
        >>> reverse.fit(X, y).predict(["a c", "h b"])
        ['c a', 'b h']
    """

    _task_name = "translation"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[TranslatorParameters]) -> None: ...

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> Translator:
        """Fit on X and y.

        Args:
            X: the texts, see `Translator`.
            y: their translations.
            X_val: texts that select the best epoch (None: a share `validation_fraction` of the pairs does).
            y_val: their translations; a list of texts holds several references.

        Raises:
            OptionError: a parameter's value cannot be used.
            DataError: unusable texts.
        """
        if y is None:
            raise DataError("Translator requires y to be passed, but the target y is None")
        settings = TranslationSettings.from_flat(self._options())
        say = print if self.verbose else ignore
        pairs = _pairs(X, y, ("X", "y"), references=False)
        held_out = None
        if both_or_none(X_val, y_val):
            held_out = _pairs(X_val, y_val, ("X_val", "y_val"), references=True)
        self._train(TranslationTask.prepare_records("translation", settings, pairs, held_out, say=say))
        return self

    def predict(self, X: Any) -> list[str]:
        """Translate each text, with the result that it has alone."""
        return [answer["translation"] for answer in self.translate(X)]

    def translate(self, X: Any, **options: Any) -> list[dict[str, Any]]:
        """Translate texts, with scores and alignments; options as in `TranslationPredictor.translate`."""
        check_is_fitted(self)
        texts = rows_in(X, "X")
        if not len(texts):
            raise DataError("Found array with 0 sample(s) while a minimum of 1 is required.")
        return TranslationPredictor(self.task_, self.model_).translate(texts, **options)

    def score(self, X: Any, y: Any) -> float:
        """Compute sacreBLEU of the translations, from 0 to 100; an element of y may be a list of references."""
        return float(self.report(X, y)["bleu"])

    def report(self, X: Any, y: Any) -> Report:
        """Compute all metrics of `unroll evaluate`."""
        check_is_fitted(self)
        return self.task_.evaluate(self.model_, self.task_.encode(_pairs(X, y, ("X", "y"), references=True)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


def _pairs(X: Any, y: Any, names: tuple[str, str], *, references: bool) -> PairRecords:
    sources, targets = rows_in(X, names[0]), rows_in(y, names[1])
    check_consistent_length(sources, targets)
    found = Pairs(sources, targets, " and ".join(names))
    bad = bad_pairs(found, *names, references=references)
    if bad or not len(sources):
        raise DataError(describe(bad, len(sources), found.where) if bad else f"{found.where} have no rows")
    return PairRecords(tuple(map(str, sources)), tuple(_texts(target) for target in targets))


def _texts(target: str | Sequence[str]) -> tuple[str, ...]:
    return (str(target),) if isinstance(target, str) else tuple(map(str, target))
