"""`unroll` beside other libraries, for `cpu_layers.py`: Keras on JAX, Keras on TensorFlow, ONNX Runtime.

Each library has a process of its own that stays (Keras has one backend a process, and the thread pools of several
libraries in one process fight for the cores), and so has `unroll`. They take turns, one computing at a time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cpu_layers_sides import CELLS, Case, Data, Others, compare, data, layers

PEERS = ("keras-jax", "keras-tensorflow", "onnxruntime")
SHAPES = ((32, 400, 128, 128), (32, 256, 128, 256), (8, 2000, 80, 320))
SETTLE = 0.03  # between turns: the threads of the process before go to sleep
TURN = 0.03


class PeerError(Exception):
    """A library could not be had, or could not do what was asked."""


class Worker:
    """A library in a process of its own."""

    def __init__(self, python: str, kind: str, threads: int, backend: str, folder: Path) -> None:
        program = str(Path(__file__).with_name("cpu_layers_worker.py"))
        self._errors = (folder / f"{kind}.txt").open("w+")
        self._process = subprocess.Popen(  # noqa: S603
            [python, program, kind, str(threads), backend],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        self._folder, self._kind = folder, kind
        self.processor_seconds = 0.0
        self.versions: dict[str, str] = self._answer(300)["versions"]

    def prepare(self, case: Case, arrays: Path) -> dict[str, np.ndarray]:
        """Get ready for `sample`, and what the first call computed."""
        fields = dataclasses.asdict(case) | {"layer": CELLS[case.cell][0]}
        results = self._folder / f"{self._kind}.npz"
        self._ask({"case": fields, "arrays": str(arrays), "results": str(results)})
        with np.load(results) as stored:
            return dict(stored)

    def sample(self, calls: int) -> float:
        """Seconds a call takes."""
        time.sleep(SETTLE)
        return self._ask({"calls": calls})["seconds"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerError(self._last_words()) from None
        return self._answer(600)

    def _answer(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            if not waiting.select(timeout):
                raise PeerError(f"{self._kind}: no answer in {timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self._kind}: {answer['error']}")
        self.processor_seconds = answer.get("processor_seconds", 0.0)
        return answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        return f"{self._kind}: the process ended: {said[-1] if said else self._process.wait()}"


def compared(
    peer: str, python: str, threads: int, backend: str, rounds: int, budget: float, wanted: dict[str, list[str]]
) -> Iterator[dict[str, Any]]:
    """For each case: the times of both, or why there are none."""
    with tempfile.TemporaryDirectory() as name:
        folder, workers = Path(name), []
        try:
            workers.append(Worker(python, peer, threads, backend, folder))
            workers.append(Worker(sys.executable, "unroll", threads, backend, folder))
        except (PeerError, OSError) as error:
            for worker in workers:
                worker.close()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            yield {"peer": peer, "skipped": reason}
            return
        theirs, ours = workers
        try:
            for case in _cases(peer, wanted):
                known = {"peer": peer, "versions": theirs.versions, **dataclasses.asdict(case)}
                try:
                    yield known | _case(case, ours, theirs, rounds, budget, folder)
                except PeerError as error:
                    yield known | {"skipped": str(error)}
        finally:
            theirs.close()
            ours.close()


def _cases(peer: str, wanted: dict[str, list[str]]) -> list[Case]:
    cells = ("rnn", "lstm", "gru") if peer == "onnxruntime" else ("lstm", "gru")
    modes = ("inference",) if peer == "onnxruntime" else ("inference", "training")
    found = [
        Case(cell, 1, mode, lengths, *shape)
        for shape in SHAPES
        for cell in cells
        for mode in modes
        for lengths in ("equal", "differing")
    ]
    if peer == "onnxruntime":
        found += [Case(cell, 1, "step", "equal", B, 1, 128, 128) for B in (1, 64) for cell in cells]
    return [
        case
        for case in found
        if case.cell in wanted["cells"]
        and case.mode in wanted["modes"]
        and case.lengths in wanted["lengths"]
        and (case.mode == "step" or not wanted["shapes"] or case.shape in wanted["shapes"])
    ]


def _case(case: Case, ours: Worker, theirs: Worker, rounds: int, budget: float, folder: Path) -> dict[str, Any]:
    given = data(case)
    arrays = folder / "case.npz"
    np.savez(arrays, **_arrays(case, given))
    expected, found = ours.prepare(case, arrays), theirs.prepare(case, arrays)
    backends = expected.pop("backend").tolist()
    error = _difference(expected, found, given)
    if not error <= 1e-3:
        raise PeerError(f"its numbers differ from unroll's by {error:.2g} of the largest value")

    calls, seconds, taken = {}, {"unroll": [], "peer": []}, 0.0
    workers = {"unroll": ours, "peer": theirs}
    others = Others(lambda: ours.processor_seconds + theirs.processor_seconds)
    for name, worker in workers.items():
        least = min(worker.sample(1) for _ in range(2))
        calls[name] = max(1, round(TURN / least))
        taken += calls[name] * least + SETTLE
    for number in range(rounds or min(25, max(5, int(budget / taken)))):
        for name in ("unroll", "peer") if number % 2 == 0 else ("peer", "unroll"):
            seconds[name].append(workers[name].sample(calls[name]))
    known = {"used": backends, "error": error, "others": others.share(), "seconds": seconds}
    return known | compare(seconds["unroll"], seconds["peer"])


def _arrays(case: Case, given: Data) -> dict[str, np.ndarray]:
    theirs, _ = layers(case, "auto")
    weights = {k.removesuffix("_l0"): v.numpy() for k, v in theirs.state_dict().items()}
    lengths = np.full(case.B, case.T) if given.lengths is None else given.lengths.numpy()
    return {"x": given.x.numpy(), "gradient": given.gradient.numpy(), "lengths": lengths, **weights}


def _difference(expected: dict[str, np.ndarray], found: dict[str, np.ndarray], given: Data) -> float:
    worst = 0.0
    for name, value in found.items():
        keep = given.valid.numpy() if name in ("output", "x") else 1.0
        scale = float(np.abs(expected[name] * keep).max()) or 1.0
        worst = max(worst, float(np.abs((value - expected[name]) * keep).max()) / scale)
    return worst
