"""Tagging: a tag for each token of a sentence; records to arrays, the model and the loss, and back."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from unroll.data.labels import Labels
from unroll.data.options import SourceOptions
from unroll.data.ragged import ROWS_AT_ONCE
from unroll.data.split import split
from unroll.data.text.bio import legal_steps, mark_spans
from unroll.data.text.scheme_names import SCHEMES, Scheme
from unroll.data.text.tagged import TaggedSentences, TaggingBatches
from unroll.data.text.vectors import Vectors, read_vectors
from unroll.data.text.word_vocab import WordCharVocabulary, as_tokens, bad_tokens
from unroll.errors import DataError, RunError
from unroll.layers.crf import AllowedTransitions
from unroll.models.tagger import Tagger, build
from unroll.runs import ENCODER, Run
from unroll.tasks.base import DataPaths, Log, Report, TrainingData, parameters, recurrent_layers
from unroll.tasks.finite import require_finite
from unroll.tasks.tagging import report as tagging_report
from unroll.tasks.tagging.loss import TaggingObjective
from unroll.tasks.tagging.options import TaggingSettings
from unroll.tasks.tagging.records import Sentences, load_sentences
from unroll.tasks.tagging.report import Guess
from unroll.tasks.tagging.scheme import settle_scheme
from unroll.tasks.tagging.spans import spans
from unroll.tasks.transfer import load_pretrained_weights, pretrained_words
from unroll.training.plots import plot_confusion

TAGS = "tags.json"
_FORMAT = "unroll.tags/1"
_SENTENCES_AT_ONCE = 64


class TaggingTask:
    """A tag for each token.

    Attributes:
        name: "tagging".
        settings: every option.
        encoder: tokens to word ids and character ids, learnt on the training part.
        labels: the tags.
        scheme: what nearly all sentences of the training and validation data keep to; None where tags mark no spans,
            or in no scheme.
        spans: whether tags mark spans.
        guess: each word's most common tag in the training part.
        vectors: word vectors that a new model starts with.
    """

    def __init__(
        self,
        name: str,
        settings: TaggingSettings,
        encoder: WordCharVocabulary,
        labels: Labels,
        scheme: Scheme | None,
        guess: Guess,
        vectors: Vectors | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self.encoder = encoder
        self.labels = labels
        self.scheme: Scheme | None = scheme
        self.guess = guess
        self.vectors = vectors

    @property
    def spans(self) -> bool:
        """Whether tags mark spans, and are not to be taken as they are."""
        return self.settings.tagging.scheme != "none" and mark_spans(self.labels.names)

    @classmethod
    def prepare(cls, name: str, settings: TaggingSettings, sources: DataPaths, say: Log) -> TrainingData:
        """Read the data, split it, learn vocabulary, tags and their scheme, and encode every part.

        Raises:
            UserError: the data or the options cannot be used.
        """
        main = load_sentences(sources.data, settings.tagging, settings.source, say)
        others = [
            load_sentences(data, settings.tagging, settings.source, say, main.names) if data else None
            for data in (sources.valid, sources.test)
        ]
        return cls.learn(name, settings, main, others[0], others[1], say)

    @classmethod
    def learn(
        cls,
        name: str,
        settings: TaggingSettings,
        main: Sentences,
        held: Sentences | None = None,
        last: Sentences | None = None,
        say: Log = lambda _: None,
    ) -> TrainingData:
        """Learn from sentences that have been read: `main`, of which a share is held out if `held` is not given.

        Raises:
            DataError: there is one tag only, or the vectors cannot be used.
            OptionError: options that do not go together.
        """
        if len(main.names) < 2:
            raise DataError(
                f"every token of {main.where} has the tag '{''.join(main.names)}'; a tagger needs two or more"
            )
        labels = Labels.learn(main.names, where=main.where)
        share = 0.0 if held is not None else settings.batch.validation_fraction
        chosen, left = split(len(main), share, settings.batch.seed)
        known = pretrained_words(settings.transfer, settings.text) if settings.transfer.init_from else None
        encoder = WordCharVocabulary.learn(main.tokens(chosen), settings.text, known)
        vectors = None
        if settings.vectors.vectors:
            path = os.path.abspath(os.path.expanduser(settings.vectors.vectors))
            settings = replace(settings, vectors=replace(settings.vectors, vectors=path))
            vectors = _vectors(encoder, settings, say)
            encoder = encoder.extended(vectors.words)
        train = main.part(encoder, labels, chosen)
        valid = main.part(encoder, labels, left) if len(left) else None
        if held is not None:
            valid = held.part(encoder, labels)
        scheme = settle_scheme(settings.tagging, main, held, say)
        guess = Guess.learn(train, len(encoder.seen), len(labels))
        task = cls(name, settings, encoder, labels, scheme, guess, vectors)
        return TrainingData(task, train, valid, None if last is None else last.part(encoder, labels))

    def load(self, data: Any, source: SourceOptions, say: Log) -> TaggedSentences:
        """Tagged data, files or a table, with the columns of the training data.

        Raises:
            DataError: the data cannot be used.
        """
        sentences = load_sentences(data, self.settings.tagging, source, say, self.labels.names)
        return sentences.part(self.encoder, self.labels)

    def model(self, training: TaggedSentences | None = None) -> Tagger:
        """A new model; one that is about to be trained starts with the word vectors, or another run's weights."""
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
        """Loss and metrics."""
        return TaggingObjective(self.labels.names, spans=self.spans)

    def batches(self, part: TaggedSentences, *, shuffle: bool) -> TaggingBatches:
        """Sentences of like length together."""
        return TaggingBatches(part, self.settings.batch, shuffle=shuffle, chars=self._chars)

    @property
    def _chars(self) -> bool:
        return self.settings.tagger.characters != "none"

    def size(self, part: TaggedSentences) -> dict[str, int]:
        """Sentences and tokens."""
        return {"sentences": len(part), "tokens": part.count}

    def fingerprint(self, part: TaggedSentences) -> Iterator[bytes]:
        """Vocabulary, tags, and every sentence."""
        yield self.encoder.to_json().encode()
        yield json.dumps(self._document()).encode()
        if part.strange:
            yield json.dumps(part.strange).encode()
        for array in (part.tokens.lengths, part.table.words, part.table.characters):
            yield array.tobytes()
        for examples in (part.tokens, part.tags):
            for start in range(0, len(part), ROWS_AT_ONCE):
                rows = np.arange(start, min(start + ROWS_AT_ONCE, len(part)))
                yield b"".join(sequence.tobytes() for sequence in (examples.take(rows) if examples else ()))

    def describe(self, prepared: TrainingData, model: nn.Module) -> Iterator[str]:
        """Sentences, tokens, tags, vocabulary and the model's size."""
        train: TaggedSentences = prepared.train
        parts = [f"{len(train):,} sentences ({train.count:,} tokens) to train"]
        parts += [f"{len(p):,} to {w}" for w, p in (("validate", prepared.valid), ("test", prepared.test)) if p]
        lengths = train.tokens.lengths
        padding = self.batches(train, shuffle=True).padding_share()
        yield (
            f"{', '.join(parts)}; {int(lengths.min())} to {int(lengths.max())} tokens a sentence"
            f" (median {int(statistics.median(lengths.tolist()))}), {padding:.1%} of the batches padding"
        )
        scheme = f", which mark spans ({self.scheme or 'in no scheme, so that any sequence is allowed'})"
        yield (
            f"vocabulary: {self.encoder.size:,} words, {self.encoder.character_size:,} characters; "
            f"{len(self.labels)} tags{scheme if self.spans else ''}"
        )
        yield f"model: {recurrent_layers(self.settings.recurrent)}, {parameters(model):,} parameters"

    def answer(
        self, model: Tagger, part: TaggedSentences, batch_size: int = _SENTENCES_AT_ONCE
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The tag numbers (T,) of each sentence and their probabilities (T,), in the order of the part."""
        device = next(model.parameters()).device
        tags: list[np.ndarray] = [np.empty(0)] * len(part)
        shares: list[np.ndarray] = [np.empty(0)] * len(part)
        model.eval()
        with torch.inference_mode():
            for batch in TaggingBatches(part, batch_size=batch_size, shuffle=False, chars=self._chars):
                there = batch.to(device)
                scores = model(there.x, there.lengths, there.chars, there.places)
                best = model.decode(scores, there.lengths)
                share = model.probabilities(scores, there.lengths).gather(2, best.unsqueeze(2)).squeeze(2)
                require_finite(share)
                for i, row in enumerate(batch.rows.tolist()):
                    n = int(batch.lengths[i])
                    tags[row], shares[row] = best[i, :n].cpu().numpy(), share[i, :n].cpu().numpy()
        return tags, shares

    @property
    def column(self) -> str:
        """The column that a record to answer must have."""
        return self.settings.tagging.tokens

    @property
    def answer_keys(self) -> tuple[str, ...]:
        """What every record of the answers has."""
        return ("tokens", "tags", "probabilities", *(("spans",) if self.spans else ()))

    def problems(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Why values of that column cannot be answered, by their position."""
        return dict(bad_tokens((self._tokens(value) for value in values), self.column))

    def _tokens(self, value: Any) -> Any:
        return as_tokens(value, self.settings.tagging.tokenize)

    def answered(self, model: Tagger, values: Sequence[Any]) -> list[dict[str, Any]]:
        """One record for each value of that column: `tokens`, `tags` and the `probabilities` of these tags.

        For tags that mark spans there are `spans` too: type, and tokens from `start` to before `end`.
        """
        sentences = [list(self._tokens(value)) for value in values]
        tags, shares = self.answer(model, TaggedSentences.encode(sentences, self.encoder))
        records = []
        for tokens, numbers, share in zip(sentences, tags, shares, strict=True):
            names = [self.labels.names[i] for i in numbers.tolist()]
            probabilities = [round(p, 6) for p in share.astype(float).tolist()]
            record: dict[str, Any] = {"tokens": tokens, "tags": names, "probabilities": probabilities}
            if self.spans:
                record["spans"] = [{"type": s.kind, "start": s.start, "end": s.end} for s in spans(names)]
            records.append(record)
        return records

    def report(self, model: Tagger, part: TaggedSentences) -> Report:
        """Every metric of the model's answers, the most common tags' beside them."""
        names = (*self.labels.names, *part.strange)
        return tagging_report.report(part, self.answer(model, part)[0], names, self.guess, spans=self.spans)

    def lines(self, report: Report, *, full: bool = True) -> list[str]:
        """A line a figure, and tables of types and tags."""
        return tagging_report.lines(report, full=full)

    def pictures(self, run: Run, model: nn.Module, prepared: TrainingData, metrics: Report) -> None:
        """The confusion matrix of the test part, or of the validation part."""
        shown = metrics.get("test", metrics.get("validation", {}))
        if "confusion" in shown:
            plot_confusion(shown["confusion"], list(shown["per_tag"]), run.path / "confusion.png")

    def _document(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "labels": json.loads(self.labels.to_json()),
            "scheme": self.scheme,
            "common": self.guess.tags.tolist(),
            "unseen": self.guess.unseen,
        }

    def write(self, run: Run) -> None:
        """Write encoder.json and tags.json."""
        run.write(ENCODER, self.encoder.to_json())
        run.write(TAGS, json.dumps(self._document(), ensure_ascii=False))

    @classmethod
    def read(cls, run: Run) -> Self:
        """The task of a run folder.

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
        if not isinstance(common, list) or not all(type(i) is int and 0 <= i < len(labels) for i in [*common, unseen]):
            raise RunError(f"{where} is damaged: 'common' and 'unseen' must hold numbers of tags")
        if len(common) != len(encoder.seen):
            raise RunError(f"{where} is damaged: 'common' must hold {len(encoder.seen)} numbers")
        return cls(name, settings, encoder, labels, scheme, Guess(np.array(common, np.int64), unseen))


def _vectors(encoder: WordCharVocabulary, settings: TaggingSettings, say: Log) -> Vectors:
    """The vectors of the training part's words, and of the common words of the file."""
    options = settings.vectors
    trained = {encoder.word(token) for token in encoder.seen}
    found = read_vectors(
        options.vectors,
        settings.tokens.embedding_dim,
        trained.__contains__,
        first=options.vector_words,
        word=encoder.word,
    )
    known = sum(word in trained for word in found.words)
    if not known:
        raise DataError(f"'{options.vectors}' has a vector for none of the {len(trained):,} words of the training part")
    more = len(found.words) - known
    say(f"vectors: {known:,} of {len(trained):,} words of the training part found, and {more:,} more")
    return found
