"""The GPU kernels against the definition: on a GPU where there is one, else through Triton's interpreter."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from helpers.recurrences import weights
from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.ops import naive
from unroll.ops.backends import BACKENDS, choose
from unroll.ops.call import Call, Sizes
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM as LSTM_RECURRENCE
from unroll.ops.triton import heuristics

pytest.importorskip("triton")
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
# NumPy, which interprets, warns where a sigmoid's exponential is infinite
pytestmark = [
    pytest.mark.gpu if CUDA else pytest.mark.filterwarnings("ignore:overflow encountered in exp"),
    pytest.mark.slow,
]
# the interpreter multiplies the bits of bfloat16 as if they were whole numbers
HALVES = [torch.float16, torch.bfloat16] if CUDA else [torch.float16]
RECURRENCES = {r.name: r for r in (TANH, RELU, LSTM_RECURRENCE, RESET_AFTER)}
TRITON = BACKENDS["triton"]
needs_gpu = pytest.mark.skipif(not CUDA, reason="needs a CUDA device")


def make(name, T, B, D, H, *, ragged=False, cut=False, back=False, reverse=False, bias=True, dtype=torch.float32):
    """A call of random numbers; what stands in its padding is NaN."""
    recurrence = RECURRENCES[name]

    def draw(*shape):
        return torch.randn(*shape).to(DEVICE, dtype).requires_grad_()

    made = weights(recurrence, Sizes(D, H, 0, bias), leaves=True, dtype=dtype, device=DEVICE)
    x, lengths = draw(T, B, D), None
    if ragged:
        lengths = torch.randint(0, T + 1, (B,), device=DEVICE)
        with torch.no_grad():
            x[torch.arange(T, device=DEVICE).unsqueeze(1) >= lengths] = torch.nan
    resets = torch.rand(T, B, device=DEVICE) < 0.3 if cut else None
    state = tuple(draw(B, H) for _ in recurrence.states)
    reset_state = tuple(draw(H) for _ in recurrence.states) if back else None
    return Call(recurrence, x, state, made, lengths, resets, reset_state, reverse)


def leaves(call):
    return [t for t in call.tensors if t is not None and t.requires_grad]


def everything(run, call):
    """Outputs, final state and every gradient."""
    y, state = run(call)
    generator = torch.Generator().manual_seed(1)
    loss = sum((o * torch.randn(o.shape, generator=generator).to(o)).sum() for o in (y, *state))
    return [y, *state, *torch.autograd.grad(loss, leaves(call), allow_unused=True)]


def exact(call):
    """The call in float64, of leaves of its own."""
    copies = [
        t.detach().double().requires_grad_() if t is not None and t.is_floating_point() else t for t in call.tensors
    ]
    return call.form.call(tuple(copies))


def apart(got, wanted):
    """|got - wanted| / |wanted|."""
    return float((got.detach().double() - wanted.detach()).norm()) / (float(wanted.detach().norm()) + 1e-6)


SHAPES = [(1, 1, 1, 1), (5, 4, 3, 7), (4, 17, 2, 33), (3, 2, 5, 100)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", RECURRENCES)
def test_every_number_is_that_of_the_definition(close, name, shape):
    for ragged, cut, back, reverse in itertools.product((False, True), repeat=4):
        if back and not cut:
            continue
        call = make(name, *shape, ragged=ragged, cut=cut, back=back, reverse=reverse)
        got, wanted = everything(TRITON.run, call), everything(naive.run, exact(call))
        close(got, [None if w is None else w.float() for w in wanted], f"{ragged=} {cut=} {back=} {reverse=}")


@pytest.mark.parametrize("name", RECURRENCES)
def test_without_biases_and_of_strided_tensors(close, name):
    call = make(name, 4, 3, 5, 6, bias=False, ragged=True, cut=True)
    close(everything(TRITON.run, call), [None if w is None else w.float() for w in everything(naive.run, exact(call))])
    with torch.no_grad():
        x = torch.randn(5, 3, 8, device=DEVICE).permute(2, 1, 0)[::2]
        states = tuple(torch.randn(6, 3, device=DEVICE).t() for _ in call.state)
        odd = dataclasses.replace(call, x=x, state=states)
        plain = dataclasses.replace(call, x=x.contiguous(), state=tuple(s.contiguous() for s in states))
        assert all(map(torch.equal, flat(TRITON.run(odd)), flat(TRITON.run(plain))))


def flat(result):
    return [result.y, *result.state]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", RECURRENCES)
def test_lower_precision_is_near(name, dtype):
    """Against float64 on the same rounded numbers; the state is kept in float32."""
    call = make(name, 6, 5, 4, 40, ragged=True, cut=True, dtype=dtype)
    got, wanted = everything(TRITON.run, call), everything(naive.run, exact(call))
    assert all(g is None or g.dtype == dtype for g in got)
    for g, w in zip(got, wanted, strict=True):
        if g is not None and w is not None:
            assert apart(g, w) <= (0.02 if dtype is torch.bfloat16 else 0.003)


@pytest.mark.parametrize("name", RECURRENCES)
def test_a_row_alone_is_the_same_and_twice_bit_for_bit(name):
    call = make(name, 5, 19, 3, 20, ragged=True, cut=True)
    with torch.no_grad():
        whole, again = TRITON.run(call), TRITON.run(call)
        assert all(map(torch.equal, flat(whole), flat(again)))
        for b in (0, 7, 18):
            alone = dataclasses.replace(
                call,
                x=call.x[:, b : b + 1],
                state=tuple(s[b : b + 1] for s in call.state),
                lengths=call.lengths[b : b + 1],
                resets=call.resets[:, b : b + 1],
            )
            result = TRITON.run(alone)
            # the product of the inputs is a library's, whose sums may depend on B
            torch.testing.assert_close(result.y, whole.y[:, b : b + 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", RECURRENCES)
def test_memory_recompute_and_a_graph_that_is_kept(close, name):
    call = make(name, 4, 3, 2, 5, ragged=True)
    wanted = everything(TRITON.run, call)
    again = dataclasses.replace(call, recompute=True)
    assert all(a is b or torch.equal(a, b) for a, b in zip(everything(TRITON.run, again), wanted, strict=True))
    y, _ = TRITON.run(call)
    first = torch.autograd.grad(y.sum(), leaves(call)[:3], retain_graph=True)
    second = torch.autograd.grad(y.sum(), leaves(call)[:3])
    close(second, first)


def test_differentiated_twice_by_the_definition(close):
    call = make("lstm", 3, 2, 2, 3)
    found = []
    for run in (TRITON.run, naive.run):
        y, _ = run(call)
        (dx,) = torch.autograd.grad(y.square().sum(), [call.x], create_graph=True)
        found.append(torch.autograd.grad(dx.square().sum(), leaves(call)[:3]))
    close(*found)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_layer_in_chunks_and_by_steps(close, kind):
    layer = kind(3, 18, num_layers=2, batch_first=True, backend="triton").to(DEVICE)
    x = torch.randn(2, 6, 3, device=DEVICE)
    with torch.no_grad():
        whole, end = layer(x)
        assert {used.backend for used in layer.used} == {"triton"}
        parts, state = [], None
        for part in x.split([1, 3, 2], 1):
            y, state = layer(part, state)
            parts.append(y)
        close([torch.cat(parts, 1), state], [whole, end])
        stepped, state = [], None
        for t in range(6):
            y, state = layer.step(x[:, t], state)
            stepped.append(y)
        close([torch.stack(stepped, 1), state], [whole, end])


def test_autocast_casts_as_pytorch_does():
    call = make("lstm", 3, 2, 4, 8)
    with torch.autocast(DEVICE, dtype=torch.float16):
        y, state = TRITON.run(call)
    assert y.dtype == state[0].dtype == torch.float16
    (dx,) = torch.autograd.grad(y.float().sum(), [call.x])
    assert dx.dtype == torch.float32
    assert apart(y, naive.run(exact(call)).y) <= 0.003


def test_what_is_refused_says_why():
    call = make("lstm", 3, 2, 4, 8)
    for change, why in (
        ({"state": tuple(s.double() for s in call.state)}, "different types"),
        ({"state": tuple(s[:1] for s in call.state)}, "do not fit"),
        ({"lengths": torch.ones(2, device=DEVICE)}, "do not fit"),
        ({"recurrence": RESET_BEFORE}, "no GPU kernel"),
        ({"recurrent_mask": torch.ones(2, 8, device=DEVICE)}, "recurrent dropout"),
        ({"x": call.x[:0]}, "nothing to compute"),
        ({"weights": {n: w for n, w in call.weights.items() if n != "bias_hh"}}, "both biases"),
        ({"weights": {**call.weights, "weight_hr": torch.ones(8, 8, device=DEVICE)}}, "projection"),
    ):
        with pytest.raises(OptionError, match=why):
            choose(dataclasses.replace(call, **change), "triton")
    with pytest.raises(OptionError, match=r"do not take torch\.float64"):
        choose(exact(call), "triton")


def test_auto_takes_it_where_it_was_measured_to_win(monkeypatch):
    call = make("lstm", 3, 2, 4, 8)
    monkeypatch.setattr(heuristics, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert "measured" in str(TRITON.slower(call))
    won = heuristics.Won(("lstm",), torch.float32, (False,), range(4, 16))
    monkeypatch.setattr(heuristics, "WON", (won,))
    assert TRITON.slower(call) is None
    assert "measured" in str(TRITON.slower(dataclasses.replace(call, lengths=torch.ones(2, dtype=torch.int64))))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert "tf32" in str(TRITON.slower(call))
    monkeypatch.setattr(heuristics, "interpreted", lambda: True)
    assert "interpreted" in str(TRITON.slower(call))


@pytest.mark.parametrize(
    ("cell", "dtype", "lengths", "least"),
    [("lstm", "bfloat16", "equal", 1.5), ("gru", "float16", "differing", 1.4), ("rnn", "bfloat16", "differing", 1.4)],
)
def test_the_results_bear_out_what_auto_takes(cell, dtype, lengths, least):
    """Every case measured that `auto` gives the kernels took them less time than cuDNN; these by that much."""
    results = Path(__file__).parents[2] / "benchmarks" / "results" / f"2026-11-26-gpu_layers-{dtype}.json"
    names = {"lstm": "lstm", "gru": "gru", "rnn": "rnn_tanh"}
    ratios, kind = [], getattr(torch, dtype)
    for case in json.loads(results.read_text())["cases"]:
        name, ragged = names[case["cell"]], case["lengths"] != "equal"
        for won in heuristics.WON:
            if name in won.recurrences and won.dtype == kind and ragged in won.ragged and case["H"] in won.hidden:
                every = [case["times_as_long"][side]["median"] for side in ("torch", "packed" if ragged else "torch")]
                assert min(every) >= 1.03, case
                if (case["cell"], case["lengths"]) == (cell, lengths):
                    ratios.append(min(every))
    assert len(ratios) >= 4
    assert min(ratios) >= least


@needs_gpu
@pytest.mark.parametrize("shape", [(50, 70, 40, 256), (30, 300, 64, 512), (20, 16, 24, 1000)], ids=str)
@pytest.mark.parametrize("name", RECURRENCES)
def test_programs_that_wait_for_each_other(monkeypatch, name, shape):
    """Several programs a row block, and more of them than multiprocessors: the same as cuDNN, and bit for bit again."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    call = make(name, *shape)
    first = everything(TRITON.run, call)
    for got, wanted in zip(first, everything(BACKENDS["torch"].run, call), strict=True):
        assert apart(got, wanted.double()) <= 1e-4
    for _ in range(5):
        assert all(map(torch.equal, everything(TRITON.run, call), first))


