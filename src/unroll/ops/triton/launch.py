"""Tensors handed to the kernels, and the matrix products around them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unroll.ops.autograd import Needed
from unroll.ops.call import Call, State, Tensors
from unroll.ops.triton import common
from unroll.ops.triton.backward import backward as backward_kernel
from unroll.ops.triton.extension import interpreted
from unroll.ops.triton.forward import forward as forward_kernel

_FORWARD: Any = forward_kernel
_BACKWARD: Any = backward_kernel
CELLS = {"rnn_tanh": common.TANH, "rnn_relu": common.RELU, "lstm": common.LSTM, "gru": common.GRU}
_ROWS = 16
"""Rows of a program: the least that a matrix unit takes. It may not depend on B, or a row's result would."""
_BLOCKS = 65535
"""What a grid may have in its second direction."""


class Tiling(NamedTuple):
    """How a program goes about its work; the same for every B and T, or a row's result would depend on them."""

    columns: int
    """Features of the state."""
    depth: int
    """Terms of a product that are read at a time."""
    held: bool
    """The program's weights stay in shared memory for the whole sequence."""
    warps: int


class Kept(NamedTuple):
    """What the backward pass needs beside the call and its outputs; it is written over."""

    gates: Tensor | None
    """(T, B, WIDE), of LSTM and GRU"""
    c: Tensor | None
    """(T, B, H) float32"""


def forward(call: Call, *, keep: bool) -> tuple[Tensor, State, Kept]:
    """The outputs, the final state and, with `keep`, what `backward` needs of an LSTM or a GRU."""
    call = _bounded(call)
    x, weights = _read(call), call.weights
    T, B, _ = x.shape
    H, G = call.state[0].shape[1], call.recurrence.gates
    keep = keep and G > 1
    gx = _product(x, weights["weight_ih"], _bias(call), _width(call, keep=keep))
    y = x.new_zeros(T, B, H) if call.lengths is not None else x.new_empty(T, B, H)
    passed = x.new_empty(2, B, H)
    passed[0] = call.state[0]
    states = [s.float().clone(memory_format=torch.contiguous_format) for s in call.state]
    c_seq = x.new_empty(T, B, H, dtype=torch.float32) if keep and len(states) > 1 else None
    b_n = weights["bias_hh"][2 * H :].contiguous() if G == 3 and "bias_hh" in weights else None
    arguments = _shared(call, gx) | {
        "gx": gx,
        "b_n": b_n,
        "passed": passed,
        "h_state": states[0],
        "c_state": states[-1],
        "y": y,
        "c_seq": c_seq,
        "BIAS": b_n is not None,
        "KEEP": keep,
    }
    for grid, place in _launches(call, 0):
        _FORWARD[grid](**arguments, **place)
    return y, tuple(s.to(x.dtype) for s in states), Kept(gx if keep else None, c_seq)


