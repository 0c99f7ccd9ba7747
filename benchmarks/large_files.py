"""Files larger than the memory they may take: how fast they are read, trained on and answered, and in how much memory.

    python benchmarks/large_files.py                     # a gigabyte and 300 MB, about an hour
    python benchmarks/large_files.py --share 0.1         # a tenth of each

predict      a gigabyte of JSON lines of reviews, by `unroll predict RUN reviews.jsonl > answers`
classify     300 MB of CSV of reviews, by `unroll fit classification` (one epoch of a small model)
forecast     300 MB of CSV of half-hourly numbers, one series of eight columns and one of many long series, by
             `unroll fit forecasting`

The data is made from a seed. Each command is a process of its own, with a cache of its own; the peak of its memory is
what the kernel counted for it and its children (the maximum resident set, in which pages of memory-mapped files and of
libraries count, though the kernel drops them when memory is short); `anonymous` is the peak without those.
Exit status 1 if a command fails or takes more than a gibibyte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from environment import about, default_out

LIMIT = 2**30
_GB, _MB = 10**9, 10**6
_WORDS = [
    f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "ou") for c in ("n", "r", "st", "ly", "ing")
]
_SMALL = ["--epochs", "1", "--hidden-size", "32", "--threads", "1", "--batch-size", "128"]


def reviews(seed: int) -> Iterator[tuple[str, str]]:
    """Texts of 20 to 200 words with a label that follows from them."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    while True:
        words = chance.choices(_WORDS, k=chance.randint(20, 200))
        yield " ".join(words), "high" if sum(map(len, words)) > 4.0 * len(words) else "low"


def as_json(seed: int) -> Iterator[str]:
    """Reviews as JSON lines."""
    return (json.dumps({"text": text, "id": i}) + "\n" for i, (text, _) in enumerate(reviews(seed)))


def as_csv(seed: int) -> Iterator[str]:
    """Reviews as CSV."""
    yield "text,label\n"
    yield from (f'"{text}",{label}\n' for text, label in reviews(seed))


def hourly(seed: int, columns: int, length: int) -> Iterator[str]:
    """Series of hours, each of so many rows; a length of 0 is one series without end."""
    from datetime import datetime, timedelta

    chance = random.Random(seed)  # noqa: S311 (no secret)
    yield ("" if not length else "series,") + "time," + ",".join(f"v{i}" for i in range(columns)) + "\n"
    name = 0
    while True:
        start, hour = datetime(1950, 1, 1), timedelta(minutes=30)
        level = [chance.gauss(0, 10) for _ in range(columns)]
        for t in range(length or 10**9):
            level = [0.9 * x + chance.gauss(0, 1) for x in level]
            named = f"s{name:05d}," if length else ""
            yield f"{named}{start + t * hour},{','.join(f'{x:.4f}' for x in level)}\n"
        name += 1


def write(path: Path, lines: Iterator[str], size: float) -> int:
    """Write lines up to a size in bytes; how many rows."""
    rows = written = 0
    with path.open("w") as file:
        while written < size:
            for line in islice(lines, 1000):
                written += file.write(line)
                rows += 1
    return rows


def measured(command: list[str], out: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run a command of unroll; seconds, peak memory and status."""
    began = time.monotonic()
    with out.open("wb") as file:
        child = subprocess.Popen([sys.executable, "-m", "unroll", *command], stdout=file, env=environment)  # noqa: S603
        anonymous = 0
        while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
            anonymous = max(anonymous, own_memory(child.pid))
            time.sleep(0.05)
    child.returncode = os.waitstatus_to_exitcode(ended[1])
    seconds = time.monotonic() - began
    return {"seconds": seconds, "peak": peak(ended[2]), "anonymous": anonymous, "status": child.returncode}


def own_memory(pid: int) -> int:
    """Bytes that a process holds now and that are of no file: what cannot be dropped and read again."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def peak(usage: resource.struct_rusage) -> int:
    """Bytes of the maximum resident set."""
    return usage.ru_maxrss * 1024


def main() -> int:
    """Make the data, run the commands, say rates and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the full sizes")
    parser.add_argument("--parts", nargs="+", default=["predict", "classify", "forecast", "many"])
    parser.add_argument("--out", default=default_out("large_files"))
    given = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="unroll-large-") as name:
        folder = Path(name)
        environment = os.environ | {"HF_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        reach = ["--horizon", "24", "--lookback", "48", "--stride", "24"]
        parts: dict[str, tuple[str, Callable[[], Iterator[str]], float, list[str]]] = {
            "predict": ("big.jsonl", lambda: as_json(1), _GB, ["predict", "{run}", "{data}"]),
            "classify": (
                "big.csv",
                lambda: as_csv(2),
                0.3 * _GB,
                ["fit", "classification", "{data}", "--text", "text"],
            ),
            "forecast": ("wide.csv", lambda: hourly(3, 8, 0), 0.3 * _GB, ["fit", "forecasting", "{data}", *reach]),
            "many": (
                "long.csv",
                lambda: hourly(4, 2, 5000),
                0.3 * _GB,
                ["fit", "forecasting", "{data}", *reach, "--series-id", "series"],
            ),
        }
        write(folder / "small.csv", as_csv(0), 200_000)
        small = ["fit", "classification", f"{folder / 'small.csv'}", "--text", "text", "--out", f"{folder / 'run'}"]
        measured([*small, *_SMALL], folder / "said", environment)
        for part in given.parts:
            file, lines, size, command = parts[part]
            path = folder / file
            rows = write(path, lines(), size * given.share)
            line = [word.format(run=folder / "run", data=path) for word in command]
            line += ["--out", str(folder / part), *_SMALL] if command[0] == "fit" else []
            found = measured(line, folder / "said", environment)
            if command[0] == "predict":
                with (folder / "said").open() as said:
                    found["answers"] = sum(1 for _ in said)
            megabytes = path.stat().st_size / _MB
            path.unlink()
            found |= {"part": part, "megabytes": round(megabytes, 1), "rows": rows}
            found |= {"rows_per_second": round(rows / found["seconds"]), "within": found["peak"] <= LIMIT}
            found |= {"megabytes_per_second": round(megabytes / found["seconds"], 2)}
            results.append(found)
            rate = f"{found['seconds']:7.1f} s {found['rows_per_second']:>8,} rows/s"
            memory = f"peak {found['peak'] / 2**20:7.0f} MiB ({found['anonymous'] / 2**20:.0f} anonymous)"
            memory += f"  status {found['status']}"
            print(f"{part:<10} {megabytes:8.1f} MB {rows:>10,} rows {rate}  {memory}", flush=True)
    written = {**about(shlex.join(sys.argv)), "share": given.share, "results": results}
    Path(given.out).write_text(json.dumps(written, indent=1) + "\n")
    sound = all(r["within"] and r["status"] == 0 and r.get("answers", r["rows"]) == r["rows"] for r in results)
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
