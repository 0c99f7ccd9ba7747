"""Sequences with labels: records to arrays, the model and the loss for them, outputs back to records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unroll.data.batches import Batches
from unroll.data.examples import Examples
from unroll.data.labels import Kind, Labels
from unroll.data.series import SeriesEncoder
from unroll.data.text import TextEncoder
from unroll.errors import RunError
from unroll.models.many_to_one import ManyToOne, TokenInput, build
from unroll.runs import ENCODER, LABELS, Run
from unroll.tasks import report
from unroll.tasks.objectives import MultiLabel, Regression, SingleLabel, class_weights
from unroll.tasks.settings import Settings

NAMES = ("classification", "regression")
_FORMAT = "unroll.targets/1"


class LabelledTask:
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
        settings: Settings,
        encoder: TextEncoder | SeriesEncoder,
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
        settings: Settings,
        labels: Labels,
        inputs: Iterable[Any],
        targets: np.ndarray,
    ) -> LabelledTask:
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
        text = bool(settings.labelled.text)
        settings.refuse_unused(text=text, regression=name == "regression")
        if labels.kind == "single":
            mean = np.bincount(targets, minlength=len(labels)) / len(targets)
        else:
            mean = targets.mean(0, dtype=np.float64)
        scale = np.ones(len(labels))
        if labels.kind == "regression":
            spread = targets.std(0, dtype=np.float64)
            scale = np.where(spread > 0, spread, 1.0)
        if text:
            encoder = TextEncoder.learn(inputs, settings.text)
        else:
            encoder = SeriesEncoder.learn(inputs, settings.series)
        return cls(name, settings, encoder, labels, mean, scale)

    @property
    def takes_text(self) -> bool:
        """Whether rows are texts (else numeric sequences)."""
        return isinstance(self.encoder, TextEncoder)

    def model(self, training: Examples | None = None) -> ManyToOne:
        """A new model for this task; `training` tells it which runs of tokens are common."""
        K = len(self.labels)
        if isinstance(self.encoder, TextEncoder):
            model = build(self.settings.model, outputs=K, vocabulary=self.encoder.size)
            if training is not None and isinstance(model.inputs, TokenInput):
                model.inputs.learn_ngrams(training)
            return model
        return build(self.settings.model, outputs=K, features=self.encoder.features)

    def objective(self, targets: np.ndarray | None = None) -> SingleLabel | MultiLabel | Regression:
        """Loss and metrics; `targets` of the training part give balanced class weights."""
        options, K = self.settings.labelled, len(self.labels)
        if self.labels.kind == "regression":
            return Regression(torch.from_numpy(self.mean), torch.from_numpy(self.scale))
        weights = None
        if options.class_weights == "balanced" and targets is not None:
            weights = class_weights(torch.from_numpy(targets), K)
        head = SingleLabel if self.labels.kind == "single" else MultiLabel
        return head(K, weights, options.label_smoothing)

    def answers(self, output: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Probabilities, or values in the target's units (float64), from the model's output."""
        output = output.detach().float().cpu()
        if self.labels.kind == "regression":
            return output.double() * torch.from_numpy(self.scale) + torch.from_numpy(self.mean)
        if self.labels.kind == "single":
            return output.softmax(1)
        return output.sigmoid()

    def answer(self, model: ManyToOne, examples: Examples, batch_size: int = 64) -> Float[Tensor, "N K"]:
        """The model's answers in the order of the examples; rows of like length are computed together."""
        device = next(model.parameters()).device
        kind = torch.float64 if self.labels.kind == "regression" else torch.float32
        result = torch.empty(len(examples), len(self.labels), dtype=kind)
        model.eval()
        with torch.inference_mode():
            for batch in Batches(examples, batch_size=batch_size, shuffle=False):
                result[batch.rows] = self.answers(model(batch.x.to(device), batch.lengths))
        return result

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

    def report(self, answers: Float[Tensor, "N K"], targets: np.ndarray) -> report.Report:
        """Every metric of `answers` against `targets`, with the baseline's beside."""
        compare = {
            "single": report.single_label,
            "multi": report.multi_label,
            "regression": report.regression,
        }
        return compare[self.labels.kind](answers, torch.from_numpy(targets), self.labels.names, self.mean.tolist())

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
    def read(cls, run: Run) -> LabelledTask:
        """The task of a run folder.

        Raises:
            RunError: the folder is damaged, or holds another kind of task.
        """
        name, settings, _ = described(run)
        content = run.read(ENCODER)
        try:
            kind = str(json.loads(content)["format"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RunError(f"{run.path / ENCODER} is damaged: it has no format") from error
        reader = TextEncoder if kind.startswith("unroll.text/") else SeriesEncoder
        encoder = reader.from_json(content)
        text = isinstance(encoder, TextEncoder)
        own = settings.text if text else settings.series
        if encoder.options != own or bool(settings.labelled.text) != text:
            raise RunError(f"{run.path}: config.yaml and {ENCODER} disagree on how the sequences are encoded")
        document = run.read_json(LABELS)
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise RunError(f"{run.path / LABELS} is not in the form '{_FORMAT}'")
        labels = Labels.from_json(json.dumps(document.get("labels")))
        if (labels.kind == "regression") != (name == "regression"):
            raise RunError(f"{run.path}: config.yaml says {name}, and {LABELS} is of kind {labels.kind}")
        statistics = []
        for key in ("mean", "scale"):
            try:
                values = np.array(document.get(key), dtype=np.float64)
            except (TypeError, ValueError):
                values = np.empty(0)
            if values.shape != (len(labels),) or not np.isfinite(values).all():
                raise RunError(f"{run.path / LABELS} is damaged: '{key}' must hold {len(labels)} numbers")
            statistics.append(values)
        return cls(name, settings, encoder, labels, *statistics)


def described(run: Run) -> tuple[str, Settings, dict[str, Any]]:
    """What config.yaml says of a run: the task's name, every option, and where the data is.

    Raises:
        RunError: the file is damaged, or holds another kind of task.
        OptionError: an option that does not exist, or a value it refuses.
    """
    config = run.config()
    if config["task"] not in NAMES:
        raise RunError(f"{run.path} holds a task '{config['task']}', not one of {', '.join(NAMES)}")
    return config["task"], Settings.from_flat(config["options"], str(run.path / "config.yaml")), config["sources"]


def label_kind(name: str, targets: Sequence[Any]) -> Kind:
    """What the targets are: numbers for regression; lists, or a (N, K) array, are several labels a row."""
    if name == "regression":
        return "regression"
    if isinstance(targets, np.ndarray):
        return "multi" if targets.ndim == 2 else "single"
    listed = next((v for v in targets if v is not None), None)
    return "multi" if isinstance(listed, list | tuple | set | frozenset) else "single"
