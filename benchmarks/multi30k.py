"""The BLEU of a translator as old tables have it: lower-cased, split by the Moses tokenizer, one reference.

    python benchmarks/multi30k.py RUN [RUN ...] [--data DIR] [--source en] [--target de] [--out FILE]

Each run's test part is `test_2016_flickr`, translated anew with the run's own search. Beside it stands the default of
sacreBLEU with its signature, which is what to quote. Several runs, such as three seeds, give mean and range.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacremoses import MosesTokenizer

import unroll
from environment import ROOT, about, default_out
from unroll.serving.translator import TranslationPredictor


def read(folder: Path, suffix: str) -> list[str]:
    """The lines of one side of the test part."""
    return gzip.decompress((folder / f"test_2016_flickr.{suffix}.gz").read_bytes()).decode("utf-8").splitlines()


def tokenized(lines: list[str], language: str) -> list[str]:
    """Lower-cased tokens, joined by blanks."""
    moses = MosesTokenizer(lang=language)
    return [moses.tokenize(line.lower(), return_str=True, escape=False) for line in lines]


def measure(run: str, sources: list[str], references: list[str], language: str) -> dict[str, Any]:
    """Both figures of a run."""
    predictor = unroll.load(run)
    if not isinstance(predictor, TranslationPredictor):
        raise SystemExit(f"{run} is no translator's run")
    found = [answer["translation"] for answer in predictor.translate(sources)]
    bleu, moses = BLEU(), BLEU(tokenize="none")
    score = bleu.corpus_score(found, [references])
    lower = moses.corpus_score(tokenized(found, language), [tokenized(references, language)])
    training = json.loads((Path(run) / "metrics.json").read_text())["training"]
    return {
        "run": Path(run).name,
        "lowercase_tokenized_bleu": round(lower.score, 2),
        "sacrebleu": round(score.score, 2),
        "signature": str(bleu.get_signature()),
        "training_minutes": round(training["seconds"] / 60, 1),
        "epochs": training["epochs"],
    }


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data" / "multi30k"))
    parser.add_argument("--source", default="en")
    parser.add_argument("--target", default="de")
    parser.add_argument("--out")
    given = parser.parse_args()
    folder = Path(given.data)
    sources, references = read(folder, given.source), read(folder, given.target)
    each = [measure(run, sources, references, given.target) for run in given.runs]
    scores = [one["lowercase_tokenized_bleu"] for one in each]
    result = {
        **about(" ".join(["python", "benchmarks/multi30k.py", *sys.argv[1:]])),
        "direction": f"{given.source}-{given.target}",
        "mean": round(statistics.mean(scores), 2),
        "range": [min(scores), max(scores)],
        "runs": each,
    }
    print(json.dumps(result, indent=1))
    Path(given.out or default_out("multi30k")).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
