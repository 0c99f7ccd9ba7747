"""Odd run folders, files, configurations and values: does any of them bring a traceback, a hang, or a wrong answer?

    python benchmarks/fuzz.py --trials 100000 --seed 0
    python benchmarks/fuzz.py --only csv:1234           # one trial again, with its traceback

Each trial makes something odd from a seed and holds what comes of it to the oracle of tests/fuzz: a right answer or one
sentence, within ten seconds and a gibibyte. Trials run in processes of their own, so that one that dies or hangs is
found too. Findings are told once for each place, with the first seeds; the exit status is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from environment import ROOT, about, default_out

sys.path.insert(0, str(ROOT / "tests" / "fuzz"))

from fuzzing.kinds import SHARES, kind_of, run_trial, trials
from fuzzing.trained import Trained, train_all

_SILENCE = 60.0
"""Seconds after which a process that says nothing is ended, and its trial is a finding."""
_SEEDS_SHOWN = 3


def work(connection: Connection, trained: dict[str, Trained]) -> None:
    """Do the trials that come, and say what each found."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    every = trials(trained)
    connection.send(None)
    while (task := connection.recv()) is not None:
        kind, seed = task
        began = time.perf_counter()
        found, answered = run_trial(every[kind], seed)
        said = None if found is None else (found.key, found.detail)
        connection.send((said, answered, time.perf_counter() - began))


class Worker:
    """A process that does trials, started anew when it has died."""

    def __init__(self, trained: dict[str, Trained]) -> None:
        self._trained = trained
        self._start()

    def _start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(theirs, self._trained), daemon=True)
        self.process.start()
        theirs.close()
        self.trial: tuple[str, int] | None = None
        self.since = time.monotonic()

    def give(self, trial: tuple[str, int] | None) -> None:
        """Hand it the next trial."""
        self.trial, self.since = trial, time.monotonic()
        self.connection.send(trial)

    def restart(self) -> str:
        """End what is left of it and begin anew; how it ended."""
        self.process.join(1.0)  # one that has died may not have been seen to
        alive = self.process.is_alive()
        self.process.kill()
        self.process.join()
        code = self.process.exitcode or 0
        self._start()
        cause = signal.Signals(-code).name if code < 0 else f"status {code}"
        return f"hung for {_SILENCE:g} s" if alive else f"the process died of {cause}"


def run(trained: dict[str, Trained], plan: list[tuple[str, int]], processes: int) -> dict[str, Any]:
    """Do the trials of the plan, and count."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    findings: dict[str, dict[str, Any]] = {}
    workers = [Worker(trained) for _ in range(processes)]
    ahead = iter(plan)
    busy, done, told = list(workers), 0, time.monotonic()

    def note(trial: tuple[str, int], key: str, detail: str) -> None:
        one = findings.setdefault(f"{trial[0]}: {key}", {"count": 0, "seeds": [], "detail": detail})
        one["count"] += 1
        if len(one["seeds"]) < _SEEDS_SHOWN:
            one["seeds"].append(f"{trial[0]}:{trial[1]}")

    while busy:
        ready = wait([w.connection for w in busy], timeout=1.0)
        for worker in list(busy):
            trial = worker.trial
            if worker.connection in ready:
                try:
                    answer = worker.connection.recv()
                except EOFError:
                    if trial is None:
                        raise RuntimeError("a process cannot start") from None
                    note(trial, worker.restart(), "")
                    counts[trial[0]]["finding"] += 1
                    done += 1
                    continue
                if trial is not None:
                    said, answered, took = answer
                    if said is not None:
                        note(trial, *said)
                    counts[trial[0]]["finding" if said else "answered" if answered else "refused"] += 1
                    seconds[trial[0]] += took
                    done += 1
                following = next(ahead, None)
                worker.give(following)
                if following is None:
                    busy.remove(worker)
            elif trial is not None and time.monotonic() - worker.since > _SILENCE:
                note(trial, worker.restart(), "")
                counts[trial[0]]["finding"] += 1
                done += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{done:,} of {len(plan):,} trials, {len(findings)} findings", flush=True)
    kinds = {
        kind: {**found, "milliseconds": round(1e3 * seconds[kind] / found.total(), 2)} for kind, found in counts.items()
    }
    return {"trials": done, "kinds": kinds, "findings": findings}


def main() -> int:
    """Run the trials, show and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", nargs="+", choices=list(SHARES), help="of these kinds alone")
    parser.add_argument("--only", metavar="KIND:SEED", help="this trial alone, here")
    parser.add_argument("--out", default=default_out("fuzz"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="unroll-fuzz-runs-") as folder:
        trained = train_all(Path(folder))
        if given.only:
            kind, _, seed = given.only.partition(":")
            found, answered = run_trial(trials(trained)[kind], int(seed))
            if found is None:
                print("answered" if answered else "refused")
                return 0
            traceback.print_exception(found)
            return 1
        first = given.seed * 1_000_000_000
        plan = []
        numbers = (first + i for i in range(sys.maxsize))
        while len(plan) < given.trials:
            number = next(numbers)
            if not given.kinds or kind_of(number) in given.kinds:
                plan.append((kind_of(number), number))
        began = time.monotonic()
        result = run(trained, plan, given.processes)
        took = time.monotonic() - began
    for kind, counted in result["kinds"].items():
        print(f"{kind:<12} {counted}")
    for key, one in sorted(result["findings"].items(), key=lambda item: -item[1]["count"]):
        print(f"\n{one['count']:>6} {key}\n       {', '.join(one['seeds'])}\n       {one['detail']}")
    print(f"\n{result['trials']:,} trials in {took:.0f} s, {len(result['findings'])} findings")
    written = {**about(shlex.join(sys.argv)), "seconds": round(took, 1), **result}
    Path(given.out).write_text(json.dumps(written, indent=1, ensure_ascii=True) + "\n")
    return int(bool(result["findings"]))


if __name__ == "__main__":
    sys.exit(main())
