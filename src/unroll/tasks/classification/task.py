"""Sequences with labels: records to arrays, the model and the loss for them, outputs back to records."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from unroll.data.batches import Batches
from unroll.data.labels import Kind, Labels, spelling_notes
from unroll.data.options import SourceOptions
from unroll.data.ragged import ROWS_AT_ONCE, RaggedDataset
from unroll.data.sequences import SequenceScaler
from unroll.data.split import split
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import RunError
from unroll.models.classifier import SequenceClassifier, build
from unroll.models.embedding import TokenEmbedding
from unroll.runs import ENCODER, LABELS, Run
from unroll.tasks.base import DataPaths, Log, Report, TrainingData, parameters, recurrent_layers
from unroll.tasks.classification import report as figures
from unroll.tasks.classification.loss import MultiLabel, Regression, SingleLabel, class_weights
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.records import Records, bad_inputs, load_records
from unroll.tasks.finite import require_finite
from unroll.tasks.transfer import load_pretrained_weights, pretrained_tokenizer
from unroll.training.plots import plot_confusion

_FORMAT = "unroll.targets/1"


class ClassificationTask:
    """Classification (one label, or any number of labels) or regression of whole sequences.

    Attributes:
        name: "classification" or "regression".
        settings: every option.
        encoder: text or numeric sequences to arrays, learnt on the training part.
        labels: labels or target numbers to arrays and back.
        mean, scale: (K,) of the training part's targets: the classes' shares (scale 1), or mean and standard deviation.
    """

    def __init__(
        self,
        name: str,
        settings: ClassificationSettings,
        encoder: TextTokenizer | SequenceScaler,
        labels: Labels,
        mean: np.ndarray,
        scale: np.ndarray,
    ) -> None:
        self.name = name
        self.settings = settings
        self.encoder = encoder
        self.labels = labels
        self.mean = mean
        self.scale = scale

    @classmethod
    def learn(
        cls,
        name: str,
        settings: ClassificationSettings,
        labels: Labels,
        inputs: Iterable[Any],
        targets: np.ndarray,
    ) -> ClassificationTask:
        """Learn vocabulary or scaler and the targets' statistics from the training part.

        Args:
            name: "classification" or "regression".
            settings: every option, the input column settled.
            labels: the labels or target numbers.
            inputs: texts or sequences of the training part.
            targets: the training part's targets as `labels` encodes them.

        Raises:
            DataError: the inputs cannot be used.
            OptionError: an option that goes with another kind of input or target is set.
        """
        text = bool(settings.classification.text)
        settings.refuse_unused(text=text, regression=name == "regression")
        settings = replace(settings, length=settings.length.resolved(text=text))
        if labels.kind == "single":
            mean = np.bincount(targets, minlength=len(labels)) / len(targets)
        else:
            mean = targets.mean(0, dtype=np.float64)
        scale = np.ones(len(labels))
        if labels.kind == "regression":
            spread = targets.std(0, dtype=np.float64)
            scale = np.where(spread > 0, spread, 1.0)
        if settings.transfer.init_from:
            encoder = pretrained_tokenizer(settings.transfer, settings.text).with_truncation(settings.length)
        elif text:
            encoder = TextTokenizer.learn(inputs, settings.text, settings.length)
        else:
            encoder = SequenceScaler.learn(inputs, settings.sequence, settings.length)
        return cls(name, settings, encoder, labels, mean, scale)

    @classmethod
    def prepare(cls, name: str, settings: ClassificationSettings, sources: DataPaths, say: Log) -> TrainingData:
        """Read the data, split it, learn the vocabulary or scaler and the labels, and encode every part.

        Raises:
            UserError: the data or the options cannot be used.
        """

        def records(data: Sequence[str]) -> Records:
            return load_records(list(data), settings, regression=name == "regression", say=say)

        main = records(sources.data)
        held = records(sources.valid) if sources.valid else None
        last = records(sources.test) if sources.test else None
        settings = replace(settings, classification=main.options)
        labels = Labels.learn(main.targets, label_kind(name, main.targets), where=main.where, rows=main.rows)
        if labels.kind != "regression":
            for note in spelling_notes(main.targets):
                say(note)
        targets = labels.encode(main.targets, where=main.where, rows=main.rows)
        share = 0.0 if held is not None else settings.batch.validation_fraction
        chosen, left = split(targets, share, settings.batch.seed)
        task = cls.learn(name, settings, labels, main.inputs(chosen), targets[chosen])
        train = main.examples(task.encoder, targets[chosen], chosen)
        valid = main.examples(task.encoder, targets[left], left) if len(left) else None
        if held is not None:
            valid = task._part(held)
        return TrainingData(task, train, valid, None if last is None else task._part(last))

    def load(self, data: Any, source: SourceOptions, say: Log) -> RaggedDataset:
        """Labelled data, files or a table, with the columns of the training data.

        Raises:
            DataError: the data cannot be used, or has labels that the training data did not.
        """
        return self._part(
            load_records(
                data,
                replace(self.settings, source=source),
                regression=self.name == "regression",
                features=self.encoder.features,
                say=say,
            )
        )

    def _part(self, records: Records) -> RaggedDataset:
        targets = self.labels.encode(records.targets, where=records.where, rows=records.rows)
        return records.examples(self.encoder, targets)

    @property
    def takes_text(self) -> bool:
        """Whether rows are texts (else numeric sequences)."""
        return isinstance(self.encoder, TextTokenizer)

    def model(self, training: RaggedDataset | None = None) -> SequenceClassifier:
        """A new model for this task; `training` tells it which runs of tokens are common."""
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
        """Loss and metrics; the training part's targets give balanced class weights."""
        options, K = self.settings.classification, len(self.labels)
        if self.labels.kind == "regression":
            return Regression(torch.from_numpy(self.mean), torch.from_numpy(self.scale))
        weights = None
        if options.class_weights == "balanced" and training is not None:
            weights = class_weights(torch.from_numpy(training.targets), K)
        head = SingleLabel if self.labels.kind == "single" else MultiLabel
        return head(K, weights, options.label_smoothing)

    def batches(self, part: RaggedDataset, *, shuffle: bool) -> Batches:
        """Rows of like length together."""
        return Batches(part, self.settings.batch, shuffle=shuffle)

    def size(self, part: RaggedDataset) -> dict[str, int]:
        """Rows."""
        return {"rows": len(part)}

    def fingerprint(self, part: RaggedDataset) -> Iterator[bytes]:
        """Vocabulary or scaler, labels, and every row with its target."""
        yield self.encoder.to_json().encode()
        yield self.labels.to_json().encode()
        yield part.lengths.tobytes()
        yield b"" if part.targets is None else part.targets.tobytes()
        for start in range(0, len(part), ROWS_AT_ONCE):
            for sequence in part.take(np.arange(start, min(start + ROWS_AT_ONCE, len(part)))):
                yield np.ascontiguousarray(sequence).tobytes()

    def describe(self, prepared: TrainingData, model: nn.Module) -> Iterator[str]:
        """Rows, their lengths, the vocabulary and the model's size."""
        training: RaggedDataset = prepared.train
        parts = [f"{len(training):,} rows to train"]
        parts += [f"{len(e):,} to {w}" for w, e in (("validate", prepared.valid), ("test", prepared.test)) if e]
        lengths = training.lengths
        unit = "tokens" if self.takes_text else "steps"
        padding = self.batches(training, shuffle=True).padding_share()
        yield (
            f"{', '.join(parts)}; {int(lengths.min())} to {int(lengths.max())} {unit} a row"
            f" (median {int(statistics.median(lengths.tolist()))}), {padding:.1%} of the batches padding"
        )
        if isinstance(self.encoder, TextTokenizer):
            yield f"vocabulary: {self.encoder.size:,} entries ({self.encoder.options.level} level)"
        yield f"model: {recurrent_layers(self.settings.recurrent)}, {parameters(model):,} parameters"

    def answers(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Probabilities, or values in the target's units (float64), from the model's output."""
        output = output.detach().float().cpu()
        if self.labels.kind == "regression":
            return output.double() * torch.from_numpy(self.scale) + torch.from_numpy(self.mean)
        if self.labels.kind == "single":
            return output.softmax(1)
        return output.sigmoid()

    def answer(self, model: SequenceClassifier, examples: RaggedDataset, batch_size: int = 64) -> Float[Tensor, "N K"]:
        """The model's answers in the order of the examples; rows of like length are computed together."""
        device = next(model.parameters()).device
        kind = torch.float64 if self.labels.kind == "regression" else torch.float32
        result = torch.empty(len(examples), len(self.labels), dtype=kind)
        model.eval()
        with torch.inference_mode():
            for batch in Batches(examples, batch_size=batch_size, shuffle=False):
                result[batch.rows] = self.answers(model(batch.x.to(device), batch.lengths))
        require_finite(result)
        return result

    @property
    def column(self) -> str:
        """The column that a record to answer must have."""
        return self.settings.classification.column

    @property
    def answer_keys(self) -> tuple[str, ...]:
        """What every record of the answers has."""
        if self.labels.kind == "regression":
            return ("value",)
        return ("label" if self.labels.kind == "single" else "labels", "probabilities")

    def problems(self, values: Sequence[Any]) -> Mapping[int, str]:
        """Why values of that column cannot be answered, by their position."""
        return dict(bad_inputs(values, self.settings, self.column, self.encoder.features))

    def answered(self, model: SequenceClassifier, values: Sequence[Any]) -> list[dict[str, Any]]:
        """One record for each value of that column; see `decode`."""
        return self.decode(self.answer(model, RaggedDataset.from_arrays(self.encoder.encode(values))))

    def decode(self, answers: Float[Tensor, "B K"]) -> list[dict[str, Any]]:
        """One record a row: `label` or `labels` and `probabilities`, or `value`."""
        array = answers.numpy()
        if self.labels.kind == "regression":
            return [{"value": value} for value in self.labels.decode(array)]
        if self.labels.kind == "single":
            key, decoded = "label", self.labels.decode(array.argmax(1))
        else:
            key, decoded = "labels", self.labels.decode(array >= 0.5)
        names = self.labels.names
        return [
            {key: label, "probabilities": {n: round(p, 6) for n, p in zip(names, row, strict=True)}}
            for label, row in zip(decoded, array.astype(float).tolist(), strict=True)
        ]

    def report(self, model: SequenceClassifier, part: RaggedDataset) -> Report:
        """Every metric of the model's answers, the baseline's beside them."""
        compare = {
            "single": figures.single_label,
            "multi": figures.multi_label,
            "regression": figures.regression,
        }
        answers, targets = self.answer(model, part), torch.from_numpy(part.targets)
        return compare[self.labels.kind](answers, targets, self.labels.names, self.mean.tolist())

    def lines(self, report: Report, *, full: bool = True) -> list[str]:
        """A line a figure, and a table of the classes."""
        return figures.lines(report, per_class=full)

    def pictures(self, run: Run, model: nn.Module, prepared: TrainingData, metrics: Report) -> None:
        """The confusion matrix of the test part, or of the validation part."""
        shown = metrics.get("test", metrics.get("validation", {}))
        if "confusion" in shown:
            plot_confusion(shown["confusion"], self.labels.names, run.path / "confusion.png")

    def write(self, run: Run) -> None:
        """Write encoder.json and labels.json."""
        run.write(ENCODER, self.encoder.to_json())
        run.write_json(
            LABELS,
            {
                "format": _FORMAT,
                "labels": json.loads(self.labels.to_json()),
                "mean": self.mean.tolist(),
                "scale": self.scale.tolist(),
            },
        )

    @classmethod
    def read(cls, run: Run) -> ClassificationTask:
        """The task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings = ClassificationSettings.of_run(run)
        text = bool(settings.classification.text)
        encoder = run.read_as(ENCODER, (TextTokenizer if text else SequenceScaler).from_json)
        if encoder.options != (settings.text if text else settings.sequence) or encoder.length != settings.length:
            raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how the sequences are encoded")
        document = run.read_document(LABELS, _FORMAT)
        labels = Labels.from_json(json.dumps(document.get("labels")))
        if (labels.kind == "regression") != (name == "regression"):
            raise RunError(f"{run.path}: config.yaml says {name}, and {LABELS} is of kind {labels.kind}")
        statistics = []
        for key in ("mean", "scale"):
            try:
                values = np.array(document.get(key), dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                values = np.empty(0)
            if values.shape != (len(labels),) or not np.isfinite(values).all():
                raise RunError(f"{run.path / LABELS} is damaged: '{key}' must hold {len(labels)} numbers")
            if key == "scale" and not (values > 0).all():
                raise RunError(f"{run.path / LABELS} is damaged: a 'scale' is not above 0")
            statistics.append(values)
        return cls(name, settings, encoder, labels, *statistics)


def label_kind(name: str, targets: Sequence[Any]) -> Kind:
    """What the targets are: numbers for regression; lists, or a (N, K) array, are several labels a row."""
    if name == "regression":
        return "regression"
    if isinstance(targets, np.ndarray):
        return "multi" if targets.ndim == 2 else "single"
    listed = next((v for v in targets if v is not None), None)
    return "multi" if isinstance(listed, list | tuple | set | frozenset) else "single"
