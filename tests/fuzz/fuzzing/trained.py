"""A tiny run of every task, with data to use it on; trained once and kept for all trials."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

Use = Callable[[Any, str], Any]
"""Answers of a predictor; with a file (not "") those to it too, and the figures on it."""

_SMALL = {"epochs": 1, "hidden_size": 4, "threads": 1, "batch_size": 16}
_WORDS = (("good", "great", "fine", "lovely"), ("bad", "awful", "poor", "dull"))


@dataclass(frozen=True)
class Example:
    """How a run is trained and used.

    Attributes:
        task: its name.
        suffix: of its data's file.
        write: the content of that file, from a seed.
        options: as the command takes them.
        use: asks the predictor for answers, and with the name of a file for those to it and for figures.
    """

    task: str
    suffix: str
    write: Callable[[Random], str]
    use: Use
    options: dict[str, Any] = field(default_factory=dict)


def reviews(random: Random) -> str:
    """Rows of text and one of two labels."""
    rows = ["text,label"]
    for i in range(40):
        words = " ".join(random.choice(_WORDS[i % 2]) for _ in range(random.randint(2, 6)))
        rows.append(f"{words},{('pos', 'neg')[i % 2]}")
    return "\n".join(rows) + "\n"


def signals(random: Random) -> str:
    """JSON lines of numeric sequences and one of three labels."""
    rows = []
    for i in range(45):
        steps = [[round(random.gauss(i % 3, 1), 3), round(random.random(), 3)] for _ in range(random.randint(3, 7))]
        rows.append(json.dumps({"x": steps, "label": ("a", "b", "c")[i % 3]}))
    return "\n".join(rows) + "\n"


def ratings(random: Random) -> str:
    """Rows of text and a number."""
    rows = ["text\trating"]
    for i in range(40):
        words = " ".join(random.choice(_WORDS[i % 2]) for _ in range(random.randint(2, 6)))
        rows.append(f"{words}\t{random.gauss(i % 2, 0.1):.3f}")
    return "\n".join(rows) + "\n"


def names(random: Random) -> str:
    """Sentences with BIO tags."""
    known = {"Ann": "B-PER", "Bob": "B-PER", "Rome": "B-LOC", "saw": "O", "likes": "O", "in": "O"}
    sentences = []
    for _ in range(40):
        tokens = [random.choice(list(known)) for _ in range(random.randint(2, 6))]
        sentences.append("\n".join(f"{t} {known[t]}" for t in tokens))
    return "\n\n".join(sentences) + "\n"


def prose(random: Random) -> str:
    """Lines of text."""
    every = [w for group in _WORDS for w in group]
    return "\n".join(" ".join(random.choice(every) for _ in range(random.randint(3, 9))) for _ in range(60)) + "\n"


def sales(random: Random) -> str:
    """Two daily series, a covariate known ahead, and a static category."""
    rows = ["shop,day,sales,open,kind"]
    for s, shop in enumerate(("north", "south")):
        for d in range(60):
            is_open = int(d % 7 != 6)
            value = f"{10 + 5 * s + 3 * math.sin(d / 3) + random.random():.3f}" if d < 56 else ""
            rows.append(f"{shop},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{value},{is_open},{('big', 'small')[s]}")
    return "\n".join(rows) + "\n"


def load_curve(random: Random) -> str:
    """One hourly series of two columns."""
    rows = ["time,load,temp"]
    for h in range(120):
        rows.append(
            f"2024-01-{1 + h // 24:02d} {h % 24:02d}:00,{5 + math.sin(h / 4) + random.random():.3f},{h % 24 / 10:.1f}"
        )
    return "\n".join(rows) + "\n"


def _records(*values: Any) -> Use:
    def use(predictor: Any, file: str) -> Any:
        found = [list(predictor.predict(list(values)))]
        return [*found, list(predictor.predict_files([file])), predictor.evaluate(file)] if file else found

    return use


def _language(predictor: Any, file: str) -> Any:
    found = [list(predictor.score(["good great", "zzz"])), "".join(predictor.generate("good", length=5))]
    return [*found, predictor.evaluate(file)] if file else found


def _forecast(write: Callable[[Random], str], samples: int) -> Use:
    def use(predictor: Any, file: str) -> Any:
        table = pd.read_csv(io.StringIO(write(Random(0))))  # noqa: S311 (no secret)
        found = [predictor.predict(table, samples=samples)]
        return [*found, list(predictor.predict_files([file])), predictor.evaluate(file)] if file else found

    return use


_LOOKING = {"horizon": 4, "lookback": 8}
EXAMPLES = {
    "text": Example(
        "classification",
        ".csv",
        reviews,
        _records("good", "bad awful"),
        {"text": "text", "embedding_dim": 4, "min_freq": 1},
    ),
    "series": Example(
        "classification",
        ".jsonl",
        signals,
        _records([[0.0, 1.0], [2.0, 0.5]]),
        {"sequence": "x", "pooling": "mean+max"},
    ),
    "regression": Example(
        "regression",
        ".tsv",
        ratings,
        _records("good", "bad"),
        {"text": "text", "label": "rating", "embedding_dim": 4, "min_freq": 1, "level": "char"},
    ),
    "tagging": Example(
        "tagging",
        ".conll",
        names,
        _records(["Ann", "saw", "Rome"]),
        {"embedding_dim": 4, "min_freq": 1, "decoder": "crf"},
    ),
    "language": Example("language-model", ".txt", prose, _language, {"embedding_dim": 4, "bptt": 8}),
    "bytes": Example("language-model", ".txt", prose, _language, {"embedding_dim": 4, "bptt": 8, "level": "byte"}),
    "forecast": Example(
        "forecasting",
        ".csv",
        sales,
        _forecast(sales, 0),
        _LOOKING
        | {
            "series_id": "shop",
            "time": "day",
            "target": ["sales"],
            "future_covariates": ["open"],
            "static_covariates": ["kind"],
            "output": "quantile",
            "calendar": ["weekday"],
            "gaps": "fill",
        },
    ),
    "recursive": Example(
        "forecasting",
        ".csv",
        load_curve,
        _forecast(load_curve, 3),
        _LOOKING | {"strategy": "recursive", "output": "normal", "paths": 5},
    ),
}


@dataclass(frozen=True)
class Trained:
    """A run in a folder, its data, and what it answers.

    Attributes:
        name: of the example.
        run: the folder.
        data: the file it was trained on.
        answers: what `use` gives.
    """

    name: str
    run: Path
    data: Path
    answers: Any

    @property
    def example(self) -> Example:
        """How it was trained."""
        return EXAMPLES[self.name]

    def files(self) -> list[Path]:
        """What is read to use it; not pictures, tables and checkpoints."""
        kept = (".json", ".yaml", ".safetensors")
        return sorted(p for p in self.run.iterdir() if p.is_file() and p.suffix in kept)


def train(name: str, folder: Path) -> Trained:
    """Train an example in `folder`."""
    import unroll
    from unroll.tasks.base import DataPaths
    from unroll.tasks.registry import entry
    from unroll.tasks.train import train_from_files
    from unroll.tasks.transfer import resolve_settings

    example = EXAMPLES[name]
    data = folder / f"{name}{example.suffix}"
    data.write_text(example.write(Random(0)), encoding="utf-8")  # noqa: S311 (no secret)
    settings = resolve_settings(entry(example.task).load_settings(), _SMALL | example.options)
    with quiet():
        train_from_files(
            example.task, DataPaths([str(data)]), settings, folder / name, overwrite=True, say=lambda _: None
        )
        answers = example.use(unroll.load(folder / name), str(data))
    return Trained(name, folder / name, data, answers)


def train_all(folder: Path) -> dict[str, Trained]:
    """Every example, trained in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return {name: train(name, folder) for name in EXAMPLES}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what is printed is shown."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
