"""`unroll demo`: classify scikit-learn's digits, each image read row by row, and forecast airline passengers."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from unroll.commands.arguments import Parser

DIGITS = (
    *("--sequence", "values", "--hidden-size", "64", "--bidirectional", "--epochs", "30", "--patience", "8"),
    *("--learning-rate", "0.004", "--schedule", "cosine", "--pooling", "max", "--batch-size", "32"),
)
PASSENGERS = (
    *("--test-size", "12", "--horizon", "12", "--lookback", "24", "--strategy", "segrnn", "--segment", "12"),
    *("--output", "quantile", "--recurrence", "gru", "--hidden-size", "32", "--head-dropout", "0.3"),
    *("--epochs", "60", "--learning-rate", "0.005", "--batch-size", "16", "--threads", "1"),
)


def main(arguments: Sequence[str]) -> int:
    """Run the demo: write the data to files, then run the commands that a user would."""
    parser = Parser(
        "unroll demo",
        "unroll demo [--out RUN]",
        "Train on scikit-learn's digits (1,797 images, each read as 8 rows of 8 values), then forecast the last year of"
        " the airline passengers of 1949 to 1960, and show what a run leaves.",
    )
    parser.add_argument(
        "--out", default="runs/demo", metavar="RUN", help="Folder for the first run; the second is RUN-forecast."
    )
    out = Path(parser.read(arguments).out)
    data = out.parent / "demo-data"
    data.mkdir(parents=True, exist_ok=True)
    forecast = out.with_name(out.name + "-forecast")
    name = "unroll" if shutil.which("unroll") else sys.argv[0]

    status = _digits(data, out)
    if status:
        return status
    print(f"\nlook at {out}/curves.png, gradients.png and confusion.png; then try")
    print(f"$ {name} predict {out} {data}/test.npz | head -3\n")
    status = _passengers(data, forecast)
    if status == 0:
        print(f"\nlook at {forecast}/forecast.png and horizon.png; then try")
        print(f"$ {name} predict {forecast} {data}/passengers.csv --horizon 24")
        print(f"$ {name} backtest {forecast} {data}/passengers.csv --origins 5 --out {data}/backtest")
    return status


def _digits(data: Path, out: Path) -> int:
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images.reshape(-1, 8, 8).astype("float32"), labels, test_size=360, random_state=0, stratify=labels
    )
    np.savez(data / "train.npz", values=parts[0], label=parts[2])
    np.savez(data / "test.npz", values=parts[1], label=parts[3])
    return _run("classification", f"{data / 'train.npz'}", "--test", f"{data / 'test.npz'}", *DIGITS, "--out", f"{out}")


def _passengers(data: Path, out: Path) -> int:
    from unroll.commands.air_passengers import rows

    with (data / "passengers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["month", "passengers"])
        writer.writerows(rows())
    return _run("forecasting", f"{data / 'passengers.csv'}", *PASSENGERS, "--out", f"{out}")


def _run(*command: str) -> int:
    from unroll.commands import fit

    print("$ unroll fit " + " ".join((*command, "--overwrite")) + "\n")
    return fit.main([*command, "--overwrite"])
