"""How long commands take to start, in units of `import torch` on the same machine.

    python benchmarks/start_up.py [--rounds N] [--out FILE]

Whole processes, one after the other in rotating order: the medians and the quartiles of their times over that of
`import torch` in the same round. Run once before, so that files are in the page cache and bytecode is compiled.

- `nosuch`: `unroll fit classification nosuch.csv`, which is refused;
- `predict`: `unroll predict RUN one.csv`, a table of one row;
- `fit`: `unroll fit classification reviews.csv`, 36 rows, 10 epochs;
- `lightning`: `import lightning.pytorch`, which a training needs;
- `help`: `unroll fit classification --help`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import about, default_out

UNROLL = [sys.executable, "-m", "unroll"]
FIT = ["--text", "text", "--label", "label", "--overwrite"]


def commands(folder: Path) -> dict[str, list[str]]:
    """Write the data, and return what is timed."""
    rows = [f"a {word} film number {i},{word}" for i in range(18) for word in ("good", "bad")]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    (folder / "one.csv").write_text("text\na good film\n", encoding="utf-8")
    fit = [*UNROLL, "fit", "classification", "reviews.csv", *FIT, "--out", "run"]
    run(fit, folder)
    return {
        "torch": [sys.executable, "-c", "import torch"],
        "nosuch": [*UNROLL, "fit", "classification", "nosuch.csv", *FIT, "--out", "other"],
        "predict": [*UNROLL, "predict", "run", "one.csv"],
        "fit": [*fit[:-1], "again"],
        "lightning": [sys.executable, "-c", "import lightning.pytorch"],
        "help": [*UNROLL, "fit", "classification", "--help"],
    }


def run(command: list[str], folder: Path) -> float:
    """Run a command to its end; return seconds."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - start
    if done.returncode != (2 if "nosuch.csv" in command else 0):
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()}")
    return seconds


def main() -> None:
    """Measure, and write the results."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--out", type=Path, default=default_out("start_up"))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = commands(folder)
        for command in every.values():
            run(command, folder)
        names, ratios = list(every), {name: [] for name in every}
        for number in range(given.rounds):
            shift = number % len(names)
            seconds = {name: run(every[name], folder) for name in names[shift:] + names[:shift]}
            for name, value in seconds.items():
                ratios[name].append(value / seconds["torch"])
    results = {}
    for name, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        results[name] = {"median": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
        print(f"{name:<10} {middle:.2f} ({low:.2f} to {high:.2f})")
    document = {**about("python benchmarks/start_up.py"), "rounds": given.rounds, "times_import_torch": results}
    given.out.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
