"""One layer and direction over time: the forward and the backward kernel.

A program owns a tile of the state, BLOCK_B rows by BLOCK_H features, and carries it in float32 from step to step. What
a step needs of the other features it reads from global memory, where each program puts its tile at the end of a step:
the programs of the same rows wait for each other once a step (`_together`), those of other rows never. Each program
multiplies with its own slice of the recurrent weights only, which it reads anew at every step: waiting empties its
multiprocessor's cache, so that they come from the second level's.

Their sums are made in one order, whatever B and T, by one program: the same numbers at every run, and for a row alone.

A launch covers the steps `first` to `last` - 1 in the order of running. One launch may cover all where all its
programs run at once; in as many launches as steps nobody waits.

Step s is at t = s, or, in reverse, at t = n - 1 - s where n is the longest of the program's rows. Beyond its length a
row's state is held.
"""

# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

# numbers that differ from call to call: nothing is compiled anew for them
_OF_THE_CALL = ("T", "B", "row0", "first", "last")
TANH, RELU, LSTM, GRU = (tl.constexpr(i) for i in range(4))


@triton.jit
def _tanh(x):
    small = x * (1.0 + x * x * (-1.0 / 3.0 + x * x * (2.0 / 15.0)))  # where the other loses its digits
    return tl.where(tl.abs(x) < 0.1, small, 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0))


@triton.jit
def _together(counter, target):
    """Wait until every program of these rows has come here; what they wrote before can then be read."""
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release")
    # Triton makes a load of this, and would leave it out where its value were not used
    while tl.atomic_add(counter, 0, sem="acquire") < target:
        pass
    tl.debug_barrier()


@triton.jit
def _at(rows, steps, s, REVERSE: tl.constexpr):
    """The t of step s, for every row the same; 64 bits wide."""
    if REVERSE:
        return tl.zeros_like(rows) + (steps - 1 - s)
    return tl.zeros_like(rows) + s


@triton.jit
def _crossed(resets, t, rows, length, B, REVERSE: tl.constexpr):
    """Rows whose state is set back before the step at t."""
    border = t + 1 if REVERSE else t
    return tl.load(resets + border * B + rows, mask=border < length, other=0) != 0


@triton.jit
def _product(acc, block, w_hh, cols, ks, live, H: tl.constexpr, GATE: tl.constexpr, PRECISION: tl.constexpr):
    """Acc + block (rows, K) @ U^T for the columns of one gate."""
    w = tl.load(w_hh + (GATE * H + cols)[None, :] * H + ks[:, None], mask=live, other=0.0)
    return tl.dot(block, w, acc, input_precision=PRECISION)