def backward(call: Call, y: Tensor, kept: Kept, grads: Tensors, needed: Needed) -> Tensors:
    """The gradients that are needed, in the order of `Call.tensors`, from the outputs' (None is zeros)."""
    call = _bounded(call)
    x, wanted = _read(call), call.form.call(needed)  # type: ignore[arg-type]  # whether, for each tensor
    T, B, D = x.shape
    H, G = call.state[0].shape[1], call.recurrence.gates
    states = call.state
    gates = x.new_empty(T, B, H) if kept.gates is None else kept.gates
    dy, *ends = grads
    d_states = [
        x.new_zeros(B, H, dtype=torch.float32) if d is None else d.float().clone(memory_format=torch.contiguous_format)
        for d in ends
    ]
    d_back = [x.new_zeros(B, H, dtype=torch.float32) for _ in call.reset_state or ()]
    arguments = _shared(call, gates) | {
        "kept": gates,
        "h0": states[0].contiguous(),
        "c0": states[-1].contiguous(),
        "y": y,
        "c_seq": kept.c,
        "dy": None if dy is None else dy.contiguous(),
        "dh_state": d_states[0],
        "dc_state": d_states[-1],
        "dreset_h": d_back[0] if d_back else None,
        "dreset_c": d_back[-1] if d_back else None,
        "GIVEN": dy is not None,
    }
    for grid, place in reversed(list(_launches(call, -1))):
        _BACKWARD[grid](**arguments, **place)
    flat = gates.view(T * B, -1)
    recurrent = inner = flat[:, : G * H]
    if G == 3 and (wanted.x or wanted.weights["weight_ih"] or wanted.weights.get("bias_ih")):
        # the reset gate stands between the input's and the recurrent part of the candidate
        inner = torch.cat([flat[:, : 2 * H], flat[:, 3 * H :]], 1)
    of_weights: dict[str, Callable[[], Tensor]] = {
        "weight_ih": lambda: inner.t() @ x.reshape(T * B, D),
        "weight_hh": lambda: recurrent.t() @ _before(call, y).view(T * B, H),
        "bias_ih": lambda: inner.sum(0, dtype=torch.float32).to(x.dtype),
        "bias_hh": lambda: recurrent.sum(0, dtype=torch.float32).to(x.dtype),
    }
    dx = (inner @ call.weights["weight_ih"]).view(T, B, D) if wanted.x else None
    dw = [of_weights[name]() if want else None for name, want in wanted.weights.items()]
    of_states = [*(d.to(x.dtype) for d in d_states), *(d.sum(0).to(x.dtype) for d in d_back)]
    states = [*wanted.state, *(wanted.reset_state or ())]
    return (dx, None, None, None, *dw, *(d if want else None for d, want in zip(of_states, states, strict=True)))


def _shared(call: Call, gates: Tensor) -> dict[str, Any]:
    """What both kernels take."""
    T, B, _ = call.x.shape
    H, G = call.state[0].shape[1], call.recurrence.gates
    back = [b.contiguous() for b in call.reset_state or ()]
    tiling = _tiling(call)
    return {
        "w_hh": call.weights["weight_hh"].contiguous(),
        "lengths": call.lengths,
        "resets": None if call.resets is None else call.resets.contiguous().view(torch.int8),
        "reset_h": back[0] if back else None,
        "reset_c": back[-1] if back else None,
        "T": T,
        "B": B,
        "CELL": CELLS[call.recurrence.name].value,
        "GATES": G,
        "WIDE": gates.shape[2],
        "H": H,
        "REVERSE": call.reverse,
        "RAGGED": call.lengths is not None,
        "CUT": call.resets is not None,
        "BACK": call.resets is not None and bool(back),
        # three products of the matrix unit give a float32 product to its last bits
        "PRECISION": "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "tf32x3",
        "BLOCK_B": _ROWS,
        "BLOCK_H": tiling.columns,
        "BLOCK_K": tiling.depth,
        "RESIDENT": tiling.held,
        "num_warps": tiling.warps,
        # more would read ahead by copies that do not pass by the first-level cache as the kernels ask
        "num_stages": 1,
    }


