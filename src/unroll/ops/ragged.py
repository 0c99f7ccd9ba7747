"""Rows of unequal length laid out for kernels that know only one length.

A batch (T, B) holds, in each row, the steps before the row's length. Borders (resets) cut a row into
segments that know nothing of each other, so each segment may become a row of its own. A `Group` says
which step goes where; `move` carries the steps there and the results back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unroll.ops.call import Call
from unroll.ops.torch_state import tracing


@dataclass(frozen=True)
class Group:
    """N segments, side by side: step n of segment s stands at `n * N + s`."""

    steps: int
    """The longest segment's length."""
    lengths: Tensor
    """(N,)"""
    rows: Tensor
    """(N,) the row of the batch each segment comes from."""
    source: Tensor
    """(steps * N,) which `t * B + b` stands there; -1 where a segment has ended."""
    target: Tensor
    """(T * B,) the inverse: where each step of the batch went; -1 if not into this group."""
    carried: Tensor | None
    """(N,) whether the segment starts from the call's state, not from the reset state.

    None: the segments are the batch's rows, and all do.
    """
    final: Tensor
    """(N,) whether the segment is the last of its row to be run."""


def groups(call: Call) -> list[Group]:
    """The call's rows, or the segments that its resets cut them into, in the order they are run through.

    Segments of very different lengths are put into groups of similar ones, so that a group's padded
    size is at most twice its real one.
    """
    T, B = call.x.shape[:2]
    device = call.x.device
    lengths = call.lengths if call.lengths is not None else torch.full((B,), T, device=device)
    steps = torch.arange(T, device=device).unsqueeze(1)
    if call.resets is None:
        place = lengths - 1 - steps if call.reverse else steps.expand(T, B)
        source = torch.where(steps < lengths, place * B + torch.arange(B, device=device), -1).flatten()
        return [Group(T, lengths, torch.arange(B, device=device), source, source, None, lengths > 0)]

    valid = steps < lengths
    starts = call.resets & valid
    starts[:1] = valid[:1]
    row, first = starts.t().nonzero(as_tuple=True)
    b, t = valid.t().nonzero(as_tuple=True)
    segment = (starts.t().flatten().cumsum(0) - 1)[b * T + t]
    size = torch.bincount(segment, minlength=len(row))
    place = t - first[segment]
    if call.reverse:
        place = size[segment] - 1 - place
    opens, closes = first == 0, first + size == lengths[row]
    carried = closes if call.reverse else opens & ~call.resets[0, row]
    final = opens if call.reverse else closes

    made = []
    for chosen in _alike(size):
        N, longest = len(chosen), int(size[chosen].max())
        column = torch.full((len(row),), -1, device=device)
        column[chosen] = torch.arange(N, device=device)
        here = column[segment] >= 0
        spot, step = place[here] * N + column[segment[here]], t[here] * B + b[here]
        source = torch.full((longest * N,), -1, device=device)
        target = torch.full((T * B,), -1, device=device)
        source[spot], target[step] = step, spot
        made.append(Group(longest, size[chosen], row[chosen], source, target, carried[chosen], final[chosen]))
    return made


def _alike(size: Tensor) -> list[Tensor]:
    """The segments in one group if padding at most doubles the work, else grouped by powers of two."""
    if len(size) == 0:
        return []
    if len(size) * int(size.max()) <= 2 * int(size.sum()):
        return [torch.arange(len(size), device=size.device)]
    power = torch.frexp(size.double()).exponent
    return [(power == p).nonzero().squeeze(1) for p in power.unique().tolist()]


def move(x: Tensor, source: Tensor, target: Tensor, *, flagged: bool = False) -> Tensor:
    """(M, D) from (N, D): row m is `x[source[m]]`, or zero where that is -1.

    `target` (N,) is the inverse of `source` (M,): no row is taken twice. The gradient is therefore a move
    as well, where PyTorch's own would add up rows one by one. `flagged` adds a column that is 1 in the rows
    that were not taken and 0 elsewhere.
    """
    if tracing():
        return _recorded(x, source, flagged)
    return _Move.apply(x, source, target, flagged)  # type: ignore[return-value]  # untyped in torch


def _recorded(x: Tensor, source: Tensor, flagged: bool) -> Tensor:
    """The move in operators that a trace can hold, and the exporter to ONNX knows."""
    none = (source < 0).unsqueeze(1)
    taken = x.index_select(0, source.clamp(min=0)).masked_fill(none, 0.0)
    return torch.cat([taken, none.to(x.dtype)], 1) if flagged else taken


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, source: Tensor, target: Tensor, flagged: bool) -> Tensor:
        none = source < 0
        if x.shape[0] == 0:
            x = x.new_zeros(1, x.shape[1])
        made = x.new_empty(len(source), x.shape[1] + flagged)
        taken = made[:, : x.shape[1]]
        # Few passes and no copies on the way: beside the fused kernels, these are what takes time.
        if x.is_cpu:
            torch.index_select(x, 0, source.clamp(min=0), out=taken)
            made.index_fill_(0, none.nonzero().squeeze(1), 0)
        else:
            torch.where(none.unsqueeze(1), x.new_zeros(()), x.index_select(0, source.clamp(min=0)), out=taken)
        if flagged:
            made[:, -1] = none
        return made

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
        x, source, target, _ = inputs
        ctx.save_for_backward(source, target)
        ctx.width = x.shape[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        source, target = ctx.saved_tensors
        grad = grad_outputs[0][:, : ctx.width]
        return _Move.apply(grad, target, source, False), None, None, None  # type: ignore[return-value]
