"""Translate texts with a trained encoder-decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from unroll.errors import DataError, OptionError
from unroll.generation.constraints import Constraints
from unroll.generation.ensemble import Ensemble
from unroll.generation.options import SearchOptions
from unroll.serving.predictor import RecordPredictor, load
from unroll.tasks.translation.records import load_pairs
from unroll.tasks.translation.scoring import score_pairs
from unroll.tasks.translation.search import spelled_ids
from unroll.tasks.translation.task import TranslationTask

if TYPE_CHECKING:
    from collections.abc import Iterable


class TranslationPredictor(RecordPredictor):
    """Translate texts with a trained model.

    Attributes:
        options: of the search, as the run was trained with; `predict_files` and `translate` can override them.
    """

    task: TranslationTask  # pyright: ignore[reportIncompatibleVariableOverride] (it is never another)

    def __init__(self, task: TranslationTask, model: nn.Module) -> None:
        super().__init__(task, model)
        self.options: SearchOptions = task.settings.search
        self._prefix: Sequence[int] = ()
        self._alignment = False

    def _predict(self, values: Sequence[Any]) -> list[dict[str, Any]]:
        return self.task.translate(self.model, values, self.options, prefix=self._prefix, alignment=self._alignment)

    def predict_files(
        self,
        data: Sequence[str],
        *,
        beam: int | None = None,
        length_penalty: float | None = None,
        n_best: int | None = None,
        prefix: str = "",
        alignment: bool = False,
        ensemble: Sequence[str] = (),
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        keep: Sequence[str] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """Translate each row of files; "-" is standard input, answered as it arrives.

        Args:
            data: the files.
            beam: candidates at a time.
            length_penalty: see `SearchOptions`.
            n_best: texts for each row, as a list in `n_best`.
            prefix: text that every translation begins with.
            alignment: give tokens, log-probabilities and attention weights too.
            ensemble: run folders of models that answer together with this one.
            skip_bad_rows: answer an unusable row with `{"error": ...}`.
            encoding: of the files.
            keep: columns to repeat in the answers.
            say: called with notes.

        Raises:
            DataError: as `RecordPredictor.predict_files`; or the vocabulary cannot spell the prefix.
            OptionError: options that do not go together, or a run of the ensemble has another vocabulary.
        """
        given = {"beam": beam, "length_penalty": length_penalty, "n_best": n_best}
        options = _chosen(self.options, {name: value for name, value in given.items() if value is not None})
        start = spelled_ids(self.task.target_encoder, prefix, "the prefix") if prefix else ()
        asked = TranslationPredictor(self.task, self._ensemble(ensemble))
        asked.options, asked._prefix, asked._alignment, asked.written = options, start, alignment, self.written
        return RecordPredictor.predict_files(
            asked, data, skip_bad_rows=skip_bad_rows, encoding=encoding, keep=keep, say=say
        )

    def translate(
        self,
        texts: Iterable[str],
        *,
        options: SearchOptions | None = None,
        prefix: str = "",
        required: Sequence[str] = (),
        banned: Sequence[str] = (),
        alignment: bool = False,
    ) -> list[dict[str, Any]]:
        """Translate texts, each with the result that it has alone.

        Args:
            texts: the sources.
            options: of the search (None: those of the run).
            prefix: text that every translation begins with.
            required: phrases that every translation must contain.
            banned: phrases that none may contain.
            alignment: give tokens, log-probabilities and attention weights too.

        Returns:
            For each text `translation`, `score`, `log_probability`; with `n_best` above 1 a list of such.

        Raises:
            DataError: a text is empty, or the vocabulary cannot spell a phrase.
        """
        texts, options = list(texts), options or self.options
        bad = self.task.validate(texts)
        if bad:
            row = min(bad)
            raise DataError(f"text {row + 1}: {bad[row]}")
        target = self.task.target_encoder
        constraints = Constraints(
            [spelled_ids(target, phrase, "the required phrase") for phrase in required],
            [spelled_ids(target, phrase, "the banned phrase") for phrase in banned],
            options.no_repeat_ngram,
        )
        start = spelled_ids(target, prefix, "the prefix") if prefix else ()
        return self.task.translate(
            self.model, texts, options, constraints=constraints, prefix=start, alignment=alignment
        )

    def score_files(
        self,
        data: Sequence[str],
        *,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """Compute the log-probability of the given target of each pair, by token.

        Raises:
            DataError: the pairs cannot be read.
        """
        settings = replace(self.task.settings, source=self.source(skip_bad_rows, encoding))
        records = load_pairs(list(data), settings, say, references=False)
        return score_pairs(self.task, self.model, records)

    def _ensemble(self, runs: Sequence[str]) -> nn.Module:
        if not runs:
            return self.model
        members = [self.model]
        for path in runs:
            other = load(path)
            if not isinstance(other.task, TranslationTask) or other.task.state() != self.task.state():
                raise OptionError(f"{path} cannot answer together with this run: its vocabulary is another")
            members.append(other.model)
        return Ensemble(members)


def _chosen(options: SearchOptions, given: Mapping[str, Any]) -> SearchOptions:
    n_best = given.get("n_best", options.n_best)
    beam = given.get("beam", max(options.beam, n_best))
    return replace(options, **{**given, "beam": beam})
