"""A small model and task for the tests of training; as a program, one training that can be killed on the way."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from unroll import LSTM
from unroll.data.batches import Batch, Batches
from unroll.data.ragged import RaggedDataset
from unroll.training.options import TrainingOptions

CLASSES = 3


class Toy(nn.Module):
    """Embedding, two recurrent layers with dropout between them, the state at each row's last step, a head."""

    def __init__(self, dropout: float = 0.3, seed: int = 0) -> None:
        super().__init__()
        generator = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(20, 8)
        self.recurrent = LSTM(8, 12, 2, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(12, CLASSES)
        torch.random.set_rng_state(generator)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = self.recurrent(self.embedding(x))  # (B, T, H)
        last = y[torch.arange(len(x), device=x.device), lengths.to(x.device) - 1]
        return self.head(self.dropout(last))


class ToyObjective:
    """Cross-entropy and accuracy; `at` maps a number of training losses to what happens there."""

    monitor = ("accuracy", "max")

    def __init__(self, at: dict[int, str] | None = None) -> None:
        self.at = at or {}
        self.calls = 0

    def output(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch.x, batch.lengths)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        loss = functional.cross_entropy(output, batch.target, reduction="sum") / batch.total
        if torch.is_grad_enabled():
            self.calls += 1
            match self.at.get(self.calls):
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "interrupt":
                    os.kill(os.getpid(), signal.SIGINT)
                case "terminate":
                    os.kill(os.getpid(), signal.SIGTERM)
                case "interrupt twice":
                    os.kill(os.getpid(), signal.SIGINT)
                    os.kill(os.getpid(), signal.SIGINT)
                case "nan":
                    loss = loss * float("nan")
        return loss

    def metrics(self) -> MetricCollection:
        return MetricCollection({"accuracy": MulticlassAccuracy(CLASSES, average="micro")})

    def update(self, metrics: MetricCollection, output: Tensor, batch: Batch) -> None:
        metrics.update(output, batch.target)


def toy_examples(rows: int, seed: int) -> RaggedDataset:
    """Token rows of 3 to 12; the class is the sum of the tokens modulo the number of classes, for one token in two."""
    random = np.random.default_rng(seed)
    arrays = [random.integers(1, 20, int(n)).astype(np.int32) for n in random.integers(3, 13, rows)]
    targets = np.array([int(a[-1]) % CLASSES for a in arrays], dtype=np.int64)
    return RaggedDataset.from_arrays(arrays, targets)


def toy_data(rows: int = 72, batch_size: int = 8) -> tuple[Batches, Batches]:
    train = Batches(toy_examples(rows, 1), batch_size=batch_size, shuffle=True, seed=7)
    valid = Batches(toy_examples(rows // 2, 2), batch_size=batch_size, shuffle=False)
    return train, valid


def whole_cut_and_resumed(folder: Path, base: dict, stopped) -> dict[str, list]:
    """In each of several processes: a training, the same one stopped by one of the processes, the rest of it.

    Once of rows, once of streams whose state each process carries.
    """
    from helpers.streams_toy import Carrying, Speaker, streams
    from unroll.training.errors import Interrupted
    from unroll.training.loop import _train

    answers: dict[str, list] = {"rows": [], "streams": []}
    for kind, (name, calls) in itertools.product(answers, (("whole", 0), ("cut", 14), ("cut", 0))):
        rows = kind == "rows"
        model, objective = (Toy(0.3), ToyObjective()) if rows else (Speaker(), Carrying())
        train, valid = toy_data() if rows else streams()
        ask = calls if os.environ["LOCAL_RANK"] == "1" else 0
        try:
            outcome = _train(
                model, objective, train, valid, TrainingOptions(**base), folder / kind / name, resume=name == "cut",
                quiet=True, seed=0, identity="", monitor=objective.monitor,
                stopped=lambda o=objective, n=ask: 0 < n <= o.calls,
            )  # fmt: skip
            answers[kind].append((outcome.history, {n: p.numpy() for n, p in model.state_dict().items()}))
        except Interrupted as stop:
            answers[kind].append((stop.epoch, stop.step, stop.saved))
    return answers


def main(settings: dict) -> None:
    from safetensors.torch import save_file

    from unroll.training.errors import Interrupted
    from unroll.training.loop import fit

    torch.set_num_threads(1)
    model = Toy(settings.get("dropout", 0.3))
    train, valid = toy_data()
    objective = ToyObjective({int(k): v for k, v in settings.get("at", {}).items()})
    options = TrainingOptions(**settings["options"])
    folder = Path(settings["folder"])
    try:
        outcome = fit(model, objective, train, valid, options, folder, resume=settings.get("resume", False))
    except Interrupted as stop:
        print(stop)
        sys.exit(3)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "weights.safetensors")
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in outcome.history]
    answer = {"history": rows, "best": [outcome.best_epoch, outcome.best_value], "stopped": outcome.stopped}
    (folder / "answer.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
