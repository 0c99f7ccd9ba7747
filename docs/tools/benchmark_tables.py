"""Make the tables of the benchmarks page from `benchmarks/results/*.json` and the heads of `recipes/*.yaml`.

A MkDocs hook: a line `<!-- table: NAME -->` in a page becomes the table that `TABLES[NAME]` makes, so that no figure
is copied by hand. Run as a program it prints all tables.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
RECIPES = ROOT / "recipes"
MARKER = re.compile(r"^<!-- table: (\S+) -->$", re.MULTILINE)
PROVENANCE = ("hardware", "commit", "date")
_CELLS = ("lstm", "gru", "rnn")
_MODES = {"inference": "inference", "training": "training", "training-last": "training on the last state"}
Result = dict[str, Any]
Row = Sequence[object]


def load(pattern: str) -> list[tuple[str, Result]]:
    """Read the results whose file name matches `????-??-??-PATTERN.json`, in the order of their names."""
    files = sorted(RESULTS.glob(f"????-??-??-{pattern}.json"))
    if not files:
        raise ValueError(f"benchmarks/results has no file for '{pattern}'")
    return [(file.stem[len("2000-01-01-") :], json.loads(file.read_text(encoding="utf-8"))) for file in files]


def provenance(result: Result) -> tuple[str, str, str]:
    """Return hardware, commit and date of a result; a dagger marks a commit with uncommitted changes."""
    hardware = result["hardware"]
    if isinstance(hardware, dict):
        hardware = f"{hardware['processor']}, {hardware['cores']} cores, {result['threads']} threads"
    isa = result.get("held", {}).get("UNROLL_ISA") or result.get("isa", {})
    isa = isa.get("unroll") if isinstance(isa, dict) else isa
    where = f"{hardware}, {isa}" if isa else hardware
    mark = "†" if result.get("dirty") else ""
    return where, f"`{result['commit'][:7]}`{mark}", unbroken(result["date"])


def unbroken(text: str) -> str:
    """Keep a text on one line."""
    return f'<span class="nowrap">{text}</span>'


def table(head: Sequence[str], rows: Iterable[Row]) -> str:
    """Render a Markdown table; numbers are right-aligned."""
    cells = [[_text(cell) for cell in row] for row in rows]
    right = [all(re.fullmatch(r"[\d.,]*( to [\d.]+)?", row[i]) for row in cells) for i in range(len(head))]
    lines = [list(head), ["---:" if r else "---" for r in right], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 0.095 else f"{cell:.2f}" if abs(cell) < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell).replace("|", "\\|")


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def recipes() -> str:
    """Every recipe with its result and time, from the comments at the head of the file."""
    rows = []
    for path in sorted(RECIPES.glob("*.yaml")):
        head = "\n".join(line[1:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
        field = dict(re.findall(r"^ (Result|Time|Hardware|Versions): +(.*(?:\n {3,}.*)*)", head, re.MULTILINE))
        about = re.search(r"(\d{4}-\d\d-\d\d), commit (\w+)", field["Versions"])
        if about is None:
            raise ValueError(f"{path.name} does not say its date and commit")
        result, time, hardware = (" ".join(field[k].split()) for k in ("Result", "Time", "Hardware"))
        rows.append((unbroken(f"`{path.name}`"), result, time, hardware, f"`{about[2]}`", unbroken(about[1])))
    return table(("recipe", "result", "time", *PROVENANCE), rows)


def classification() -> str:
    """An epoch of the recipe `imdb-lstm`, against the same model in plain PyTorch."""
    rows = []
    for _, result in load("classification"):
        for name, side in result["sides"].items():
            spread = f"{side['least']:.1f} to {side['most']:.1f}"
            seconds = f"{side['seconds_per_epoch']:.0f}"
            rows.append((name, seconds, f"{side['ratio']:.1f}", spread, *provenance(result)))
    return table(("model", "seconds per epoch", "times as long", "spread", *PROVENANCE), rows)


def classification_backends() -> str:
    """The same epoch by unroll's kernels and by PyTorch's, on the same batches."""
    rows = []
    for _, result in load("classification-backends"):
        pair = result["same batches"]
        medians = (f"{statistics.median(pair[side]):.2f}" for side in ("auto", "torch"))
        rows.append((*medians, float(pair["ratio"]), *provenance(result)))
    return table(("milliseconds per review, `auto`", "`torch`", "times as long", *PROVENANCE), rows)


def recipe_steps() -> str:
    """A training step of whole recipes, against the same model with the layers of torch.nn."""
    rows = [
        (name.split("-")[1], side, float(times["median"]), _range(times["quartiles"]), *provenance(result))
        for name, result in load("recipe-*")
        for side, times in result["times_as_long"].items()
    ]
    return table(("recipe", "torch.nn", "times as long", "quartiles", *PROVENANCE), rows)


def language_models() -> str:
    """A training step of two language models, against plain PyTorch."""
    rows = []
    for name, result in load("language_model_*"):
        for epoch in result["epochs"]:
            (key,) = (k for k in epoch if k.endswith("_takes_times_as_long"))
            other = key.removesuffix("_takes_times_as_long")
            (ours,) = (k for k in epoch["valid_perplexity"] if k != other)
            perplexities = (f"{epoch['valid_perplexity'][side]:.1f}" for side in (ours, other))
            ratio = epoch[key]
            about = (float(ratio["median"]), _range(ratio["quartiles"]), *perplexities)
            rows.append((f"{name.removeprefix('language_model_')}: {ours}, {other}", *about, *provenance(result)))
    head = ("sides", "second takes times as long", "quartiles", "perplexity of the first", "of the second")
    return table((*head, *PROVENANCE), rows)


def cpu_layers() -> str:
    """Layers on the CPU against torch.nn: geometric means over the shapes of each file."""
    rows = []
    for _, result in load("cpu_layers-avx*"):
        ratios: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for case in result["cases"]:
            step = case["mode"] == "step"
            mode = f"one step, B = {case['B']}" if step else f"{_MODES[case['mode']]}, {case['lengths']} lengths"
            for side in ("torch.nn",) if step else ("padded", "packed"):
                if side in case["sides"]:
                    ratios[mode, side][case["cell"]].append(case["sides"][side]["ratio"])
        for key, by_cell in ratios.items():
            means = [statistics.geometric_mean(by_cell[c]) if by_cell[c] else "" for c in _CELLS]
            rows.append((*key, *means, max(map(len, by_cell.values())), *provenance(result)))
    return table(("case", "torch.nn", "LSTM", "GRU", "RNN", "shapes", *PROVENANCE), rows)


def peers() -> str:
    """Layers on the CPU against other libraries: medians for each shape."""
    rows = []
    for _, result in load("cpu_layers*"):
        medians: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
        for peer in result["peers"]:
            if "ratio" in peer:
                shape = "x".join(str(peer[k]) for k in "BTDH")
                medians[peer["peer"], peer["mode"], peer["lengths"], shape][peer["cell"]] = peer["ratio"]
        for key, by_cell in medians.items():
            rows.append((*key, *(by_cell.get(c, "") for c in _CELLS[:2]), *provenance(result)))
    return table(("library", "mode", "lengths", "BxTxDxH", "LSTM", "GRU", *PROVENANCE), rows)


def gpu_layers() -> str:
    """Layers on a GPU against torch.nn on cuDNN: medians for each shape."""
    rows = []
    for _, result in load("gpu_layers-*"):
        medians: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
        for case in result["cases"]:
            shape = "x".join(str(case[k]) for k in "BTDH")
            key = (case["dtype"], case["mode"], case["lengths"], shape)
            times = case["times_as_long"]
            medians[key][case["cell"]] = times.get("packed", times["cudnn"])["median"]
        for key, by_cell in sorted(medians.items()):
            rows.append((*key, *(by_cell.get(c, "") for c in _CELLS), *provenance(result)))
    return table(("dtype", "mode", "lengths", "BxTxDxH", "LSTM", "GRU", "RNN", *PROVENANCE), rows)


def rounding_error() -> str:
    """Error of float32 against float64 as a multiple of torch.nn's: the largest of outputs and gradients."""
    rows = []
    for _, result in load("rounding_error-*"):
        largest: dict[str, dict[int, float]] = defaultdict(dict)
        for row in result["rows"]:
            largest[row["layer"]][row["H"]] = max(row["ratio"].values())
        rows += [(layer, *by_size.values(), *provenance(result)) for layer, by_size in largest.items()]
    sizes = (f"D = H = {size:,}" for size in largest["RNN"])
    return table(("layer", *sizes, *PROVENANCE), rows)


