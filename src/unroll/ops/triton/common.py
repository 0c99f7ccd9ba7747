"""What the two kernels share on the device: how they lie over the state, and how their programs wait.

A program owns a tile of the state, BLOCK_B rows by BLOCK_H features, and carries it in float32 from step to step. What
a step needs of the other features it reads from global memory, where each program puts its tile at the end of a step:
the programs of the same rows wait for each other once a step (`arrive`, `wait`), those of other rows never. Between
arriving and waiting a program does what the others do not wait for: it writes results and reads ahead what the next
step needs of its own tile. Each program multiplies with its own slice of the recurrent weights only: RESIDENT, it holds
them in its multiprocessor's shared memory; else it reads them anew at every step, and since waiting empties the
first-level cache, they come from the second level's.

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
OF_THE_CALL = ("T", "B", "row0", "first", "last")
TANH, RELU, LSTM, GRU = (tl.constexpr(i) for i in range(4))


@triton.jit
def tanh(x):
    """Within 2e-7 of its value."""
    small = x * (1.0 + x * x * (-1.0 / 3.0 + x * x * (2.0 / 15.0)))  # where the other loses its digits
    return tl.where(tl.abs(x) < 0.1, small, 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0))


@triton.jit
def arrive(counters, SHARED: tl.constexpr):
    """Let the other programs of these rows read what this one has written.

    Not SHARED: the program is the only one of its rows.
    """
    if SHARED:
        tl.debug_barrier()
        tl.atomic_add(counters + tl.program_id(1), 1, sem="release")


@triton.jit
def wait(counters, times, SHARED: tl.constexpr):
    """Wait until every program of these rows has arrived `times` times; what they wrote before can then be read.

    Not SHARED: the program's own threads wait for each other.
    """
    if SHARED:
        counter, target = counters + tl.program_id(1), times * tl.num_programs(0)
        # Triton makes a load of this, and would leave it out where its value were not used
        while tl.atomic_add(counter, 0, sem="acquire") < target:
            pass
    tl.debug_barrier()


@triton.jit
def tile_of(row0, B, H: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_H: tl.constexpr):
    """The program's rows and features, where in its tile the state has any, and their places in (B, H)."""
    rows = row0 + tl.program_id(1).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    tile = (rows < B)[:, None] & (cols < H)[None, :]
    return rows, cols, tile, rows[:, None] * H + cols[None, :]


@triton.jit
def lengths_of(lengths, rows, T, B, RAGGED: tl.constexpr):
    """The rows' lengths, and the longest of them."""
    length = tl.load(lengths + rows, mask=rows < B, other=0) if RAGGED else tl.where(rows < B, T, 0)
    return length, tl.max(length, 0) if RAGGED else T


@triton.jit
def time_of(rows, steps, s, REVERSE: tl.constexpr):
    """The t of step s, for every row the same; 64 bits wide."""
    if REVERSE:
        return tl.zeros_like(rows) + (steps - 1 - s)
    return tl.zeros_like(rows) + s


@triton.jit
def crossed_rows(resets, t, rows, length, B, REVERSE: tl.constexpr):
    """Rows whose state is set back before the step at t."""
    border = t + 1 if REVERSE else t
    return tl.load(resets + border * B + rows, mask=border < length, other=0) != 0
