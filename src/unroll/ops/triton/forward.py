"""The forward kernel: every output and the final state of one layer and direction."""

# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from unroll.ops.triton.common import (
    LSTM,
    OF_THE_CALL,
    RELU,
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
def _weights(w_hh, cols, ks, H: tl.constexpr, GATE: tl.constexpr):
    """U^T (K, columns) for the columns of one gate."""
    there = (ks < H)[:, None] & (cols < H)[None, :]
    return tl.load(w_hh + (GATE * H + cols)[None, :] * H + ks[:, None], mask=there, other=0.0)


@triton.jit
def _given(gx, t, rows, cols, length, B, H: tl.constexpr, WIDE: tl.constexpr, GATES: tl.constexpr):
    """W x + b of every gate at t, as it is kept; zero beyond a row's length."""
    at = gx + (t * B + rows)[:, None] * WIDE + cols[None, :]
    now = (t < length)[:, None] & (cols < H)[None, :]
    x0 = tl.load(at, mask=now, other=0.0)
    x1, x2, x3 = x0, x0, x0
    if GATES > 1:
        x1 = tl.load(at + H, mask=now, other=0.0)
        x2 = tl.load(at + 2 * H, mask=now, other=0.0)
    if GATES > 3:
        x3 = tl.load(at + 3 * H, mask=now, other=0.0)
    return x0, x1, x2, x3


