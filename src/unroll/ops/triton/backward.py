"""The backward kernel: the gradients of the gates' arguments at every step, and of the states."""

# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from unroll.ops.triton.common import (
    LSTM,
    OF_THE_CALL,
    TANH,
    arrive,
    crossed_rows,
    lengths_of,
    tanh,
    tile_of,
    time_of,
    wait,
)


@triton.jit
def _own(
    kept, y, c_seq, dy, t, rows, cols, length, B, H: tl.constexpr, WIDE: tl.constexpr, GATES: tl.constexpr,
    CELL: tl.constexpr, GIVEN: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """What a step needs of its own tile, as it is kept; zero beyond a row's length.

    The output's gradient, the gates, the value (the cell state of an LSTM, the output of an RNN) and the state that
    the step before left, where there is one.
    """
    live = (t >= 0) & (t < length)
    now = live[:, None] & (cols < H)[None, :]
    at = (t * B + rows)[:, None] * H + cols[None, :]
    d = tl.load(dy + at, mask=now, other=0.0) if GIVEN else tl.zeros(now.shape, y.dtype.element_ty)
    if GATES == 1:
        value = tl.load(y + at, mask=now, other=0.0)
        return d, d, d, d, d, value, value
    gates = kept + (t * B + rows)[:, None] * WIDE + cols[None, :]
    g0 = tl.load(gates, mask=now, other=0.0)
    g1 = tl.load(gates + H, mask=now, other=0.0)
    g2 = tl.load(gates + 2 * H, mask=now, other=0.0)
    g3 = tl.load(gates + 3 * H, mask=now, other=0.0)
    # the step before this one in the order of running
    earlier = t + 1 if REVERSE else t - 1
    has = live & (earlier >= 0) & (earlier < length)
    past = (earlier * B + rows)[:, None] * H + cols[None, :]
    before = tl.load((c_seq if CELL == LSTM else y) + past, mask=has[:, None] & (cols < H)[None, :], other=0.0)
    value = tl.load(c_seq + at, mask=now, other=0.0) if CELL == LSTM else before
    return d, g0, g1, g2, g3, value, before


@triton.jit
def _weights(w_hh, cols, ks, H: tl.constexpr, GATE: tl.constexpr):
    """U (K, columns) for the rows of one gate."""
    there = (ks < H)[:, None] & (cols < H)[None, :]
    return tl.load(w_hh + (GATE * H + ks)[:, None] * H + cols[None, :], mask=there, other=0.0)


@triton.jit
def _gradients(kept, t, rows, ks, live, B, H: tl.constexpr, WIDE: tl.constexpr, GATE: tl.constexpr):
    """(rows, K): of one gate's arguments at t, as other programs may have written them."""
    at = kept + (t * B + rows)[:, None] * WIDE + GATE * H + ks[None, :]
    return tl.load(at, mask=live[:, None] & (ks < H)[None, :], other=0.0, cache_modifier=".cg")


@triton.jit
def _set_back(state, crossed, reset, cols, H: tl.constexpr, BACK: tl.constexpr):
    """The reset state, or zero, in the rows that are set back before the step."""
    if BACK:
        return tl.where(crossed, tl.load(reset + cols, mask=cols < H, other=0.0).to(tl.float32)[None, :], state)
    return tl.where(crossed, 0.0, state)


@triton.jit(do_not_specialize=OF_THE_CALL)
def backward(
    kept,  # (T, B, WIDE): the gates; their gradients are written over them, zero beyond a row's length
    w_hh,  # (GATES * H, H)
    h0,  # (B, H)
    c0,  # (B, H)
    y,  # (T, B, H)
    c_seq,  # (T, B, H) float32, LSTM
    dy,  # (T, B, H)
    dh_state,  # (B, H) float32: of the final state, and then of h0
    dc_state,  # (B, H) float32, LSTM
    dreset_h,  # (B, H) float32: of the reset state, by row
    dreset_c,  # (B, H) float32
    lengths,
    resets,
    reset_h,
    reset_c,
    counters,
    T,
    B,
    row0,
    first,
    last,
    CELL: tl.constexpr,
    GATES: tl.constexpr,
    WIDE: tl.constexpr,
    H: tl.constexpr,
    REVERSE: tl.constexpr,
    RAGGED: tl.constexpr,
    CUT: tl.constexpr,
    BACK: tl.constexpr,
    GIVEN: tl.constexpr,  # there is a dy
    RESIDENT: tl.constexpr,  # the weights are read once and held; BLOCK_K is at least H
    PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """The gradients of the gates' arguments at every step, and of the states; steps `last` - 1 down to `first`.

    What a step hands back to the one before it needs the gradients of all gates, which other programs write: it is
    made at the beginning of the one before. Step -1, which is none, therefore ends the run.

    In `kept`, GRU: of r, z, the recurrent and the input's part of the candidate.
    """
    kind = y.dtype.element_ty
    rows, cols, tile, own = tile_of(row0, B, H, BLOCK_B, BLOCK_H)
    wide = cols < H
    length, steps = lengths_of(lengths, rows, T, B, RAGGED)
    end = tl.minimum(last, steps)

    if RAGGED and last == T:
        for t in range(steps, T):
            for gate in tl.static_range(WIDE // H):
                far = kept + ((tl.zeros_like(rows) + t) * B + rows)[:, None] * WIDE + gate * H + cols[None, :]
                tl.store(far, tl.zeros((BLOCK_B, BLOCK_H), kind), mask=tile)

    dh = tl.load(dh_state + own, mask=tile, other=0.0)
    dc, back_to_h, back_to_c = dh, dh, dh
    if CELL == LSTM:
        dc = tl.load(dc_state + own, mask=tile, other=0.0)
    if BACK:
        back_to_h = tl.load(dreset_h + own, mask=tile, other=0.0)
        if CELL == LSTM:
            back_to_c = tl.load(dreset_c + own, mask=tile, other=0.0)

    if RESIDENT:
        every = tl.arange(0, BLOCK_K)
        w0 = _weights(w_hh, cols, every, H, 0)
        if GATES > 1:
            w1, w2 = _weights(w_hh, cols, every, H, 1), _weights(w_hh, cols, every, H, 2)
        if GATES > 3:
            w3 = _weights(w_hh, cols, every, H, 3)

    start = tl.load((c0 if CELL == LSTM else h0) + own, mask=tile, other=0.0).to(tl.float32)
    # read one step ahead, while the others are waited for
    t = time_of(rows, steps, end - 1, REVERSE)
    d, k0, k1, k2, k3, value, before = _own(
        kept, y, c_seq, dy, t, rows, cols, length, B, H, WIDE, GATES, CELL, GIVEN, REVERSE
    )

    for i in range(end - first):
        s = end - 1 - i
        if s + 1 < steps:
            # what the step after this one hands back, now that the programs have written its gates' gradients
            t = time_of(rows, steps, s + 1, REVERSE)
            live = t < length
            through = tl.zeros((BLOCK_B, BLOCK_H), tl.float32)
            if RESIDENT:
                d0 = _gradients(kept, t, rows, every, live, B, H, WIDE, 0)
                through = tl.dot(d0, w0, through, input_precision=PRECISION)
                if GATES > 1:
                    d1 = _gradients(kept, t, rows, every, live, B, H, WIDE, 1)
                    through = tl.dot(d1, w1, through, input_precision=PRECISION)
                    d2 = _gradients(kept, t, rows, every, live, B, H, WIDE, 2)
                    through = tl.dot(d2, w2, through, input_precision=PRECISION)
                if GATES > 3:
                    d3 = _gradients(kept, t, rows, every, live, B, H, WIDE, 3)
                    through = tl.dot(d3, w3, through, input_precision=PRECISION)
            else:
                for gate in tl.static_range(GATES):
                    for k in range(0, H, BLOCK_K):
                        ks = k + tl.arange(0, BLOCK_K)
                        block = _gradients(kept, t, rows, ks, live, B, H, WIDE, gate)
                        w = _weights(w_hh, cols, ks, H, gate)
                        through = tl.dot(block, w, through, input_precision=PRECISION)
            dh += through
            if CUT:
                crossed = crossed_rows(resets, t, rows, length, B, REVERSE)[:, None]
                if BACK:
                    back_to_h += tl.where(crossed, dh, 0.0)
                dh = tl.where(crossed, 0.0, dh)
                if CELL == LSTM:
                    if BACK:
                        back_to_c += tl.where(crossed, dc, 0.0)
                    dc = tl.where(crossed, 0.0, dc)
        if s >= 0:
            t = time_of(rows, steps, s, REVERSE)
            live = t < length
            now = live[:, None] & wide[None, :]
            # the step before this one in the order of running, where the row has one
            earlier = t + 1 if REVERSE else t - 1
            has = live & (earlier >= 0) & (earlier < length)

            total = dh + d.to(tl.float32)
            at = kept + (t * B + rows)[:, None] * WIDE + cols[None, :]
            if GATES == 1:
                v = value.to(tl.float32)
                d0 = total * (1.0 - v * v) if CELL == TANH else tl.where(v > 0.0, total, 0.0)
                tl.store(at, tl.where(now, d0, 0.0).to(kind), mask=tile)
                dh = tl.where(live[:, None], 0.0, dh)
            else:
                g0, g1, g2, g3 = k0.to(tl.float32), k1.to(tl.float32), k2.to(tl.float32), k3.to(tl.float32)
                # the state that the step began with
                past = tl.where(has[:, None], before.to(tl.float32), start)
                if CUT:
                    crossed = crossed_rows(resets, t, rows, length, B, REVERSE)[:, None]
                    past = _set_back(past, crossed, reset_c if CELL == LSTM else reset_h, cols, H, BACK)
                if CELL == LSTM:
                    bent = tanh(value)
                    deep = dc + total * g3 * (1.0 - bent * bent)
                    d0 = deep * g2 * g0 * (1.0 - g0)
                    d1 = deep * past * g1 * (1.0 - g1)
                    d2 = deep * g0 * (1.0 - g2 * g2)
                    d3 = total * bent * g3 * (1.0 - g3)
                    dc = tl.where(live[:, None], deep * g1, dc)
                    dh = tl.where(live[:, None], 0.0, dh)
                else:
                    d3 = total * (1.0 - g1) * (1.0 - g2 * g2)
                    d0 = d3 * g3 * g0 * (1.0 - g0)
                    d1 = total * (past - g2) * g1 * (1.0 - g1)
                    d2 = d3 * g0
                    dh = tl.where(live[:, None], total * g1, dh)
                tl.store(at, tl.where(now, d0, 0.0).to(kind), mask=tile)
                tl.store(at + H, tl.where(now, d1, 0.0).to(kind), mask=tile)
                tl.store(at + 2 * H, tl.where(now, d2, 0.0).to(kind), mask=tile)
                tl.store(at + 3 * H, tl.where(now, d3, 0.0).to(kind), mask=tile)
        if i + 1 < end - first:
            arrive(counters, H > BLOCK_H)
            t = time_of(rows, steps, s - 1, REVERSE)
            d, k0, k1, k2, k3, value, before = _own(
                kept, y, c_seq, dy, t, rows, cols, length, B, H, WIDE, GATES, CELL, GIVEN, REVERSE
            )
            wait(counters, i + 1, H > BLOCK_H)

    tl.store(dh_state + own, dh, mask=tile)
    if CELL == LSTM:
        tl.store(dc_state + own, dc, mask=tile)
    if BACK:
        tl.store(dreset_h + own, back_to_h, mask=tile)
        if CELL == LSTM:
            tl.store(dreset_c + own, back_to_c, mask=tile)
