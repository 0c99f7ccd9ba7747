"""Language modelling: text to streams of tokens, the model and the loss for them, and how well it foresees a text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
from torch import nn

from unroll.data.bad_rows import LEAVE_OUT_HERE, BadRow, describe, good_rows
from unroll.data.options import SourceOptions, TextOptions
from unroll.data.tables import column_of, is_table
from unroll.data.text.bptt import BPTTBatches
from unroll.data.text.corpus import Corpus
from unroll.data.text.documents import Cut, TextSource, said
from unroll.data.text.masked import MaskedWindows
from unroll.data.text.normalize import bad_texts
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError, OptionError, RunError
from unroll.models.language_model import LanguageModel, build_language_model
from unroll.runs import ENCODER, Run
from unroll.tasks.base import DataPaths, Log, Report, TrainingData, parameters, recurrent_layers
from unroll.tasks.language_modeling import report as language_report
from unroll.tasks.language_modeling.loss import MaskedTokens, NextToken
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.report import Dynamic

FREQUENCIES = "frequencies.json"
_FORMAT = "unroll.frequencies/1"
_CUTS_TRIED = 40


class LanguageTask:
    """The next token of a text, or tokens that were masked.

    Attributes:
        name: "language-model".
        settings: every option.
        encoder: text to token ids, learnt on the training part.
        frequencies: (V,) int64, how often each token stands in the training part.
    """

    def __init__(self, name: str, settings: LanguageSettings, encoder: TextTokenizer, frequencies: np.ndarray) -> None:
        self.name = name
        self.settings = settings
        self.encoder = encoder
        self.frequencies = frequencies

    @classmethod
    def prepare(cls, name: str, settings: LanguageSettings, sources: DataPaths, say: Log) -> TrainingData:
        """Read the text, divide it by position, learn the vocabulary of the training part, and encode every part.

        Raises:
            UserError: the text or the options cannot be used.
        """
        main = _passage(sources.data, settings, settings.source, say)
        held = _passage(sources.valid, settings, settings.source, say) if sources.valid else None
        last = _passage(sources.test, settings, settings.source, say) if sources.test else None
        if held is None and settings.batch.validation_fraction:
            main, held = main.divided(settings.batch.validation_fraction, _cut(main, settings))
        options = TextOptions(**asdict(settings.text))
        encoder = TextTokenizer.learn((piece.text for piece in main), options)
        train = Corpus.encode(main, encoder)
        task = cls.learn(name, settings, encoder, train)
        valid, test = (None if p is None else Corpus.encode(p, encoder) for p in (held, last))
        return TrainingData(task, train, valid, test)

    @classmethod
    def learn(cls, name: str, settings: LanguageSettings, encoder: TextTokenizer, train: Corpus) -> Self:
        """The task that a training part makes: how often each token occurs, and the softmax's clusters from that.

        Raises:
            DataError: the vocabulary is too small for clusters.
        """
        frequencies = train.frequencies(encoder.size)
        chosen = settings.language
        if chosen.softmax == "adaptive" and not chosen.cutoffs:
            settings = replace(settings, language=replace(chosen, cutoffs=cheapest_cutoffs(frequencies)))
        return cls(name, settings, encoder, frequencies)

    def load(self, data: Any, source: SourceOptions, say: Log) -> Corpus:
        """The tokens of other text, in files or in the column of a table.

        Raises:
            DataError: it cannot be read, or is empty.
        """
        if is_table(data):
            column = self.settings.language.text
            texts = column_of(data, column)
            bad = text_rows(texts, column)
            rows = good_rows(bad, len(texts), "the table", source.skip_bad_rows, remedy=LEAVE_OUT_HERE)
            if bad:
                say(f"left out: {describe(bad, len(texts), 'the table')}")
            lines = lines_of_texts(texts[row] for row in rows)
            return corpus_of(lines, self.encoder, self.settings, "the table")
        return Corpus.encode(_passage(list(data), self.settings, source, say), self.encoder)

    def model(self, training: Corpus | None = None) -> LanguageModel:
        """A new model."""
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
        """Loss and metrics."""
        options = self.settings.language
        kind = MaskedTokens if options.objective == "masked" else NextToken
        return kind(options.activation_penalty, options.activation_slowness)

    def batches(self, part: Corpus, *, shuffle: bool) -> BPTTBatches:
        """Windows over contiguous streams; with `shuffle` their ends move, and other tokens are masked, every epoch."""
        options, batch = self.settings.language, self.settings.batch
        shared: dict[str, Any] = {"jitter": options.bptt_jitter if shuffle else 0.0, "seed": batch.seed}
        if options.objective == "masked":
            return MaskedWindows(part, batch.batch_size, options.bptt, share=options.masked, anew=shuffle, **shared)
        return BPTTBatches(part, batch.batch_size, options.bptt, **shared)

    def size(self, part: Corpus) -> dict[str, int]:
        """Tokens, and lines or records."""
        return {"tokens": len(part), "rows": part.counts.rows}

    def fingerprint(self, part: Corpus) -> Iterator[bytes]:
        """The vocabulary and every token."""
        yield self.encoder.to_json().encode()
        yield from part.fingerprint()

    def describe(self, prepared: TrainingData, model: nn.Module) -> Iterator[str]:
        """Tokens, windows, the vocabulary and the model's size."""
        train: Corpus = prepared.train
        parts = [f"{len(train):,} tokens to train"]
        for part, what in ((prepared.valid, "validate"), (prepared.test, "test")):
            if part is not None:
                parts.append(f"{len(part):,} to {what}")
        yield ", ".join(parts)
        windows = self.batches(train, shuffle=True)
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
        yield f"model: {recurrent_layers(self.settings.recurrent)}, {parameters(model):,} parameters"

    def report(self, model: LanguageModel, part: Corpus, dynamic: Dynamic | None = None) -> Report:
        """How well the text is foreseen, every token once; see `language_report`.

        Raises:
            OptionError: dynamic evaluation of masked prediction, or with a rate with which the model diverges.
        """
        options = self.settings.language
        if options.objective == "masked":
            if dynamic is not None:
                raise OptionError("dynamic evaluation needs a model of the next token; this one predicts masked tokens")
            windows = self.batches(part, shuffle=False)
            assert isinstance(windows, MaskedWindows)  # noqa: S101 (just made)
            return language_report.masked_tokens(model, windows, self.frequencies)
        return language_report.next_tokens(model, part, self.frequencies, window=options.bptt, dynamic=dynamic)

    def lines(self, report: Report, *, full: bool = True) -> list[str]:
        """A line a figure."""
        return language_report.lines(report)

    def pictures(self, run: Run, model: nn.Module, prepared: TrainingData, metrics: Report) -> None:
        """None beside those of every training."""

    def write(self, run: Run) -> None:
        """Write encoder.json and frequencies.json."""
        run.write(ENCODER, self.encoder.to_json())
        run.write_json(FREQUENCIES, {"format": _FORMAT, "counts": self.frequencies.tolist()})

    @classmethod
    def read(cls, run: Run) -> Self:
        """The task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = LanguageSettings.of_run(run)
        encoder = run.read_as(ENCODER, TextTokenizer.from_json)
        if encoder.options != TextOptions(**asdict(settings.text)):
            raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how the text is encoded")
        document = run.read_document(FREQUENCIES, _FORMAT)
        counts = document.get("counts")
        if not isinstance(counts, list) or len(counts) != encoder.size or not all(_is_count(c) for c in counts):
            raise RunError(f"{run.path / FREQUENCIES} is damaged: it must hold {encoder.size} counts")
        return cls(name, settings, encoder, np.array(counts, dtype=np.int64))


def text_rows(values: Sequence[Any], column: str) -> list[BadRow]:
    """Name the rows of `values` that are no text; an empty text is a blank line."""
    return [bad for bad in bad_texts(values, column) if not isinstance(values[bad[0]], str)]


def lines_of_texts(texts: Iterable[str]) -> list[str]:
    """List the lines of texts, each with its end; line ends of all kinds are one, as in files."""
    lines = (line for text in texts for line in (io.StringIO(text, newline=None) if text else ("",)))
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def corpus_of(lines: Sequence[str], encoder: TextTokenizer, settings: LanguageSettings, where: str) -> Corpus:
    """Encode lines in memory, with documents where `reset_state` says.

    Raises:
        DataError: there are no tokens.
    """
    encoded = encoder.encode(lines)
    begins = np.cumsum([0, *(len(ids) for ids in encoded)])[:-1]
    reset, documents = settings.language.reset_state, np.empty(0, dtype=np.int64)
    if reset == "row":
        documents = begins
    elif reset == "blank":
        after = [i > 0 and bool(line.strip()) and not lines[i - 1].strip() for i, line in enumerate(lines)]
        documents = begins[np.array(after)]
    start = encoder.PAD if encoder.newline is None else encoder.newline
    tokens = np.concatenate(encoded) if encoded else np.empty(0, dtype=np.int32)
    if not len(tokens):
        raise DataError(f"{where} has no tokens")
    return Corpus.of(tokens, documents.tolist(), start, where)


def cheapest_cutoffs(frequencies: np.ndarray) -> tuple[int, ...]:
    """Two cutoffs for an adaptive softmax over V tokens that make the fewest multiplications a token.

    A token costs a + 2 for the head of the ids below a (and two clusters), and with the probability of each cluster the
    cluster's size: a + 2 + p(a <= k < b) (b - a) + p(k >= b) (V - b), with the shares of the training part.

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


def _passage(data: Sequence[str], settings: LanguageSettings, source: SourceOptions, say: Log) -> TextSource:
    options = settings.language
    passage = TextSource(
        tuple(data),
        source,
        options.text,
        options.reset_state,
        last_line=settings.text.level == "word" and settings.text.line_ends,
    )
    if source.skip_bad_rows and (reasons := passage.left_out()):
        say(said(reasons, passage.where))
    if not any(piece.text.strip() for piece in passage):
        empty = next(iter(passage), None) is None
        raise DataError(f"{passage.where} {'is empty' if empty else 'holds nothing but white space'}")
    return passage


def _cut(passage: TextSource, settings: LanguageSettings) -> Cut:
    """Where the text may be divided: between records or documents, else between words, else anywhere."""
    if passage.has_records:
        return "row"
    if settings.language.reset_state != "never":
        return "document"
    return "anywhere" if settings.text.level in ("char", "byte") else "space"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' * (number != 1)}"


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53