@needs_gpu
def test_more_steps_than_cudnn_takes():
    call = make("gru", 70_000, 2, 3, 8)
    assert choose(call).backend.name == "triton"
    with torch.no_grad():
        y, _ = TRITON.run(call)
        wanted, _ = BACKENDS["torch"].run(call.form.call(tuple(None if t is None else t.cpu() for t in call.tensors)))
    assert apart(y.cpu(), wanted.double()) <= 1e-5


@needs_gpu
def test_another_stream():
    call = make("lstm", 40, 8, 16, 128)
    wanted = everything(TRITON.run, call)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        got = everything(TRITON.run, call)
    stream.synchronize()
    assert all(map(torch.equal, got, wanted))


COMPILED = """
import re
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from unroll.ops.triton.backward import backward
from unroll.ops.triton.forward import forward

FLOATS = {"h_state", "c_state", "c_seq", "dh_state", "dc_state", "dreset_h", "dreset_c"}
KINDS = {"lengths": "*i64", "resets": "*i8", "counters": "*i32"} | dict.fromkeys(FLOATS, "*fp32")
KINDS |= dict.fromkeys(("T", "B", "row0", "first", "last"), "i32")
for capability in (80, 90):
    for cell, gates in ((0, 1), (2, 4), (3, 3)):
        for kernel, more in ((forward, {"KEEP": True, "BIAS": True}), (backward, {"GIVEN": True})):
            for H in (130, 256):
                const = dict(CELL=cell, GATES=gates, WIDE=H * (4 if gates > 1 else 1), H=H, REVERSE=1, RAGGED=1, CUT=1,
                             BACK=1, PRECISION="ieee", RESIDENT=False, BLOCK_B=16, BLOCK_H=32, BLOCK_K=64, **more)
                types = {n: "constexpr" if n in const else KINDS.get(n, "*bf16") for n in kernel.arg_names}
                index = {n: (i,) for i, n in enumerate(kernel.arg_names)}
                aligned = {index[n]: [["tt.divisibility", 16]] for n, kind in types.items() if kind[0] == "*"}
                source = ASTSource(kernel, types, {index[n]: v for n, v in const.items()}, aligned)
                options = {"num_warps": 4, "num_stages": 1}
                made = compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]
                assert "mma.sync" in made
                assert "cp.async" not in made, "what others wrote would be read from the first-level cache"
                assert re.search(r"ld\\.global\\.cg", made)
                assert re.search(r"atom\\.global\\.gpu\\.release", made)
                assert re.search(r"(atom|ld)\\.global\\.gpu\\.acquire", made)
print("compiled")
"""


def test_it_compiles_where_there_is_no_gpu(tmp_path):
    """For two kinds of GPU: matrix units are used, and what other programs write is read past the nearest cache."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    (tmp_path / "program.py").write_text(COMPILED)
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "compiled\n", done.stderr[-2000:]
