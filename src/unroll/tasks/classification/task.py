"""Sequence classification and regression task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unroll.data.batches import Batches
from unroll.data.labels import Labels
from unroll.data.ragged import RaggedDataset
from unroll.data.sequences import SequenceScaler
from unroll.data.split import split
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import RunError
from unroll.models.classifier import SequenceClassifier, build
from unroll.models.embedding import TokenEmbedding
from unroll.runs import Run, json_text
from unroll.tasks.base import Log, Report, TrainingData
from unroll.tasks.batch_loop import require_finite, run_batches
from unroll.tasks.classification import notes
from unroll.tasks.classification import report as figures
from unroll.tasks.classification.class_weights import class_weights
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.predictions import list_answers, predictions
from unroll.tasks.classification.preset import choose_options
from unroll.tasks.classification.records import Records, bad_inputs, load_records
from unroll.tasks.classification.sources import row_sequences, series_records
from unroll.tasks.describe import describe_lengths, some
from unroll.tasks.predictions import Predictions
from unroll.tasks.record_task import RecordTask
from unroll.tasks.reporting import save_confusion
from unroll.tasks.state import ENCODER, numbers
from unroll.tasks.transfer import load_pretrained_weights, pretrained_tokenizer

if TYPE_CHECKING:
    from unroll.data.files.rows import Row
    from unroll.data.options import SourceOptions
    from unroll.tasks.classification.loss import MultiLabel, Regression, SingleLabel

LABELS = "labels.json"
_FORMAT = "unroll.targets/1"


class ClassificationTask(RecordTask[Records, RaggedDataset]):
    """Classify sequences (single-label or multi-label), or predict numbers (regression).

    Attributes:
        name: "classification" or "regression".
        settings: every option.
        encoder: encodes texts or numeric sequences, learnt on the training part.
        labels: encodes and decodes labels or target numbers.
        mean, scale: (K,) of the training part's targets: the classes' shares (scale 1), or mean and standard deviation.
    """

    settings: ClassificationSettings

    def __init__(
        self,
        name: str,
        settings: ClassificationSettings,
        encoder: TextTokenizer | SequenceScaler,
        labels: Labels,
        mean: np.ndarray,
        scale: np.ndarray,
    ) -> None:
        super().__init__(name, settings)
        self.encoder = encoder
        self.labels = labels
        self.mean = mean
        self.scale = scale

    @classmethod
    def read(
        cls, name: str, settings: ClassificationSettings, data: Any, say: Log, known: Records | Self | None = None
    ) -> Records:
        """Read labelled data and keep its usable rows; see `BaseTask.read`."""
        if isinstance(known, Records):
            settings = replace(settings, classification=known.options)
        return load_records(
            data,
            settings,
            name,
            labels=None if known is None else known.labels,
            features=known.encoder.features if isinstance(known, ClassificationTask) else 0,
            say=say,
        )

    @classmethod
    def split(cls, settings: ClassificationSettings, records: Records) -> tuple[Records, Records | None]:
        """Hold out a share of the rows, stratified by label; they count the same, whatever their weights."""
        train, valid = split(records.targets, settings.batch.validation_fraction, settings.batch.seed)
        return records.take(train), replace(records.take(valid), weights=None) if len(valid) else None

    @classmethod
    def learn(
        cls, name: str, settings: ClassificationSettings, train: Records, valid: Records | None, say: Log
    ) -> Self:
        """Learn vocabulary or scaler and the targets' statistics from the training records.

        Raises:
            DataError: the inputs cannot be used, or the validation data has labels that the training data does not.
            OptionError: an option is set that applies to another kind of input or target.
        """
        if valid is not None:
            valid.require_known_labels()  # it chooses the weights by a loss that such labels do not have
        text, regression = bool(train.options.text), name == "regression"
        count = 0 if regression else len(train.labels)
        settings, lines = choose_options(settings, train.inputs(), len(train.rows), text=text, labels=count)
        for line in lines:
            say(line)
        columns = replace(settings.classification, text=train.options.text, sequence=train.options.sequence)
        settings = replace(settings, classification=columns, length=settings.length.resolved(text=text))
        settings.refuse_unused(text=text, regression=regression)
        if settings.transfer.init_from:
            encoder = pretrained_tokenizer(settings.transfer, settings.text).with_truncation(settings.length)
        elif text:
            encoder = TextTokenizer.learn(train.inputs(), settings.text, settings.length)
        else:
            encoder = SequenceScaler.learn(train.inputs(), settings.sequence, settings.length)
        class_weights(settings.classification.class_weights, train.labels.names, None)  # refuses unknown classes
        return cls(name, settings, encoder, train.labels, *train.target_statistics())

    def encode(self, records: Records) -> RaggedDataset:
        """Encode texts or sequences, and keep their targets."""
        return records.encode(self.encoder)

    def join(self, train: RaggedDataset, valid: RaggedDataset) -> RaggedDataset:
        """Join the rows of both parts."""
        return train.join(valid)

    @property
    def takes_text(self) -> bool:
        """Whether rows are texts (else numeric sequences)."""
        return isinstance(self.encoder, TextTokenizer)

    def network(self, training: RaggedDataset | None = None) -> SequenceClassifier:
        """Build a new model; `training` provides common token n-grams."""
        options, K = self.settings, len(self.labels)
        parts = (options.model, options.recurrent, options.tokens)
        if not isinstance(self.encoder, TextTokenizer):
            return build(*parts, outputs=K, features=self.encoder.features)
        model = build(*parts, outputs=K, vocabulary=self.encoder.size)
        if training is not None and isinstance(model.inputs, TokenEmbedding):
            model.inputs.learn_ngrams(training)
        if training is not None and options.transfer.init_from:
            load_pretrained_weights(options.transfer, model)
        return model

    def objective(self, training: RaggedDataset | None = None) -> SingleLabel | MultiLabel | Regression:
        """Return loss and metrics; balanced class weights are computed from the training targets."""
        from unroll.tasks.classification.loss import MultiLabel, Regression, SingleLabel  # imports torchmetrics

        options, K = self.settings.classification, len(self.labels)
        if self.labels.kind == "regression":
            return Regression(torch.from_numpy(self.mean), torch.from_numpy(self.scale))
        targets = None if training is None else torch.from_numpy(training.targets)
        weights = class_weights(options.class_weights, self.labels.names, targets)
        head = SingleLabel if self.labels.kind == "single" else MultiLabel
        return head(K, weights, options.label_smoothing)

    def batches(self, part: RaggedDataset, *, training: bool) -> Batches:
        """Batch rows of similar length."""
        return Batches(part, self.settings.batch, shuffle=training)

    def summary(self) -> str:
        """Name the kind of rows, their column, and the labels."""
        what = f"{self.name} of {'texts' if self.takes_text else 'sequences'} ('{self.column}')"
        K = len(self.labels)
        if self.labels.kind == "regression":
            return f"{what}, {K} number{'s' * (K > 1)}"
        several = ", any of them" if self.labels.kind == "multi" else ""
        return f"{what}, {K:,} labels{several}: {some(self.labels.names)}"

    def counts(self, part: RaggedDataset) -> dict[str, int]:
        """Count rows."""
        return {"rows": len(part)}

    def describe_data(self, prepared: TrainingData) -> Iterator[str]:
        """Describe rows, their lengths and weights, and the vocabulary."""
        padding = self.batches(prepared.train, training=True).padding_share()
        unit = "tokens" if self.takes_text else "steps"
        yield f"{self.describe_parts(prepared)}; {describe_lengths(prepared.train.lengths, unit, 'row', padding)}"
        if (weights := prepared.train.weights) is not None:
            yield f"weights of rows: {weights.min():.3g} to {weights.max():.3g} times their mean"
        if isinstance(self.encoder, TextTokenizer):
            yield f"vocabulary: {self.encoder.size:,} entries ({self.encoder.options.level} level)"

    def remarks(self, prepared: TrainingData) -> Iterator[str]:
        """Point out unknown tokens, few updates, and labels that look like numbers."""
        steps = len(self.batches(prepared.train, training=True))
        parts = (prepared.train, prepared.valid)
        return notes.remarks(self.settings, self.labels, *parts, steps=steps, text=self.takes_text)

    def outputs(
        self, network: SequenceClassifier, examples: RaggedDataset, batch_size: int = 64
    ) -> Float[Tensor, "N K"]:
        """Compute probabilities, or values in the target's units (float64), in the order of the examples.

        Rows are batched by similar length.
        """
        kind = torch.float64 if self.labels.kind == "regression" else torch.float32
        result = torch.empty(len(examples), len(self.labels), dtype=kind)
        for batch in run_batches(network, Batches(examples, batch_size=batch_size, shuffle=False)):
            result[batch.rows] = self._probabilities(network(batch.x, batch.lengths))
        require_finite(result)
        return result

    def _probabilities(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        output = output.detach().float().cpu()
        if self.labels.kind == "regression":
            return output.double() * torch.from_numpy(self.scale) + torch.from_numpy(self.mean)
        return output.softmax(1) if self.labels.kind == "single" else output.sigmoid()

    @property
    def column(self) -> str:
        """Name of the input column of a record."""
        return self.settings.classification.column

    @property
    def input_columns(self) -> tuple[str, ...]:
        """Names of the columns that a record's input is made of."""
        columns = self.settings.classification
        return columns.sequence if columns.of_columns else (columns.column,)

    def inputs(self, records: Sequence[Mapping[str, Any]], source: SourceOptions) -> tuple[list[Any], dict[int, str]]:
        """Take the inputs of records, or make them of their columns; see `RecordTask.inputs`."""
        options = self.settings.classification
        if not options.of_columns:
            return super().inputs(records, source)
        return row_sequences(records, options, source.decimal)

    def grouped_records(
        self, data: Any, source: SourceOptions, keep: Sequence[str], say: Log
    ) -> tuple[str, Iterator[Row]] | None:
        """Read one record for each series of a long table; see `RecordTask.grouped_records`."""
        options = self.settings.classification
        name = options.series_id
        return (name, series_records(data, options, source, keep, say)) if name else None

    @property
    def answer_keys(self) -> tuple[str, ...]:
        """Keys of every predicted record."""
        if self.labels.kind == "regression":
            return ("value",)
        return ("label" if self.labels.kind == "single" else "labels", "probabilities")

    def validate(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Find values of the input column that cannot be used; return reasons by position."""
        return dict(bad_inputs(values, self.settings, self.column, self.encoder.features))

    def predict(self, network: SequenceClassifier, values: Sequence[Any]) -> list[dict[str, Any]]:
        """Predict `label` or `labels` and `probabilities`, or `value`, for each input value."""
        array = self.outputs(network, RaggedDataset.from_arrays(self.encoder.encode(values))).numpy()
        return list_answers(array, self.labels)

    def evaluate(self, network: SequenceClassifier, part: RaggedDataset) -> Report:
        """Compute every metric, for the model and the baseline."""
        return self._figures(self.outputs(network, part), part)

    def _figures(self, outputs: Float[Tensor, "N K"], part: RaggedDataset) -> Report:
        compare = {
            "single": figures.single_label,
            "multi": figures.multi_label,
            "regression": figures.regression,
        }
        targets = torch.from_numpy(part.targets)
        return compare[self.labels.kind](
            outputs, targets, (*self.labels.names, *part.unseen_labels), self.mean.tolist()
        )

    def evaluate_and_list(
        self, network: SequenceClassifier, part: RaggedDataset, records: Records
    ) -> tuple[Report, Predictions]:
        """Compute every metric, and list predicted labels or values beside the true ones."""
        outputs = self.outputs(network, part)
        return self._figures(outputs, part), predictions(outputs.numpy(), records, self.labels)

    @property
    def example(self) -> str:
        """A value of the input column, as Python writes it."""
        if isinstance(self.encoder, TextTokenizer):
            return '"some text"'
        return repr([[float(step)] * self.encoder.features for step in range(2)])

    def fit_baseline(self, train: RaggedDataset) -> Callable[[RaggedDataset], Report] | None:
        """Fit TF-IDF and a linear model on texts, or a random forest on statistics of sequences."""
        if self.settings.classification.baseline == "none":
            return None
        from unroll.tasks.classification.baseline import fit_baseline

        kind, encoder = self.labels.kind, self.encoder
        level = encoder.options.level if isinstance(encoder, TextTokenizer) else None
        fitted = fit_baseline(train, kind, len(self.labels), level=level, seed=self.settings.batch.seed)

        def report(part: RaggedDataset) -> Report:
            every = self._figures(fitted.outputs(part), part)
            kept = ("accuracy", "exact_match", "f1_macro", "mae", "rmse", "r2")
            return {fitted.name: {name: every[name] for name in kept if name in every}}

        return report

    def format_report(self, report: Report, *, full: bool = True, every: bool = False) -> list[str]:
        """Format one line per metric, and a table of the classes."""
        return figures.format_report(
            report, per_class=full, every=every, advice=notes.advice(self.settings, text=self.takes_text)
        )

    def save_plots(self, run: Run, network: Any, prepared: TrainingData, metrics: Report) -> None:
        """Plot the confusion matrix of the test part, or of the validation part."""
        save_confusion(run, metrics, "per_class")

    def state(self) -> dict[str, str]:
        """Return encoder.json and labels.json."""
        document = {
            "format": _FORMAT,
            "labels": json.loads(self.labels.to_json()),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }
        return {ENCODER: self.encoder.to_json(), LABELS: json_text(document)}

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Read the task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = ClassificationSettings.of_run(run)
        text = bool(settings.classification.text)
        encoder = run.read_as(ENCODER, (TextTokenizer if text else SequenceScaler).from_json)
        wanted = (settings.text if text else settings.sequence, settings.length)
        if (encoder.options, encoder.length) != wanted:
            raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how the sequences are encoded")
        document, where = run.read_document(LABELS, _FORMAT), run.path / LABELS
        labels = Labels.from_json(json.dumps(document.get("labels")))
        if (labels.kind == "regression") != (name == "regression"):
            raise RunError(f"{run.path}: config.yaml says {name}, and {LABELS} is of kind {labels.kind}")
        mean, scale = (numbers(document, key, len(labels), where) for key in ("mean", "scale"))
        if not (scale > 0).all():
            raise RunError(f"{where} is damaged: a 'scale' is not above 0")
        return cls(name, settings, encoder, labels, mean, scale)
