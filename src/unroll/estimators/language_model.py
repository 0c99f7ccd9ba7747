"""`LanguageModel`: a language model with the scikit-learn API, for texts in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from sklearn.utils.validation import check_is_fitted

from unroll.data.bad_rows import describe
from unroll.data.tables import rows_in
from unroll.errors import DataError
from unroll.estimators.base import Estimator, takes
from unroll.estimators.parameters import LanguageModelParameters
from unroll.serving.language_model import LanguagePredictor
from unroll.tasks.base import Report
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.records import TextLines, lines_of_texts, text_rows
from unroll.tasks.language_modeling.task import LanguageTask


@takes(LanguageSettings, "text")
class LanguageModel(Estimator):
    """Recurrent language model: predict the probability of each next token.

    Every option of `unroll fit language-model` is a parameter, with the same name and default; `verbose` shows the
    training.

    X is one text, or a list of texts, each ending a line. The last share `validation_fraction` of it selects the best
    epoch. For text larger than memory use `unroll fit language-model`.

    Raises (in `fit`):
        OptionError: a parameter's value cannot be used.
        DataError: X is empty, or holds something other than text.

    Example:
        >>> model = unroll.LanguageModel(level="char", epochs=5, learning_rate=0.02).fit(["abcabcabc"] * 60)
        >>> "".join(model.generate("ab", length=4, temperature=0))
        'cabc'
    """

    _task_name = "language-model"

    if TYPE_CHECKING:

        def __init__(self, **parameters: Unpack[LanguageModelParameters]) -> None: ...

    def fit(self, X: str | Sequence[str], y: None = None, X_val: str | Sequence[str] | None = None) -> LanguageModel:
        """Fit on the texts.

        Args:
            X: the texts, see `LanguageModel`.
            y: ignored.
            X_val: texts that select the best epoch (None: the last share `validation_fraction` of X does).

        Raises:
            OptionError: a parameter's value cannot be used.
            DataError: X or X_val is empty, or holds something other than text.
        """
        settings = LanguageSettings.from_flat(self._options())
        held_out = None if X_val is None else _lines(X_val, "X_val")
        self._train(LanguageTask.prepare_records("language-model", settings, _lines(X), held_out))
        return self

    def generate(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """Generate text after `prompt`, in pieces; options as in `LanguagePredictor.generate`."""
        return self._predictor().generate(prompt, **options)

    def score(self, X: str | Sequence[str], y: None = None) -> float:
        """Compute the negative loss in nats per token over all of X; higher is better, as in scikit-learn."""
        return -float(self.report(X)["nats_per_token"])

    def perplexity(self, X: str | Sequence[str]) -> float:
        """Compute perplexity, exp(nats per token), over all of X, read once with the state carried."""
        return float(self.report(X)["perplexity"])

    def score_lines(self, X: Sequence[str]) -> list[dict[str, Any]]:
        """Compute the log-probabilities of each text's tokens; see `LanguagePredictor.score`."""
        return list(self._predictor().score(rows_in(X, "X")))

    def report(self, X: str | Sequence[str]) -> Report:
        """Compute all metrics of `unroll evaluate`."""
        check_is_fitted(self)
        return self.task_.evaluate(self.model_, self.task_.encode(_lines(X)))

    def _predictor(self) -> LanguagePredictor:
        check_is_fitted(self)
        return LanguagePredictor(self.task_, self.model_)


def _lines(X: Any, name: str = "X") -> TextLines:
    """Split X, called `name` in messages, into lines, each with its end."""
    texts = [X] if isinstance(X, str) else rows_in(X, name)
    bad = text_rows(texts, name)
    if bad:
        raise DataError(describe(bad, len(texts), name))
    if not any(text.strip() for text in texts):
        raise DataError(f"{name} holds no text")
    return TextLines(lines_of_texts(texts), name)