@triton.jit(do_not_specialize=_OF_THE_CALL)
def forward(
    gx,  # (T, B, WIDE): W x + b in the first GATES * H; with KEEP, the gates are written over it
    w_hh,  # (GATES * H, H)
    b_n,  # (H,): the GRU's recurrent bias of the candidate
    passed,  # (2, B, H): the state as the products read it, after even and odd steps; the first holds h0
    h_state,  # (B, H) float32: h0, and then the final state
    c_state,  # (B, H) float32, LSTM
    y,  # (T, B, H), zero
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
    PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Every output and the final state."""
    shared: tl.constexpr = H > BLOCK_H
    kind = passed.dtype.element_ty
    rows = row0 + tl.program_id(1).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    there, wide = rows < B, cols < H
    tile = there[:, None] & wide[None, :]
    own = rows[:, None] * H + cols[None, :]
    length = tl.load(lengths + rows, mask=there, other=0) if RAGGED else tl.where(there, T, 0)
    steps = tl.max(length, 0) if RAGGED else T
    end = tl.minimum(last, steps)

    h = tl.load(h_state + own, mask=tile, other=0.0)
    c = tl.load(c_state + own, mask=tile, other=0.0) if CELL == LSTM else h
    back_h = tl.load(reset_h + cols, mask=wide, other=0.0).to(tl.float32) if BACK else tl.zeros((BLOCK_H,), tl.float32)
    back_c = back_h
    if BACK and CELL == LSTM:
        back_c = tl.load(reset_c + cols, mask=wide, other=0.0).to(tl.float32)
    bias = tl.load(b_n + cols, mask=wide, other=0.0).to(tl.float32) if BIAS else tl.zeros((BLOCK_H,), tl.float32)

    for s in range(first, end):
        t = _at(rows, steps, s, REVERSE)
        live = t < length
        crossed = live
        if CUT:
            crossed = _crossed(resets, t, rows, length, B, REVERSE)
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
            both = (ks < H)[:, None] & wide[None, :]
            a0 = _product(a0, block, w_hh, cols, ks, both, H, 0, PRECISION)
            if GATES > 1:
                a1 = _product(a1, block, w_hh, cols, ks, both, H, 1, PRECISION)
                a2 = _product(a2, block, w_hh, cols, ks, both, H, 2, PRECISION)
            if GATES > 3:
                a3 = _product(a3, block, w_hh, cols, ks, both, H, 3, PRECISION)

        at = gx + (t * B + rows)[:, None] * WIDE + cols[None, :]
        now = live[:, None] & wide[None, :]
        x0 = tl.load(at, mask=now, other=0.0).to(tl.float32)
        if CELL == TANH:
            new = _tanh(x0 + a0)
        elif CELL == RELU:
            a = x0 + a0
            new = tl.where(a < 0.0, 0.0, a)
        else:
            x1 = tl.load(at + H, mask=now, other=0.0).to(tl.float32)
            x2 = tl.load(at + 2 * H, mask=now, other=0.0).to(tl.float32)
            g0, g1 = tl.sigmoid(x0 + a0), tl.sigmoid(x1 + a1)
            if CELL == LSTM:
                x3 = tl.load(at + 3 * H, mask=now, other=0.0).to(tl.float32)
                g2, g3 = _tanh(x2 + a2), tl.sigmoid(x3 + a3)
                c_new = g1 * c + g0 * g2
                new = g3 * _tanh(c_new)
                c = tl.where(live[:, None], c_new, c)
                if KEEP:
                    tl.store(c_seq + (t * B + rows)[:, None] * H + cols[None, :], c, mask=now)
            else:
                g3 = a2 + bias[None, :]
                g2 = _tanh(x2 + g0 * g3)
                new = (1.0 - g1) * g2 + g1 * h
            if KEEP:
                tl.store(at, g0.to(kind), mask=now)
                tl.store(at + H, g1.to(kind), mask=now)
                tl.store(at + 2 * H, g2.to(kind), mask=now)
                tl.store(at + 3 * H, g3.to(kind), mask=now)
        h = tl.where(live[:, None], new, h)
        tl.store(y + (t * B + rows)[:, None] * H + cols[None, :], new.to(kind), mask=now)
        tl.store(passed + ((s + 1) % 2) * B * H + own, h.to(kind), mask=tile)
        if s + 1 < end:
            if shared:
                blocks = tl.num_programs(0)
                _together(counters + tl.program_id(1), (s + 1 - first) * blocks)
            else:
                tl.debug_barrier()

    tl.store(h_state + own, h, mask=tile)
    if CELL == LSTM:
        tl.store(c_state + own, c, mask=tile)


@triton.jit(do_not_specialize=_OF_THE_CALL)
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
    shared: tl.constexpr = H > BLOCK_H
    kind = y.dtype.element_ty
    rows = row0 + tl.program_id(1).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    there, wide = rows < B, cols < H
    tile = there[:, None] & wide[None, :]
    own = rows[:, None] * H + cols[None, :]
    length = tl.load(lengths + rows, mask=there, other=0) if RAGGED else tl.where(there, T, 0)
    steps = tl.max(length, 0) if RAGGED else T
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

    for i in range(end - first):
        s = end - 1 - i
        if s + 1 < steps:
            # what the step after this one hands back, now that the programs have written its gates' gradients
            t = _at(rows, steps, s + 1, REVERSE)
            live = t < length
            through = tl.zeros((BLOCK_B, BLOCK_H), tl.float32)
            for gate in tl.static_range(GATES):
                for k in range(0, H, BLOCK_K):
                    ks = k + tl.arange(0, BLOCK_K)
                    block = tl.load(
                        kept + (t * B + rows)[:, None] * WIDE + gate * H + ks[None, :],
                        mask=live[:, None] & (ks < H)[None, :],
                        other=0.0,
                        cache_modifier=".cg",
                    )
                    w = tl.load(
                        w_hh + (gate * H + ks)[:, None] * H + cols[None, :],
                        mask=(ks < H)[:, None] & wide[None, :],
                        other=0.0,
                    )
                    through = tl.dot(block, w, through, input_precision=PRECISION)
            dh += through
            if CUT:
                crossed = _crossed(resets, t, rows, length, B, REVERSE)[:, None]
                if BACK:
                    back_to_h += tl.where(crossed, dh, 0.0)
                dh = tl.where(crossed, 0.0, dh)
                if CELL == LSTM:
                    if BACK:
                        back_to_c += tl.where(crossed, dc, 0.0)
                    dc = tl.where(crossed, 0.0, dc)
        if s >= 0:
            t = _at(rows, steps, s, REVERSE)
            live = t < length
            now = live[:, None] & wide[None, :]
            # the step before this one in the order of running, where the row has one
            earlier = t + 1 if REVERSE else t - 1
            has = live & (earlier >= 0) & (earlier < length)
            follows = has[:, None] & wide[None, :]

            total = dh
            if GIVEN:
                total += tl.load(dy + (t * B + rows)[:, None] * H + cols[None, :], mask=now, other=0.0).to(tl.float32)
            at = kept + (t * B + rows)[:, None] * WIDE + cols[None, :]
            past = (earlier * B + rows)[:, None] * H + cols[None, :]
            if CUT:
                crossed = _crossed(resets, t, rows, length, B, REVERSE)[:, None]
            if GATES == 1:
                value = tl.load(y + (t * B + rows)[:, None] * H + cols[None, :], mask=now, other=0.0).to(tl.float32)
                d0 = total * (1.0 - value * value) if CELL == TANH else tl.where(value > 0.0, total, 0.0)
                tl.store(at, tl.where(now, d0, 0.0).to(kind), mask=tile)
                dh = tl.where(live[:, None], 0.0, dh)
            else:
                g0 = tl.load(at, mask=now, other=0.0).to(tl.float32)
                g1 = tl.load(at + H, mask=now, other=0.0).to(tl.float32)
                g2 = tl.load(at + 2 * H, mask=now, other=0.0).to(tl.float32)
                g3 = tl.load(at + 3 * H, mask=now, other=0.0).to(tl.float32)
                if CELL == LSTM:
                    c = tl.load(c_seq + past, mask=follows, other=0.0)
                    c = tl.where(has[:, None], c, tl.load(c0 + own, mask=tile, other=0.0).to(tl.float32))
                    if CUT:
                        back = tl.zeros((BLOCK_H,), tl.float32)
                        if BACK:
                            back = tl.load(reset_c + cols, mask=wide, other=0.0).to(tl.float32)
                        c = tl.where(crossed, back[None, :], c)
                    bent = _tanh(tl.load(c_seq + (t * B + rows)[:, None] * H + cols[None, :], mask=now, other=0.0))
                    deep = dc + total * g3 * (1.0 - bent * bent)
                    d0 = deep * g2 * g0 * (1.0 - g0)
                    d1 = deep * c * g1 * (1.0 - g1)
                    d2 = deep * g0 * (1.0 - g2 * g2)
                    d3 = total * bent * g3 * (1.0 - g3)
                    dc = tl.where(live[:, None], deep * g1, dc)
                    dh = tl.where(live[:, None], 0.0, dh)
                else:
                    h = tl.load(y + past, mask=follows, other=0.0).to(tl.float32)
                    h = tl.where(has[:, None], h, tl.load(h0 + own, mask=tile, other=0.0).to(tl.float32))
                    if CUT:
                        back = tl.zeros((BLOCK_H,), tl.float32)
                        if BACK:
                            back = tl.load(reset_h + cols, mask=wide, other=0.0).to(tl.float32)
                        h = tl.where(crossed, back[None, :], h)
                    d3 = total * (1.0 - g1) * (1.0 - g2 * g2)
                    d0 = d3 * g3 * g0 * (1.0 - g0)
                    d1 = total * (h - g2) * g1 * (1.0 - g1)
                    d2 = d3 * g0
                    dh = tl.where(live[:, None], total * g1, dh)
                tl.store(at, tl.where(now, d0, 0.0).to(kind), mask=tile)
                tl.store(at + H, tl.where(now, d1, 0.0).to(kind), mask=tile)
                tl.store(at + 2 * H, tl.where(now, d2, 0.0).to(kind), mask=tile)
                tl.store(at + 3 * H, tl.where(now, d3, 0.0).to(kind), mask=tile)
        if i + 1 < end - first:
            if shared:
                blocks = tl.num_programs(0)
                _together(counters + tl.program_id(1), (i + 1) * blocks)
            else:
                tl.debug_barrier()

    tl.store(dh_state + own, dh, mask=tile)
    if CELL == LSTM:
        tl.store(dc_state + own, dc, mask=tile)
    if BACK:
        tl.store(dreset_h + own, back_to_h, mask=tile)
        if CELL == LSTM:
            tl.store(dreset_c + own, back_to_c, mask=tile)
