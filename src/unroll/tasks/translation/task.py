"""Translation task: text to text, by an encoder-decoder with attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from unroll.data.options import LengthOptions, TextOptions
from unroll.data.pairs.batches import PairBatches, PairDataset, with_end
from unroll.data.ragged import RaggedDataset
from unroll.data.split import split
from unroll.data.text.normalize import bad_texts
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import OptionError, RunError
from unroll.generation.constraints import Constraints
from unroll.generation.hypotheses import Hypothesis
from unroll.generation.options import SearchOptions
from unroll.models.seq2seq import Seq2Seq, build_seq2seq
from unroll.runs import Run
from unroll.tasks.base import Log, Report, TrainingData
from unroll.tasks.batch_loop import run_batches
from unroll.tasks.describe import describe_lengths
from unroll.tasks.predictions import Predictions, largest
from unroll.tasks.record_task import RecordTask
from unroll.tasks.state import ENCODER
from unroll.tasks.translation import metrics
from unroll.tasks.translation import report as figures
from unroll.tasks.translation.options import TranslationSettings, choose_options
from unroll.tasks.translation.records import PairRecords, is_joint, load_pairs
from unroll.tasks.translation.search import search, spell, spell_with_source

if TYPE_CHECKING:
    from unroll.tasks.translation.loss import KnownTargets

TARGET = "target.json"
_WHOLE = LengthOptions(max_length=0, keep="head")


class TranslationTask(RecordTask[PairRecords, PairDataset]):
    """Turn one text into another, by an encoder-decoder with attention.

    Attributes:
        name: "translation".
        settings: every option.
        encoder: tokenizer of the sources, learnt on the training part.
        target_encoder: tokenizer of the targets; the same, with a joint vocabulary.
    """

    settings: TranslationSettings

    def __init__(
        self, name: str, settings: TranslationSettings, encoder: TextTokenizer, target_encoder: TextTokenizer
    ) -> None:
        super().__init__(name, settings)
        self.encoder = encoder
        self.target_encoder = target_encoder

    @classmethod
    def read(cls, name: str, settings: TranslationSettings, data: Any, say: Log, known: Any = None) -> PairRecords:
        """Read pairs and keep those that can be used; see `BaseTask.read`."""
        return load_pairs(data, settings, say, references=known is not None)

    @classmethod
    def split(cls, settings: TranslationSettings, records: PairRecords) -> tuple[PairRecords, PairRecords | None]:
        """Hold out a share of the pairs."""
        train, valid = split(len(records), settings.batch.validation_fraction, settings.batch.seed)
        return records.take(train), records.take(valid) if len(valid) else None

    @classmethod
    def learn(
        cls, name: str, settings: TranslationSettings, train: PairRecords, valid: PairRecords | None, say: Log
    ) -> Self:
        """Learn one vocabulary, or one for each side, from the training pairs.

        Raises:
            DataError: a vocabulary would be empty.
            OptionError: options that do not go together.
        """
        settings, lines = choose_options(settings, len(train))
        joint, why = settings.translation.joint_vocabulary == "yes", ""
        if settings.translation.joint_vocabulary == "auto":
            joint, why = is_joint(train, settings.text.level)
        for line in [*lines, *([why] if why else [])]:
            say(line)
        if settings.translation.replace_unknown and settings.text.level not in ("word", "char"):
            raise OptionError(f"replace_unknown is set, but at level '{settings.text.level}' no token is unknown")
        columns = replace(settings.translation, joint_vocabulary="yes" if joint else "no")
        settings = replace(settings, translation=columns)
        options = TextOptions(**asdict(settings.text))
        sides = [train.sources, train.targets()]
        if joint:
            encoder = target = TextTokenizer.learn([*sides[0], *sides[1]], options, _WHOLE)
        else:
            encoder, target = (TextTokenizer.learn(texts, options, _WHOLE) for texts in sides)
        return cls(name, settings, encoder, target)

    def encode(self, records: PairRecords) -> PairDataset:
        """Encode both sides, each with its end token."""
        source = self._encode_sources(records.sources)
        target = with_end(self.target_encoder.encode(records.targets()), self.end)
        return PairDataset(source, target, records.sources, records.references)

    def _encode_sources(self, texts: Sequence[str]) -> RaggedDataset:
        return with_end(self.encoder.encode(texts), self.encoder.size)

    @property
    def end(self) -> int:
        """Id of the token that ends a target."""
        return self.target_encoder.size

    def join(self, train: PairDataset, valid: PairDataset) -> PairDataset:
        """Join the pairs of both parts."""
        return train.join(valid)

    def network(self, training: PairDataset | None = None) -> Seq2Seq:
        """Build a new model."""
        options = self.settings
        return build_seq2seq(
            options.tokens,
            options.recurrent,
            options.decoder,
            source_vocabulary=self.encoder.size + 1,
            vocabulary=self.end + 1,
            share_embedding=options.translation.joint_vocabulary == "yes",
        )

    def objective(self, training: PairDataset | None = None) -> KnownTargets:
        """Return loss and metrics."""
        from unroll.tasks.translation.loss import KnownTargets  # imports torchmetrics

        return KnownTargets(self.settings.translation.label_smoothing, self.settings.decoder.coverage_loss)

    def batches(self, part: PairDataset, *, training: bool) -> PairBatches:
        """Batch pairs of similar lengths."""
        return PairBatches(part, self.settings.batch, shuffle=training)

    def counts(self, part: PairDataset) -> dict[str, int]:
        """Count pairs and tokens."""
        sides = {"source_tokens": part.source, "target_tokens": part.target}
        return {"pairs": len(part), **{name: int(side.lengths.sum()) for name, side in sides.items()}}

    def summary(self) -> str:
        """Name the columns and the vocabularies."""
        columns, level = self.settings.translation, self.encoder.options.level
        sizes = f"{self.encoder.size:,}"
        if self.encoder is not self.target_encoder:
            sizes += f" and {self.target_encoder.size:,}"
        return f"translation of '{columns.source}' to '{columns.target}', {sizes} tokens ({level} level)"

    def describe_data(self, prepared: TrainingData) -> Iterator[str]:
        """Describe pairs, their lengths and the vocabularies."""
        padding = self.batches(prepared.train, training=True).padding_share()
        lengths = describe_lengths(prepared.train.target.lengths, "tokens", "target", padding)
        yield f"{self.describe_parts(prepared)}; {lengths}"
        sizes = f"{self.encoder.size:,} entries for both sides"
        if self.settings.translation.joint_vocabulary == "no":
            sizes = f"{self.encoder.size:,} entries of sources, {self.target_encoder.size:,} of targets"
        yield f"vocabulary: {sizes} ({self.encoder.options.level} level)"

    @property
    def column(self) -> str:
        """Name of the input column of a record."""
        return self.settings.translation.source

    @property
    def answer_keys(self) -> tuple[str, ...]:
        """Keys of every predicted record."""
        return ("translation", "score")

    def validate(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Find values of the input column that cannot be used; return reasons by position."""
        return dict(bad_texts(values, self.column))

    def predict(self, network: Any, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Predict a translation and its score for each text."""
        return self.translate(network, values, self.settings.search)

    def translate(
        self,
        network: Any,
        texts: Sequence[str],
        options: SearchOptions,
        *,
        constraints: Constraints | None = None,
        prefix: Sequence[int] = (),
        alignment: bool = False,
    ) -> list[dict[str, Any]]:
        """Translate texts, each with the result that it has alone.

        Args:
            network: the model, or an `Ensemble`.
            texts: the sources.
            options: of the search.
            constraints: phrases that translations must or must not contain.
            prefix: tokens that every translation begins with.
            alignment: also give the tokens of both sides, each target token's log-probability and attention weights.
        """
        found = self._search(
            network,
            self._encode_sources(texts),
            options,
            constraints=constraints,
            prefix=prefix,
            attention=alignment or self.settings.translation.replace_unknown,
        )
        answers = []
        for text, best in zip(texts, found, strict=True):
            several = [self._answer(text, one, alignment=alignment) for one in best]
            answers.append(several[0] | ({"n_best": several} if options.n_best > 1 else {}))
        return answers

    def _search(
        self, network: Any, source: RaggedDataset, options: SearchOptions, **more: Any
    ) -> list[list[Hypothesis]]:
        forbid = (0,) if self.settings.translation.replace_unknown else (0, 1)
        target = self.target_encoder
        return search(
            network, source, options, end=self.end, text=lambda ids: spell(target, ids), forbid=forbid, **more
        )

    def _answer(self, text: str, found: Hypothesis, *, alignment: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "translation": self._spell(text, found),
            "score": round(found.score, 6),
            "log_probability": round(found.log_probability, 6),
        }
        if not found.finished:
            answer["cut_off"] = True
        if alignment and found.attention is not None:
            pieces = self.encoder.pieces(text)
            answer["source_tokens"] = [*pieces, "</s>"]
            ended = ["</s>"] if found.finished else []
            answer["tokens"] = [*self.target_encoder.tokens(found.ids), *ended]
            answer["log_probabilities"] = [round(value, 6) for value in found.token_log_probabilities]
            answer["attention"] = found.attention[:, : len(pieces) + 1].astype(float).round(4).tolist()
        return answer

    def _spell(self, text: str, found: Hypothesis) -> str:
        if not self.settings.translation.replace_unknown:
            return spell(self.target_encoder, found.ids)
        pieces = self.encoder.pieces(text)
        return spell_with_source(self.target_encoder, found, pieces, len(pieces))

    def perplexity(self, network: Seq2Seq, part: PairDataset) -> float:
        """Compute the perplexity of the targets' tokens, each given those before it."""
        nats = 0.0
        for batch in run_batches(network, PairBatches(part, self.settings.batch, shuffle=False)):
            assert batch.target is not None  # noqa: S101 (just made)
            decoded = network(batch.x, batch.lengths, batch.target, batch.target_lengths)
            nats += float(network.nll(decoded, batch.target).double().sum())
        return float(np.exp(min(nats / int(part.target.lengths.sum()), 700.0)))

    def evaluate(self, network: Seq2Seq, part: PairDataset) -> Report:
        """Translate every source, and compute every metric."""
        return self._evaluate(network, part)[0]

    def _evaluate(self, network: Seq2Seq, part: PairDataset) -> tuple[Report, list[str], list[Hypothesis]]:
        options = replace(self.settings.search, n_best=1)
        found = [best[0] for best in self._search(network, part.source, options, attention=True)]
        texts = [self._spell(text, one) for text, one in zip(part.sources, found, strict=True)]
        report = {
            **self.counts(part),
            **metrics.figures(texts, part.references),
            "perplexity": self.perplexity(network, part),
            **metrics.counts(texts, part.sources, [one.finished for one in found]),
            "by_length": metrics.by_length(texts, part.references, part.source.lengths.tolist()),
        }
        return report, texts, found

    def evaluate_and_list(
        self, network: Seq2Seq, part: PairDataset, records: PairRecords
    ) -> tuple[Report, Predictions]:
        """Compute every metric, and list translations beside the references; the worst have the lowest chrF."""
        report, texts, found = self._evaluate(network, part)
        chrf = metrics.sentence_chrf(texts, records.references)
        columns = self.settings.translation
        rows = [
            {
                "row": i + 1,
                columns.source: records.sources[i],
                columns.target: records.references[i][0],
                "translation": text,
                "score": round(found[i].score, 6),
                "chrf": round(float(chrf[i]), 2),
            }
            for i, text in enumerate(texts)
        ]
        return report, Predictions(rows, [rows[i] for i in largest(100.0 - chrf).tolist()])

    def fit_baseline(self, train: PairDataset) -> Callable[[PairDataset], Report] | None:
        """Fit simple answers: the source itself, and the translation of the nearest training source."""
        if self.settings.translation.baseline == "none":
            return None
        from unroll.tasks.translation.baseline import fit_baselines

        return fit_baselines(train)

    def format_report(self, report: Report, *, full: bool = True, every: bool = False) -> list[str]:
        """Format one line per metric, and a table by the source's length."""
        return figures.format_report(report, tables=full)

    def save_plots(self, run: Run, network: Any, prepared: TrainingData, metrics: Report) -> None:
        """Plot where the decoder looked, for a few sources of the test or validation part."""
        from unroll.tasks.translation.plots import ALIGNMENT, plot_alignments

        part = prepared.valid if prepared.test is None else prepared.test
        if part is not None:
            rows = np.argsort(np.abs(part.source.lengths - np.median(part.source.lengths)), kind="stable")[:4]
            texts = [part.sources[i] for i in sorted(rows.tolist())]
            plot_alignments(self.translate(network, texts, self.settings.search, alignment=True), run.path / ALIGNMENT)

    def state(self) -> dict[str, str]:
        """Return encoder.json, and target.json where the targets have their own vocabulary."""
        own = {} if self.encoder is self.target_encoder else {TARGET: self.target_encoder.to_json()}
        return {ENCODER: self.encoder.to_json(), **own}

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read the task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = TranslationSettings.of_run(run)
        encoder = run.read_as(ENCODER, TextTokenizer.from_json)
        target = encoder
        if settings.translation.joint_vocabulary == "no":
            target = run.read_as(TARGET, TextTokenizer.from_json)
        for tokenizer in (encoder, target):
            if tokenizer.options != TextOptions(**asdict(settings.text)):
                raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how the texts are encoded")
        return cls(name, settings, encoder, target)
