"""Language modelling task: predict the next token, or masked tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from unroll.data.options import TextOptions
from unroll.data.text.bptt import BPTTBatches
from unroll.data.text.corpus import Corpus
from unroll.data.text.masked import MaskedWindows
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError, OptionError, RunError
from unroll.models.language_model import LanguageModel, build_language_model
from unroll.runs import Run, json_text
from unroll.tasks.base import BaseTask, Log, Report, TrainingData
from unroll.tasks.language_modeling import report as figures
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.records import Text, divide_text, encode_text, load_text, texts_of
from unroll.tasks.language_modeling.report import Dynamic
from unroll.tasks.state import ENCODER, whole_numbers

if TYPE_CHECKING:
    from unroll.tasks.language_modeling.loss import NextToken

FREQUENCIES = "frequencies.json"
_FORMAT = "unroll.frequencies/1"
_CUTS_TRIED = 40


class LanguageTask(BaseTask[Text, Corpus]):
    """Predict the next token of a text, or masked tokens.

    Attributes:
        name: "language-model".
        settings: every option.
        encoder: tokenizer, learnt on the training part.
        frequencies: (V,) int64, how often each token occurs in the training part.
    """

    settings: LanguageSettings

    def __init__(self, name: str, settings: LanguageSettings, encoder: TextTokenizer, frequencies: np.ndarray) -> None:
        super().__init__(name, settings)
        self.encoder = encoder
        self.frequencies = frequencies

    @classmethod
    def read(cls, name: str, settings: LanguageSettings, data: Any, say: Log, known: Any = None) -> Text:
        """Read text; see `BaseTask.read`."""
        return load_text(data, settings, say)

    @classmethod
    def split(cls, settings: LanguageSettings, records: Text) -> tuple[Text, Text | None]:
        """Hold out the last share of the characters."""
        return divide_text(records, settings)

    @classmethod
    def learn(cls, name: str, settings: LanguageSettings, train: Text, valid: Text | None, say: Log) -> Self:
        """Learn the vocabulary.

        Raises:
            DataError: it would be empty.
        """
        encoder = TextTokenizer.learn(texts_of(train), TextOptions(**asdict(settings.text)))
        return cls(name, settings, encoder, np.zeros(encoder.size, dtype=np.int64))

    def learn_encoded(self, train: Corpus) -> Self:
        """Count token frequencies, and choose the clusters of an adaptive softmax from them.

        Raises:
            DataError: the vocabulary is too small for clusters.
        """
        self.frequencies = train.frequencies(self.encoder.size)
        chosen = self.settings.language
        if chosen.softmax == "adaptive" and not chosen.cutoffs:
            cutoffs = cheapest_cutoffs(self.frequencies)
            self.settings = replace(self.settings, language=replace(chosen, cutoffs=cutoffs))
        return self

    def encode(self, records: Text) -> Corpus:
        """Encode the text as one stream of tokens."""
        return encode_text(records, self.encoder, self.settings)

    def join(self, train: Corpus, valid: Corpus) -> Corpus:
        """Join both texts; the second begins a document."""
        return train.join(valid)

    def network(self, training: Corpus | None = None) -> LanguageModel:
        """Build a new model."""
        options = self.settings.language
        return build_language_model(
            self.settings.tokens,
            self.settings.recurrent,
            vocabulary=self.encoder.size,
            tie_weights=options.tie_weights,
            softmax=options.softmax,
            cutoffs=options.cutoffs,
            head_dropout=options.head_dropout,
        )

    def objective(self, training: Corpus | None = None) -> NextToken:
        """Return loss and metrics."""
        from unroll.tasks.language_modeling.loss import MaskedTokens, NextToken  # imports torchmetrics

        options = self.settings.language
        kind = MaskedTokens if options.objective == "masked" else NextToken
        return kind(options.activation_penalty, options.activation_slowness)

    def batches(self, part: Corpus, *, training: bool) -> BPTTBatches:
        """Cut BPTT windows from contiguous streams; in training, boundaries and masks change every epoch."""
        options, batch = self.settings.language, self.settings.batch
        shared: dict[str, Any] = {"jitter": options.bptt_jitter if training else 0.0, "seed": batch.seed}
        if options.objective == "masked":
            return MaskedWindows(part, batch.batch_size, options.bptt, share=options.masked, anew=training, **shared)
        return BPTTBatches(part, batch.batch_size, options.bptt, **shared)

    def counts(self, part: Corpus) -> dict[str, int]:
        """Count tokens, and lines or records."""
        return {"tokens": len(part), "rows": part.counts.rows}

    def summary(self) -> str:
        """Name the level and the number of tokens."""
        return f"language-model, {self.encoder.size:,} tokens ({self.encoder.options.level} level)"

    def describe_data(self, prepared: TrainingData) -> Iterator[str]:
        """Describe tokens, windows and the vocabulary."""
        yield self.describe_parts(prepared)
        windows = self.batches(prepared.train, training=True)
        fewer = (
            f" (batch_size is {self.settings.batch.batch_size})"
            if windows.streams < self.settings.batch.batch_size
            else ""
        )
        yield (
            f"{_counted(windows.streams, 'stream')}{fewer},"
            f" {_counted(len(windows), 'window')} of about {_counted(round(windows.mean), 'token')} an epoch"
        )
        yield f"vocabulary: {self.encoder.size:,} entries ({self.encoder.options.level} level)"
        options = self.settings.language
        if options.softmax == "adaptive":
            yield f"adaptive softmax: clusters from {' and '.join(f'{c:,}' for c in options.cutoffs)} on"

    def evaluate(self, network: LanguageModel, part: Corpus, dynamic: Dynamic | None = None) -> Report:
        """Compute perplexity and related metrics over the whole text; `dynamic` keeps learning from it.

        Raises:
            OptionError: dynamic evaluation of masked prediction, or a rate at which the model diverges.
        """
        options = self.settings.language
        if options.objective == "masked":
            if dynamic is not None:
                raise OptionError("dynamic evaluation needs a model of the next token; this one predicts masked tokens")
            windows = self.batches(part, training=False)
            assert isinstance(windows, MaskedWindows)  # noqa: S101 (just made)
            return figures.masked_tokens(network, windows, self.frequencies)
        return figures.next_tokens(network, part, self.frequencies, window=options.bptt, dynamic=dynamic)

    def example_use(self, run: str, data: str) -> tuple[list[str], list[str]]:
        """Return commands and lines of Python that generate text and score lines."""
        if self.settings.language.objective == "masked":
            return super().example_use(run, data)
        return (
            [f'unroll generate {run} --prompt "..."', f"unroll score {run} {data} > scores.jsonl"],
            ['print("".join(predictor.generate("...")))'],
        )

    def format_report(self, report: Report, *, full: bool = True, every: bool = False) -> list[str]:
        """Format one line per metric."""
        return figures.format_report(report)

    def state(self) -> dict[str, str]:
        """Return encoder.json and frequencies.json."""
        document = {"format": _FORMAT, "counts": self.frequencies.tolist()}
        return {ENCODER: self.encoder.to_json(), FREQUENCIES: json_text(document)}

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read the task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = LanguageSettings.of_run(run)
        encoder = run.read_as(ENCODER, TextTokenizer.from_json)
        if encoder.options != TextOptions(**asdict(settings.text)):
            raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how the text is encoded")
        document = run.read_document(FREQUENCIES, _FORMAT)
        counts = document.get("counts")
        if not whole_numbers(counts, 2**53) or len(counts) != encoder.size:
            raise RunError(f"{run.path / FREQUENCIES} is damaged: it must hold {encoder.size} counts")
        return cls(name, settings, encoder, np.array(counts, dtype=np.int64))


def cheapest_cutoffs(frequencies: np.ndarray) -> tuple[int, ...]:
    """Choose two cutoffs for an adaptive softmax over V tokens with the fewest multiplications per token.

    A token costs a + 2 for the head (the ids below a, and two clusters), plus each cluster's size times its
    probability: a + 2 + p(a <= k < b) (b - a) + p(k >= b) (V - b), with the token shares of the training part.

    Raises:
        DataError: the vocabulary is too small for clusters.
    """
    V = len(frequencies)
    if V < 8:
        raise DataError(f"softmax is 'adaptive', but a vocabulary of {V} entries is too small for clusters")
    below = np.concatenate([[0.0], np.cumsum(frequencies) / frequencies.sum()])
    places = np.unique(np.geomspace(2, V - 1, _CUTS_TRIED).astype(int))
    pairs = [(int(a), int(b)) for a in places for b in places if a < b]
    return min(
        pairs,
        key=lambda p: p[0] + (below[p[1]] - below[p[0]]) * (p[1] - p[0]) + (1 - below[p[1]]) * (V - p[1]),
    )


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' * (number != 1)}"
