"""Rows of unequal length laid out for kernels that know only one length.

A batch (T, B) holds, in each row, the steps before the row's length. Borders (resets) cut a row into
segments that know nothing of each other, so each segment may become a row of its own. A `Group` says
which step goes where; `move` carries the steps there and the results back; `by_groups` does all of it for a
kernel that knows one length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unroll.ops.call import Call, Result, State
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


def by_groups(
    call: Call, run: Callable[[Group, Tensor, State], tuple[Tensor, State]], *, flagged: bool = False
) -> Result:
    """The call by a kernel without lengths, resets and directions, group by group.

    `run` gets a group, its steps (steps, N, D) in the order of running, zero where a segment has ended, and the state
    that each segment starts from; it gives the outputs (steps, N, R) and the state at each segment's end. With
    `flagged` the input has one feature more, which is 1 where a segment has ended.
    """
    T, B = call.x.shape[:2]
    rows_first = not tracing() and call.x.transpose(0, 1).is_contiguous()
    x = (call.x.transpose(0, 1) if rows_first else call.x).flatten(0, 1)
    made = groups(call)
    if not made:
        return Result(x.new_zeros(T, B, call.state[0].shape[-1]), call.state)
    done = []
    for group in made:
        source, target = group.source, group.target
        if rows_first:  # as a batch-first input lies in memory
            source = torch.where(source < 0, -1, source % B * T + source // B)
            target = target.view(T, B).t().flatten()
        laid = move(x, source, target, flagged=flagged)
        done.append(run(group, laid.view(group.steps, -1, laid.shape[1]), _start(call, group)))
    source, target = _joined(made)
    y = move(_cat([y.flatten(0, 1) for y, _ in done]), target, source).view(T, B, -1)
    ends = tuple(_cat(list(s)) for s in zip(*(state for _, state in done), strict=True))
    return Result(y, _final(call, made, ends))


def at_end(group: Group, states: Tensor) -> Tensor:
    """(N, ...): of the states after every step (steps, N, ...) the one at each segment's end."""
    N = group.lengths.shape[0]
    last = (group.lengths - 1).clamp(min=0) * N + torch.arange(N, device=states.device)
    return states.flatten(0, 1).index_select(0, last)


def like(rows: Tensor, tensor: Tensor) -> Tensor:
    """What is said of each row (B,), laid out to meet a tensor (B, ...)."""
    return rows.reshape(rows.shape + (1,) * (tensor.dim() - 1))


def _start(call: Call, group: Group) -> State:
    if group.carried is None:
        return call.state
    back = call.reset_state or call.recurrence.states.values()
    carried = group.carried
    return tuple(
        torch.where(like(carried, s), s.index_select(0, group.rows), b) for s, b in zip(call.state, back, strict=True)
    )


def _joined(made: list[Group]) -> tuple[Tensor, Tensor]:
    """Where every step of the groups, one after the other, comes from, and the inverse."""
    source = _cat([g.source for g in made])
    if len(made) == 1:
        return source, made[0].target
    target, offset = torch.full_like(made[0].target, -1), 0
    for group in made:
        target = torch.where(group.target < 0, target, group.target + offset)
        offset += len(group.source)
    return source, target


def _final(call: Call, made: list[Group], ends: State) -> State:
    """Each row's state from its last segment's end; a row without one keeps the state it was given."""
    if call.resets is None:  # the segments are the rows
        return tuple(
            torch.where(like(made[0].final, e), e, s.to(e.dtype)) for e, s in zip(ends, call.state, strict=True)
        )
    rows, final = _cat([g.rows for g in made]), _cat([g.final for g in made])
    S, B = len(rows), call.x.shape[1]
    which = torch.where(final, torch.arange(S, device=rows.device), -1)
    source = torch.full((B,), -1, device=rows.device).scatter_reduce(0, rows, which, "amax")
    target = torch.where(final, rows, -1)
    has = source >= 0
    return tuple(
        torch.where(like(has, e), move(e.flatten(1), source, target).view(B, *e.shape[1:]), s.to(e.dtype))
        for e, s in zip(ends, call.state, strict=True)
    )


def _cat(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


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