@triton.jit(do_not_specialize=OF_THE_CALL)
def forward(
    gx,  # (T, B, WIDE): W x + b in the first GATES * H; with KEEP, the gates are written over it
    w_hh,  # (GATES * H, H)
    b_n,  # (H,): the GRU's recurrent bias of the candidate
    passed,  # (2, B, H): the state as the products read it, after even and odd steps; the first holds h0
    h_state,  # (B, H) float32: h0, and then the final state
    c_state,  # (B, H) float32, LSTM
    y,  # (T, B, H), zero where there are lengths
    c_seq,  # (T, B, H) float32, with KEEP, LSTM
    lengths,  # (B,) int64
    resets,  # (T, B) int8
    reset_h,  # (H,)
    reset_c,  # (H,)
    counters,  # one for each BLOCK_B rows, zero
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
    BACK: tl.constexpr,  # there is a reset state
    BIAS: tl.constexpr,
    KEEP: tl.constexpr,
    RESIDENT: tl.constexpr,  # the weights are read once and held; BLOCK_K is at least H
    PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Every output and the final state."""
    kind = passed.dtype.element_ty
    rows, cols, tile, own = tile_of(row0, B, H, BLOCK_B, BLOCK_H)
    there, wide = rows < B, cols < H
    length, steps = lengths_of(lengths, rows, T, B, RAGGED)
    end = tl.minimum(last, steps)

    h = tl.load(h_state + own, mask=tile, other=0.0)
    c = tl.load(c_state + own, mask=tile, other=0.0) if CELL == LSTM else h
    back_h = tl.load(reset_h + cols, mask=wide, other=0.0).to(tl.float32) if BACK else tl.zeros((BLOCK_H,), tl.float32)
    back_c = back_h
    if BACK and CELL == LSTM:
        back_c = tl.load(reset_c + cols, mask=wide, other=0.0).to(tl.float32)
    bias = tl.load(b_n + cols, mask=wide, other=0.0).to(tl.float32) if BIAS else tl.zeros((BLOCK_H,), tl.float32)

    if RESIDENT:
        every = tl.arange(0, BLOCK_K)
        w0 = _weights(w_hh, cols, every, H, 0)
        if GATES > 1:
            w1, w2 = _weights(w_hh, cols, every, H, 1), _weights(w_hh, cols, every, H, 2)
        if GATES > 3:
            w3 = _weights(w_hh, cols, every, H, 3)

    # read one step ahead, while the others are waited for
    x0, x1, x2, x3 = _given(gx, time_of(rows, steps, first, REVERSE), rows, cols, length, B, H, WIDE, GATES)

    for s in range(first, end):
        t = time_of(rows, steps, s, REVERSE)
        live = t < length
        crossed = live
        if CUT:
            crossed = crossed_rows(resets, t, rows, length, B, REVERSE)
            h = tl.where(crossed[:, None], back_h[None, :], h)
            c = tl.where(crossed[:, None], back_c[None, :], c)

        a0 = tl.zeros((BLOCK_B, BLOCK_H), tl.float32)
        a1, a2, a3 = a0, a0, a0
        before = passed + (s % 2) * B * H
        for k in range(0, H, BLOCK_K):
            ks = k + tl.arange(0, BLOCK_K)
            block = tl.load(
                before + rows[:, None] * H + ks[None, :],
                mask=there[:, None] & (ks < H)[None, :],
                other=0.0,
                cache_modifier=".cg",
            )
            if CUT:
                back = tl.zeros((BLOCK_K,), kind)
                if BACK:
                    back = tl.load(reset_h + ks, mask=ks < H, other=0.0).to(kind)
                block = tl.where(crossed[:, None], back[None, :], block)
            if not RESIDENT:
                w0 = _weights(w_hh, cols, ks, H, 0)
                if GATES > 1:
                    w1, w2 = _weights(w_hh, cols, ks, H, 1), _weights(w_hh, cols, ks, H, 2)
                if GATES > 3:
                    w3 = _weights(w_hh, cols, ks, H, 3)
            a0 = tl.dot(block, w0, a0, input_precision=PRECISION)
            if GATES > 1:
                a1 = tl.dot(block, w1, a1, input_precision=PRECISION)
                a2 = tl.dot(block, w2, a2, input_precision=PRECISION)
            if GATES > 3:
                a3 = tl.dot(block, w3, a3, input_precision=PRECISION)

        i0 = x0.to(tl.float32)
        if CELL == TANH:
            new = tanh(i0 + a0)
        elif CELL == RELU:
            a = i0 + a0
            new = tl.where(a < 0.0, 0.0, a)
        else:
            g0, g1 = tl.sigmoid(i0 + a0), tl.sigmoid(x1.to(tl.float32) + a1)
            if CELL == LSTM:
                g2, g3 = tanh(x2.to(tl.float32) + a2), tl.sigmoid(x3.to(tl.float32) + a3)
                c_new = g1 * c + g0 * g2
                new = g3 * tanh(c_new)
                c = tl.where(live[:, None], c_new, c)
            else:
                g3 = a2 + bias[None, :]
                g2 = tanh(x2.to(tl.float32) + g0 * g3)
                new = (1.0 - g1) * g2 + g1 * h
        h = tl.where(live[:, None], new, h)
        tl.store(passed + ((s + 1) % 2) * B * H + own, h.to(kind), mask=tile)
        if s + 1 < end:
            arrive(counters, H > BLOCK_H)

        # what the other programs do not wait for
        now = live[:, None] & wide[None, :]
        tl.store(y + (t * B + rows)[:, None] * H + cols[None, :], new.to(kind), mask=now)
        if KEEP and GATES > 1:
            at = gx + (t * B + rows)[:, None] * WIDE + cols[None, :]
            tl.store(at, g0.to(kind), mask=now)
            tl.store(at + H, g1.to(kind), mask=now)
            tl.store(at + 2 * H, g2.to(kind), mask=now)
            tl.store(at + 3 * H, g3.to(kind), mask=now)
            if CELL == LSTM:
                tl.store(c_seq + (t * B + rows)[:, None] * H + cols[None, :], c, mask=now)
        if s + 1 < end:
            following = time_of(rows, steps, s + 1, REVERSE)
            x0, x1, x2, x3 = _given(gx, following, rows, cols, length, B, H, WIDE, GATES)
            wait(counters, s + 1 - first, H > BLOCK_H)

    tl.store(h_state + own, h, mask=tile)
    if CELL == LSTM:
        tl.store(c_state + own, c, mask=tile)
