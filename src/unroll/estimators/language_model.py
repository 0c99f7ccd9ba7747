"""`LanguageModel`: a language model of texts in memory, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from unroll.data.bad_rows import describe
from unroll.data.options import TextOptions
from unroll.data.tables import rows_in
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError
from unroll.estimators.base import Estimator, parameters, takes
from unroll.serving.language_model import LanguagePredictor
from unroll.tasks.base import Report, TrainingData
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.task import LanguageTask, corpus_of, lines_of_texts, text_rows


@takes(parameters(LanguageSettings, "text"))
class LanguageModel(Estimator):
    """A recurrent language model: how likely each token is to come next.

    Every option of `unroll fit language-model` is a parameter, with the same name and default; `verbose` shows the
    training.

    X is one text, or a list of texts of which each ends a line. The last share `validation` of it, by position, chooses
    the best epoch's weights. A larger text than memory holds is for `unroll fit language-model`.

    Raises (in `fit`):
        OptionError: a parameter's value cannot be used.
        DataError: X holds something that is no text, or is empty.
    """

    def fit(self, X: str | Sequence[str], y: None = None) -> LanguageModel:
        """Train on the texts; `y` is not used."""
        settings = LanguageSettings.from_flat(self._options())
        texts = _lines(X)
        held = 0
        if settings.batch.validation_fraction:
            texts, held = _divided(texts, settings.batch.validation_fraction)
        encoder = TextTokenizer.learn(texts[: len(texts) - held], TextOptions(**asdict(settings.text)))
        parts = [texts[: len(texts) - held], texts[len(texts) - held :]]
        train, valid = (corpus_of(part, encoder, settings, "X") if part else None for part in parts)
        assert train is not None  # noqa: S101 (`_divided` leaves a text)
        self._train(TrainingData(LanguageTask.learn("language-model", settings, encoder, train), train, valid, None))
        return self

    def generate(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """What the model writes after `prompt`, piece by piece; options as in `LanguagePredictor.generate`."""
        return self._predictor().generate(prompt, **options)

    def score(self, X: str | Sequence[str], y: None = None) -> float:
        """Minus the nats per token over all of X, read once: higher is better, as scikit-learn wants it."""
        return -float(self.report(X)["nats_per_token"])

    def perplexity(self, X: str | Sequence[str]) -> float:
        """exp(nats per token) over all of X, read once with the state carried."""
        return float(self.report(X)["perplexity"])

    def score_lines(self, X: Sequence[str]) -> list[dict[str, Any]]:
        """The log-probabilities of each text's tokens; see `LanguagePredictor.score`."""
        return list(self._predictor().score(rows_in(X, "X")))

    def report(self, X: str | Sequence[str]) -> Report:
        """Every figure that `unroll evaluate` gives."""
        check_is_fitted(self)
        return self.task_.report(self.model_, corpus_of(_lines(X), self.task_.encoder, self.task_.settings, "X"))

    def _predictor(self) -> LanguagePredictor:
        check_is_fitted(self)
        return LanguagePredictor(self.task_, self.model_)


def _lines(X: Any) -> list[str]:
    """The lines of X, each with its end."""
    texts = [X] if isinstance(X, str) else rows_in(X, "X")
    bad = text_rows(texts, "X")
    if bad:
        raise DataError(describe(bad, len(texts), "X"))
    if not any(text.strip() for text in texts):
        raise DataError("X holds no text")
    return lines_of_texts(texts)


def _divided(lines: list[str], share: float) -> tuple[list[str], int]:
    """The lines, one of them cut where that is needed, and how many of them are the last `share` of the characters.

    Raises:
        DataError: there is too little text to be divided.
    """
    ends = np.cumsum([len(line) for line in lines])
    wanted = int(ends[-1] * (1 - share))
    at = int(np.searchsorted(ends, wanted, side="right"))
    if at > 0:
        return lines, len(lines) - at
    space = lines[0].find(" ", wanted)
    space = space if space > 0 else lines[0].rfind(" ", 0, wanted)
    if space <= 0:
        raise DataError("X is too short to be divided into training and validation; set validation to 0")
    return [lines[0][:space], lines[0][space:], *lines[1:]], len(lines)