def long_memory() -> str:
    """What the layers learn over long distances."""
    figures = {"rmse": "RMSE", "test_mse": "test MSE", "test_loss": "test loss", "symbols_right": "symbols right"}
    rows = []
    for _, result in load("long_memory*"):
        for run in result["runs"]:
            said = ", ".join(f"{label} {run[k]:.4g}" for k, label in figures.items() if k in run)
            rows.append((run["task"], run["model"], run.get("seed", 0), said, *provenance(result)))
    return table(("task", "model", "seed", "result", *PROVENANCE), rows)


def robustness() -> str:
    """Killed trainings, random inputs and large files."""
    rows: list[Row] = []
    for _, r in load("kill_resume"):
        rows.append(
            ("`kill_resume.py`", f"{r['same']} of {r['of']} killed trainings ended bit for bit", *provenance(r))
        )
    for _, r in load("fuzz"):
        findings = sum(kind.get("finding", 0) for kind in r["kinds"].values())
        what = f"{r['trials']:,} random inputs, {findings} of them neither answered nor refused in one sentence"
        rows.append(("`fuzz.py`", what, *provenance(r)))
    for _, r in load("large_files"):
        for part in r["results"]:
            size = f"{part['megabytes']:.0f} MB, {part['rows']:,} rows"
            used = f"{part['anonymous'] / 1e6:.0f} MB of memory of its own, {part['seconds']:.0f} s"
            rows.append((f"`large_files.py`, {part['part']}", f"{size}: {used}", *provenance(r)))
    return table(("program", "result", *PROVENANCE), rows)


def files() -> str:
    """Every file of results, with the command that made it."""
    rows = []
    for name, result in load("*"):
        command = re.sub(r" --out \S+", "", result["command"].removeprefix("python "))
        rows.append((unbroken(f"`{result['date']}-{name}.json`"), f"`{command}`", *provenance(result)))
    return table(("file", "command", *PROVENANCE), rows)


TABLES: dict[str, Callable[[], str]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        *(recipes, classification, classification_backends, recipe_steps, language_models, cpu_layers, peers),
        *(gpu_layers, rounding_error, long_memory, robustness, files),
    )
}


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Put the tables in place of their markers: called by MkDocs for each page."""
    if MARKER.search(markdown):
        page.meta["hide"] = ["navigation"]  # wide tables take its place
    return MARKER.sub(lambda found: TABLES[found[1]](), markdown)


if __name__ == "__main__":
    for title, make in TABLES.items():
        print(f"## {title}\n\n{make()}\n")
