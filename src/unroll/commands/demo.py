"""`unroll demo`: scikit-learn's digits, each image read as a sequence of 8 rows of 8 values."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from unroll.commands.arguments import Parser

OPTIONS = ("--series", "values", "--hidden", "64", "--bidirectional", "--epochs", "30", "--patience", "8")
MORE = ("--learning-rate", "0.004", "--schedule", "cosine", "--pooling", "max", "--batch-size", "32")


def main(arguments: Sequence[str]) -> int:
    """Write the digits as two .npz files, then run the command that a person would."""
    parser = Parser(
        "unroll demo",
        "unroll demo [--out RUN]",
        "Train on scikit-learn's digits (1,797 images, each read as 8 rows of 8 values) and show what a run leaves.",
    )
    parser.add_argument("--out", default="runs/demo", metavar="RUN", help="Folder for the run.")
    out = Path(parser.read(arguments).out)

    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from unroll.commands import fit

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        images.reshape(-1, 8, 8).astype("float32"), labels, test_size=360, random_state=0, stratify=labels
    )
    data = out.parent / "demo-data"
    data.mkdir(parents=True, exist_ok=True)
    np.savez(data / "train.npz", values=parts[0], label=parts[2])
    np.savez(data / "test.npz", values=parts[1], label=parts[3])
    command = ["classification", str(data / "train.npz"), "--test", str(data / "test.npz"), *OPTIONS, *MORE]
    command += ["--out", str(out), "--overwrite"]
    print("$ unroll fit " + " ".join(command) + "\n")
    status = fit.main(command)
    if status == 0:
        print(f"\nlook at {out}/curves.png, gradients.png and confusion.png; then try")
        command_name = "unroll" if shutil.which("unroll") else sys.argv[0]
        print(f"$ {command_name} predict {out} {data}/test.npz | head -3")
    return status
