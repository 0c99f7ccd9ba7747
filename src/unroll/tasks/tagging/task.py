"""Tagging task: predict a tag for each token of a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import nn

from unroll.data.labels import Labels
from unroll.data.split import split
from unroll.data.text.bio import legal_steps, mark_spans
from unroll.data.text.scheme_names import SCHEMES, Scheme
from unroll.data.text.tagged import TaggedSentences, TaggingBatches
from unroll.data.text.vectors import Vectors, read_vectors
from unroll.data.text.word_vocab import WordCharVocabulary, as_tokens, bad_tokens
from unroll.errors import DataError, RunError
from unroll.layers.crf import AllowedTransitions
from unroll.models.tagger import Tagger, build
from unroll.runs import Run
from unroll.tasks.base import Log, Report, TrainingData
from unroll.tasks.batch_loop import require_finite, run_batches
from unroll.tasks.describe import describe_lengths, some
from unroll.tasks.predictions import Predictions
from unroll.tasks.record_task import RecordTask
from unroll.tasks.reporting import save_confusion
from unroll.tasks.state import ENCODER, whole_numbers
from unroll.tasks.tagging import report as figures
from unroll.tasks.tagging.options import TaggingSettings
from unroll.tasks.tagging.predictions import predictions
from unroll.tasks.tagging.records import Sentences, load_sentences
from unroll.tasks.tagging.report import MajorityTagBaseline
from unroll.tasks.tagging.scheme import settle_scheme
from unroll.tasks.tagging.spans import spans
from unroll.tasks.transfer import load_pretrained_weights, pretrained_words

if TYPE_CHECKING:
    from unroll.tasks.tagging.loss import TaggingObjective

TAGS = "tags.json"
_FORMAT = "unroll.tags/1"
_SENTENCES_AT_ONCE = 64


class TaggingTask(RecordTask[Sentences, TaggedSentences]):
    """Predict a tag for each token.

    Attributes:
        name: "tagging".
        settings: every option.
        encoder: encodes tokens as word ids and character ids, learnt on the training part.
        labels: the tags.
        scheme: scheme that nearly all sentences of the training and validation data follow; None where tags mark no
            spans, or follow no scheme.
        spans: whether tags mark spans.
        baseline: each word's most common tag in the training part.
        vectors: word vectors that a new model starts with.
    """

    settings: TaggingSettings

    def __init__(
        self,
        name: str,
        settings: TaggingSettings,
        encoder: WordCharVocabulary,
        labels: Labels,
        scheme: Scheme | None,
        baseline: MajorityTagBaseline,
        vectors: Vectors | None = None,
    ) -> None:
        super().__init__(name, settings)
        self.encoder = encoder
        self.labels = labels
        self.scheme: Scheme | None = scheme
        self.baseline = baseline
        self.vectors = vectors

    @property
    def spans(self) -> bool:
        """Whether tags mark spans, unless scheme is none."""
        return self.settings.tagging.scheme != "none" and mark_spans(self.labels.names)

    @classmethod
    def read(
        cls, name: str, settings: TaggingSettings, data: Any, say: Log, known: Sentences | Self | None = None
    ) -> Sentences:
        """Read tagged data and keep its usable sentences; see `BaseTask.read`."""
        names = known.labels.names if isinstance(known, TaggingTask) else None if known is None else known.names
        return load_sentences(data, settings.tagging, settings.source, say, names)

    @classmethod
    def split(cls, settings: TaggingSettings, records: Sentences) -> tuple[Sentences, Sentences | None]:
        """Hold out a share of the sentences."""
        train, valid = split(len(records), settings.batch.validation_fraction, settings.batch.seed)
        return records.take(train), records.take(valid) if len(valid) else None

    @classmethod
    def learn(cls, name: str, settings: TaggingSettings, train: Sentences, valid: Sentences | None, say: Log) -> Self:
        """Learn vocabulary, tags and their scheme.

        Raises:
            DataError: there is one tag only, or the vectors cannot be used.
            OptionError: options that cannot be combined.
        """
        if len(train.names) < 2:
            raise DataError(
                f"every token of {train.where} has the tag '{''.join(train.names)}'; a tagger needs two or more"
            )
        labels = Labels.learn(train.names, where=train.where)
        known = pretrained_words(settings.transfer, settings.text) if settings.transfer.init_from else None
        encoder = WordCharVocabulary.learn(train.tokens(), settings.text, known)
        vectors = None
        if settings.vectors.vectors:
            vectors = _vectors(encoder, settings, say)
            encoder = encoder.extended(vectors.words)
        others = valid if valid is not None and valid.whole is None else None
        scheme = settle_scheme(settings.tagging, train.whole or train, others, say)
        nothing = MajorityTagBaseline(np.zeros(len(encoder.seen), np.int64), 0)
        return cls(name, settings, encoder, labels, scheme, nothing, vectors)

    def learn_encoded(self, train: TaggedSentences) -> Self:
        """Learn each word's most common tag."""
        self.baseline = MajorityTagBaseline.learn(train, len(self.encoder.seen), len(self.labels))
        return self

    def encode(self, records: Sentences) -> TaggedSentences:
        """Encode tokens and tags."""
        return records.encode(self.encoder, self.labels)

    def join(self, train: TaggedSentences, valid: TaggedSentences) -> TaggedSentences:
        """Join the sentences of both parts."""
        return train.join(valid)

    def network(self, training: TaggedSentences | None = None) -> Tagger:
        """Build a new model; for training it starts with the word vectors, or another run's weights."""
        options, K = self.settings, len(self.labels)
        steps = None if self.scheme is None else legal_steps(self.labels.names, self.scheme)
        legal = None if steps is None else AllowedTransitions(*map(torch.from_numpy, steps))
        model = build(
            options.tagger,
            options.recurrent,
            options.tokens,
            tags=K,
            vocabulary=self.encoder.size,
            characters=self.encoder.character_size,
            legal=legal,
        )
        if training is not None and self.vectors is not None:
            table = model.inputs.embedding.weight
            places = [self.encoder.id_of(word) for word in self.vectors.words]
            with torch.no_grad():
                table[places] = torch.from_numpy(self.vectors.values)
            table.requires_grad_(not options.vectors.freeze_vectors)
        if training is not None and options.transfer.init_from:
            load_pretrained_weights(options.transfer, model)
        return model

    def objective(self, training: TaggedSentences | None = None) -> TaggingObjective:
        """Return loss and metrics."""
        from unroll.tasks.tagging.loss import TaggingObjective  # imports torchmetrics

        return TaggingObjective(self.labels.names, spans=self.spans)

    def batches(self, part: TaggedSentences, *, training: bool) -> TaggingBatches:
        """Batch sentences of similar length."""
        return TaggingBatches(part, self.settings.batch, shuffle=training, chars=self._chars)

    @property
    def _chars(self) -> bool:
        return self.settings.tagger.characters != "none"

    def counts(self, part: TaggedSentences) -> dict[str, int]:
        """Count sentences and tokens."""
        return {"sentences": len(part), "tokens": part.count}

    def summary(self) -> str:
        """Name the column of tokens and the tags."""
        return f"tagging of tokens ('{self.column}'), {len(self.labels):,} tags: {some(self.labels.names)}"

    def describe_data(self, prepared: TrainingData) -> Iterator[str]:
        """Describe sentences, tokens, tags and the vocabulary."""
        train: TaggedSentences = prepared.train
        padding = self.batches(train, training=True).padding_share()
        lengths = describe_lengths(train.tokens.lengths, "tokens", "sentence", padding)
        yield f"{self.describe_parts(prepared, f' ({train.count:,} tokens)')}; {lengths}"
        scheme = f", which mark spans ({self.scheme or 'in no scheme, so that any sequence is allowed'})"
        yield (
            f"vocabulary: {self.encoder.size:,} words, {self.encoder.character_size:,} characters; "
            f"{len(self.labels)} tags{scheme if self.spans else ''}"
        )

    def outputs(
        self, network: Tagger, part: TaggedSentences, batch_size: int = _SENTENCES_AT_ONCE
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Predict the tag numbers (T,) of each sentence and their probabilities (T,), in the order of the part."""
        tags: list[np.ndarray] = [np.empty(0)] * len(part)
        shares: list[np.ndarray] = [np.empty(0)] * len(part)
        batches = TaggingBatches(part, batch_size=batch_size, shuffle=False, chars=self._chars)
        for batch in run_batches(network, batches):
            scores = network(batch.x, batch.lengths, batch.chars, batch.places)
            best = network.decode(scores, batch.lengths)
            share = network.probabilities(scores, batch.lengths).gather(2, best.unsqueeze(2)).squeeze(2)
            require_finite(share)
            for i, row in enumerate(batch.rows.tolist()):
                n = int(batch.lengths[i])
                tags[row], shares[row] = best[i, :n].cpu().numpy(), share[i, :n].cpu().numpy()
        return tags, shares

    @property
    def column(self) -> str:
        """Name of the input column of a record."""
        return self.settings.tagging.tokens

    @property
    def answer_keys(self) -> tuple[str, ...]:
        """Keys of every predicted record."""
        return ("tokens", "tags", "probabilities", *(("spans",) if self.spans else ()))

    def validate(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Find values of the input column that cannot be used; return reasons by position."""
        return dict(bad_tokens((self._tokens(value) for value in values), self.column))

    def _tokens(self, value: Any) -> Any:
        return as_tokens(value, self.settings.tagging.tokenize)

    def predict(self, network: Tagger, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Predict records of sentences: `tokens`, `tags` and the `probabilities` of these tags.

        For span tags also `spans`: type, and tokens from `start` to before `end`.
        """
        sentences = [list(self._tokens(value)) for value in values]
        tags, shares = self.outputs(network, TaggedSentences.encode(sentences, self.encoder))
        records = []
        for tokens, numbers, share in zip(sentences, tags, shares, strict=True):
            names = [self.labels.names[i] for i in numbers.tolist()]
            probabilities = [round(p, 6) for p in share.astype(float).tolist()]
            record: dict[str, Any] = {"tokens": tokens, "tags": names, "probabilities": probabilities}
            if self.spans:
                record["spans"] = [{"type": s.kind, "start": s.start, "end": s.end} for s in spans(names)]
            records.append(record)
        return records

    def evaluate(self, network: Tagger, part: TaggedSentences) -> Report:
        """Compute every metric, for the model and the majority-tag baseline."""
        return self._figures(self.outputs(network, part)[0], part)

    def _figures(self, answered: list[np.ndarray], part: TaggedSentences) -> Report:
        names = (*self.labels.names, *part.unseen_tags)
        return figures.evaluate(part, answered, names, self.baseline, spans=self.spans)

    def evaluate_and_list(
        self, network: Tagger, part: TaggedSentences, records: Sentences
    ) -> tuple[Report, Predictions]:
        """Compute every metric, and list predicted tags beside the true ones."""
        answered, _ = self.outputs(network, part)
        return self._figures(answered, part), predictions(answered, records, self.labels.names)

    @property
    def example(self) -> str:
        """A value of the input column, as Python writes it."""
        return '["A", "sentence", "."]'

    def format_report(self, report: Report, *, full: bool = True, every: bool = False) -> list[str]:
        """Format one line per metric, and tables of types and tags."""
        return figures.format_report(report, full=full, every=every)

    def save_plots(self, run: Run, network: nn.Module, prepared: TrainingData, metrics: Report) -> None:
        """Plot the confusion matrix of the test part, or of the validation part."""
        save_confusion(run, metrics, "per_tag")

    def state(self) -> dict[str, str]:
        """Return encoder.json and tags.json."""
        document = {
            "format": _FORMAT,
            "labels": json.loads(self.labels.to_json()),
            "scheme": self.scheme,
            "common": self.baseline.tags.tolist(),
            "unseen": self.baseline.unseen,
        }
        return {ENCODER: self.encoder.to_json(), TAGS: json.dumps(document, ensure_ascii=False)}

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read the task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = TaggingSettings.of_run(run)
        encoder = run.read_as(ENCODER, WordCharVocabulary.from_json)
        if encoder.options != settings.text:
            raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how tokens are encoded")
        document, where = run.read_document(TAGS, _FORMAT), run.path / TAGS
        labels = Labels.from_json(json.dumps(document.get("labels")))
        scheme, common, unseen = document.get("scheme"), document.get("common"), document.get("unseen", -1)
        if labels.kind != "single" or (scheme is not None and scheme not in SCHEMES):
            raise RunError(f"{where} is damaged: its labels or its scheme cannot be used")
        if not whole_numbers(common, len(labels)) or not whole_numbers([unseen], len(labels)):
            raise RunError(f"{where} is damaged: 'common' and 'unseen' must hold numbers of tags")
        if len(common) != len(encoder.seen):
            raise RunError(f"{where} is damaged: 'common' must hold {len(encoder.seen)} numbers")
        baseline = MajorityTagBaseline(np.array(common, np.int64), unseen)
        return cls(name, settings, encoder, labels, scheme, baseline)


def _vectors(encoder: WordCharVocabulary, settings: TaggingSettings, say: Log) -> Vectors:
    """Read the vectors of the training part's words, and of the common words of the file."""
    options = settings.vectors
    trained = {encoder.word(token) for token in encoder.seen}
    vectors = read_vectors(
        options.vectors,
        settings.tokens.embedding_dim,
        trained.__contains__,
        first=options.vector_words,
        word=encoder.word,
    )
    known = sum(word in trained for word in vectors.words)
    if not known:
        raise DataError(f"'{options.vectors}' has a vector for none of the {len(trained):,} words of the training part")
    more = len(vectors.words) - known
    say(f"vectors: {known:,} of {len(trained):,} words of the training part found, and {more:,} more")
    return vectors
