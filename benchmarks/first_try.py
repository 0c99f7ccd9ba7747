"""Classifiers at their defaults beside strong baselines, on public data sets.

    python benchmarks/first_try.py [--data DIR] [--only NAME ...] [--seeds N] [--out FILE]

Every classifier gets the texts, or the numeric sequences, and labels and nothing else. The baselines are fitted on the
same rows; the best of them is what the mean over the seeds is held against. For texts: scikit-learn's TF-IDF
(sublinear; words, words with their pairs, runs of 2 to 5 characters inside words, or of 1 to 4 letters for DNA) and
logistic regression (C = 10). For sequences: a random forest of 200 trees on statistics, as reports have it.

Data (`UNROLL_DATA`, default ../shared/data): banking77 and CLINC150 (in scope) with their own test parts; the financial
phrase bank (66 % agree) and the splice junctions with a stratified fifth held out; 5,000 reviews of IMDB's training
part, and 5,000 of its test part; eleven sets of the UCR and UEA archives with their own test parts.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import lzma
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import unroll
from environment import ROOT, about, default_out
from unroll.data.ragged import RaggedDataset
from unroll.tasks.classification.baseline import fit_baseline

Split = tuple[list[Any], list[str], list[Any], list[str]]
"""Training rows and labels, test rows and labels."""


def banking77(data: Path) -> Split:
    """Customer questions, 77 intents."""
    parts = []
    for part in ("train", "test"):
        with (data / "banking77" / f"{part}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        parts += [[r["text"] for r in rows], [r["category"] for r in rows]]
    return tuple(parts)  # type: ignore[return-value]


def clinc150(data: Path) -> Split:
    """Questions to an assistant, 150 intents."""
    document = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    train, test = document["train"], document["test"]
    return [t for t, _ in train], [c for _, c in train], [t for t, _ in test], [c for _, c in test]


def financial_phrasebank(data: Path) -> Split:
    """Sentences of financial news, 3 sentiments."""
    text = (data / "financial_phrasebank" / "Sentences_66Agree.txt").read_text(encoding="latin-1")
    return _split([tuple(line.rsplit("@", 1)) for line in text.splitlines()])


def dna_splice(data: Path) -> Split:
    """Sixty bases around a splice junction, 3 kinds."""
    lines = (data / "dna_splice" / "splice.data").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split(",")] for line in lines if line.strip()]
    return _split([(r[2], r[0]) for r in rows])


def imdb(data: Path) -> Split:
    """Film reviews, 2 sentiments."""
    parts = []
    for part in ("train", "test"):
        with lzma.open(data / "imdb" / f"{part}.jsonl.xz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        random.Random(0).shuffle(rows)  # noqa: S311
        parts += [[r["text"] for r in rows[:5000]], [str(r["label"]) for r in rows[:5000]]]
    return tuple(parts)  # type: ignore[return-value]


def _split(rows: list[tuple[str, ...]]) -> Split:
    X, y = [r[0] for r in rows], [r[1] for r in rows]
    train, test, of_train, of_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    return list(train), list(of_train), list(test), list(of_test)


def archive(data: Path, name: str) -> Split:
    """Numeric sequences (T, D) of the UCR and UEA archives."""
    parts: list[Any] = []
    for part in ("TRAIN", "TEST"):
        with gzip.open(data / "ucr_uea" / name / f"{name}_{part}.ts.gz", "rt", encoding="utf-8") as file:
            lines = [line.strip() for line in file]
        start = next(i for i, line in enumerate(lines) if line.lower() == "@data") + 1
        rows = [line.split(":") for line in lines[start:] if line]
        values = [np.array([dimension.split(",") for dimension in row[:-1]], dtype=np.float64).T for row in rows]
        parts += [[row.tolist() for row in values], [row[-1].strip() for row in rows]]
    return tuple(parts)  # type: ignore[return-value]


TEXTS: dict[str, Callable[[Path], Split]] = {
    f.__name__: f for f in (banking77, clinc150, financial_phrasebank, dna_splice, imdb)
}
ARCHIVE = (
    *("ArrowHead", "BasicMotions", "ECG200", "Epilepsy", "GunPoint", "ItalyPowerDemand", "JapaneseVowels", "NATOPS"),
    *("OSULeaf", "Plane", "SyntheticControl"),
)
SETS = TEXTS | {name: partial(archive, name=name) for name in ARCHIVE}


def forest(split: Split, seeds: int) -> dict[str, float]:
    """Mean accuracy of a random forest on statistics."""
    X, y, test, truth = split
    names = sorted(set(y))
    train, held = (
        RaggedDataset.from_arrays([np.array(x) for x in rows], np.array([names.index(label) for label in labels]))
        for rows, labels in ((X, y), (test, truth))
    )
    scores = []
    for seed in range(seeds):
        outputs = fit_baseline(train, "single", len(names), level=None, seed=seed).outputs(held)
        scores.append(float((outputs.argmax(1).numpy() == held.targets).mean()))
    return {"forest": round(statistics.mean(scores), 4)}


def baselines(split: Split, letters: bool) -> dict[str, float]:
    """Accuracy of TF-IDF and logistic regression over words, pairs of words and characters."""
    X, y, test, truth = split
    analyzer, lengths = ("char", (1, 4)) if letters else ("char_wb", (2, 5))
    characters: dict[str, Any] = {"analyzer": analyzer, "ngram_range": lengths}
    kinds: dict[str, dict[str, Any]] = {
        "words": {},
        "pairs": {"ngram_range": (1, 2)},
        "characters": {**characters, "max_features": 200_000},
    }
    scores = {}
    for name, options in kinds.items():
        vectors = TfidfVectorizer(sublinear_tf=True, **options)
        model = LogisticRegression(C=10, max_iter=300).fit(vectors.fit_transform(X), y)
        scores[name] = round(float(model.score(vectors.transform(test), truth)), 4)
    return scores


def main() -> None:
    """Measure every set, and write the results."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument(
        "--data", type=Path, default=Path(os.environ.get("UNROLL_DATA", ROOT.parent / "shared" / "data"))
    )
    arguments.add_argument("--only", nargs="+", default=list(SETS), choices=list(SETS), metavar="NAME")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=default_out("first_try"))
    given = arguments.parse_args()
    results = []
    for name, load in SETS.items():
        if name not in given.only:
            continue
        split = load(given.data)
        X, y, test, truth = split
        scores, seconds = [], []
        for seed in range(given.seeds):
            start = time.perf_counter()
            scores.append(round(float(unroll.Classifier(random_state=seed).fit(X, y).score(test, truth)), 4))
            seconds.append(round(time.perf_counter() - start))
        beside = baselines(split, name == "dna_splice") if name in TEXTS else forest(split, given.seeds)
        row = {
            "data": name, "rows": len(X), "classes": len(set(y)), "defaults": scores,
            "mean": round(statistics.mean(scores), 4), "baselines": beside, "best": max(beside.values()),
            "seconds": seconds,
        }  # fmt: skip
        results.append(row)
        print(row, flush=True)
        given.out.write_text(
            json.dumps({**about("python benchmarks/first_try.py"), "results": results}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
