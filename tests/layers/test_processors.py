"""What holds on a processor without AVX-512 too: PyTorch and the kernels are held to AVX2 in a process of their own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unroll.ops.cpu import extension

pytestmark = pytest.mark.slow

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
if extension.kernels is not None and "avx2" in extension.kernels.instruction_sets():
    AVX2["UNROLL_ISA"] = "avx2"

LAYERS = """
import itertools, torch, unroll
from unroll.errors import OptionError

torch.manual_seed(0)
x = torch.randn(7, 3, 20)
calls = 0
for cls, more, low, autocast, backend in itertools.product(
    (unroll.RNN, unroll.GRU, unroll.LSTM),
    ({}, {"lengths": [7, 0, 3]}),
    (torch.bfloat16, torch.float16),
    (False, True),
    ("auto", "torch", "naive"),
):
    module = cls(20, 24, num_layers=2, backend=backend, dtype=None if autocast else low)
    exact = cls(20, 24, num_layers=2, backend="naive", dtype=torch.float64)
    exact.load_state_dict(module.state_dict())
    def run(module, x):
        y, _ = module(x, **more)
        return y, *torch.autograd.grad(y.double().square().mean(), list(module.parameters()))
    given = x if autocast else x.to(low)
    lacking = cls is unroll.LSTM and autocast and not getattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported" if low is torch.bfloat16 else "_is_mkldnn_fp16_supported")()
    try:
        with torch.autocast("cpu", dtype=low, enabled=autocast):
            found = run(module, given)
    except OptionError as error:
        assert backend == "torch" and lacking, error
        assert f"oneDNN has no {str(low)[6:]} LSTM for this processor, and autocast asks for one" in str(error)
        continue
    assert not (backend == "torch" and lacking)
    for a, b in zip(found, run(exact, given.double()), strict=True):
        apart = float((a.double() - b).detach().abs().max())
        assert apart <= (3e-2 if low is torch.bfloat16 else 4e-3) * max(1.0, float(b.detach().abs().max())), apart
    calls += 1
print(calls, torch.ops.mkldnn._is_mkldnn_bf16_supported(), torch.backends.cpu.get_cpu_capability())
"""


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **AVX2, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_layers_in_16_bits() -> None:
    done = run(sys.executable, "-W", "error", "-c", LAYERS)
    assert done.returncode == 0, done.stderr
    calls, has_bfloat16, _ = done.stdout.split()
    # of 72 calls `torch` refuses what oneDNN lacks: an LSTM under autocast, full and ragged, in float16 or in both
    assert int(calls) in ((68, 70, 72) if has_bfloat16 == "True" else (68,))


@pytest.mark.parametrize("recurrence", ["lstm", "gru"])
def test_a_model_is_trained_and_used_in_bfloat16(tmp_path: Path, recurrence: str) -> None:
    data = tmp_path / "reviews.csv"
    with data.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "sentiment"])
        for i in range(60):
            word = (("good", "great", "fine"), ("bad", "awful", "poor"))[i % 2][i % 3]
            rows.writerow([f"the film is {word} {'really ' * (i % 4)}", ("pos", "neg")[i % 2]])
    command = (sys.executable, "-m", "unroll", "fit", "classification", str(data))
    named = ("--text", "review", "--label", "sentiment", "--recurrence", recurrence, "--out", str(tmp_path / "run"))
    size = ("--hidden-size", "8", "--embedding-dim", "8", "--epochs", "20", "--learning-rate", "0.05", "--threads", "1")
    more = ("--bidirectional", "--precision", "bfloat16", "--accelerator", "cpu", "--test", str(data))
    done = run(*command, *named, *size, *more)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["accuracy"] == 1.0