def _launches(call: Call, begin: int) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """The grid and the place of each launch, for the steps from `begin`, in the order of running.

    All programs of a launch must run at once, because they wait for each other: the rows are divided among as many
    launches as that takes. Where the programs of a row do not run at once, as in an interpreter, which runs one after
    the other, each step is a launch.
    """
    T, B, _ = call.x.shape
    across = -(-call.state[0].shape[1] // _tiling(call).columns)
    groups = -(-B // _ROWS)
    room = 0 if interpreted() else _multiprocessors(call.x.device)
    alone = across > max(1, room)
    at_once = min(groups, _BLOCKS) if alone or across == 1 else room // across
    for low in range(0, groups, at_once):
        blocks = min(at_once, groups - low)
        for first in range(begin, T) if alone else (begin,):
            yield (
                (across, blocks),
                {
                    "counters": torch.zeros(blocks, dtype=torch.int32, device=call.x.device),
                    "row0": low * _ROWS,
                    "first": first,
                    "last": first + 1 if alone else T,
                    "launch_cooperative_grid": across > 1 and not alone,
                },
            )


def _tiling(call: Call) -> Tiling:
    """By the recurrence, H, the dtype and the GPU: the fastest of those that were tried on one of capability 9.0."""
    H, G, size = call.state[0].shape[1], call.recurrence.gates, call.x.element_size()
    every = _power(H)
    columns = min(32, every)
    if size == 2:  # the rest of shared memory is for what the products read
        room = _shared_memory(call.x.device) * 3 // 4
        if G * columns * every * size <= room:
            return Tiling(columns, every, True, 4)
        if G < 4 and G * 16 * every * size <= room:
            return Tiling(16, every, True, 2)
    return Tiling(columns, min(64, every), False, 4)


def _shared_memory(device: torch.device) -> int:
    """Bytes that one program may have."""
    return (
        torch.cuda.get_device_properties(device).shared_memory_per_multiprocessor if device.type == "cuda" else 1 << 18
    )


def _power(n: int) -> int:
    """The least power of two that is not below n, at least 16."""
    return max(16, 1 << (n - 1).bit_length())


def _multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


@contextlib.contextmanager
def on_device(tensor: Tensor) -> Iterator[None]:
    """Launch on the tensor's device and its current stream."""
    with torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext():
        yield


def _width(call: Call, *, keep: bool) -> int:
    """Values for each step of a row: W x + b, and to be kept for the GRU U_n h + c_n beside its gates."""
    gates, H = call.recurrence.gates, call.state[0].shape[1]
    return H * (4 if keep and gates > 1 else gates)


def _bounded(call: Call) -> Call:
    """The call with lengths side by side in memory and within 0 and T, whatever was given: they become addresses."""
    if call.lengths is None:
        return call
    return replace(call, lengths=call.lengths.clamp(0, call.x.shape[0]).contiguous())


def _read(call: Call) -> Tensor:
    """The input, zero in the padding, whatever stands there."""
    if call.lengths is None:
        return call.x
    T = call.x.shape[0]
    ended = torch.arange(T, device=call.x.device).unsqueeze(1) >= call.lengths
    return call.x.masked_fill(ended.unsqueeze(2), 0.0)


def _bias(call: Call) -> Tensor | None:
    """What is added to W x: both biases but the GRU's recurrent one of the candidate."""
    b_ih, b_hh = call.weights.get("bias_ih"), call.weights.get("bias_hh")
    if b_hh is not None and call.recurrence.gates == 3:
        b_hh = torch.cat([b_hh[: 2 * len(b_hh) // 3], torch.zeros_like(b_hh[2 * len(b_hh) // 3 :])])
    if b_ih is None or b_hh is None:
        return b_hh if b_ih is None else b_ih
    return b_ih + b_hh


def _product(x: Tensor, w: Tensor, bias: Tensor | None, wide: int) -> Tensor:
    """(T, B, wide): x W^T + bias in the first columns."""
    T, B, D = x.shape
    made = x.new_empty(T * B, wide)
    target, flat = made[:, : w.shape[0]], x.reshape(T * B, D)
    if bias is None:
        torch.mm(flat, w.t(), out=target)
    else:
        torch.addmm(bias, flat, w.t(), out=target)
    return made.view(T, B, wide)


def _before(call: Call, y: Tensor) -> Tensor:
    """(T, B, H): the state that each step's recurrent product read."""
    T, B, H = y.shape
    before = torch.empty_like(y)
    start = call.state[0].to(y.dtype)
    if not call.reverse:
        before[1:], before[0] = y[:-1], start
    else:
        before[:-1], before[-1] = y[1:], start
        if call.lengths is not None:
            last = (call.lengths - 1).clamp(min=0)
            before.scatter_(0, last.view(1, B, 1).expand(1, B, H), start.unsqueeze(0))
    if call.resets is not None:
        crossed = call.resets.contiguous()
        if call.reverse:
            crossed = torch.cat([crossed[1:], torch.zeros_like(crossed[:1])])
            if call.lengths is not None:
                crossed = crossed & (torch.arange(1, T + 1, device=y.device).unsqueeze(1) < call.lengths)
        back = call.reset_state[0].to(y.dtype) if call.reset_state else y.new_zeros(())
        before = torch.where(crossed.unsqueeze(2), back, before)
    return before
