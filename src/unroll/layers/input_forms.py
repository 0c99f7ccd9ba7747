"""Convert a layer's inputs (padded, packed, unbatched) to padded, time-first tensors and back."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from unroll.errors import OptionError
from unroll.ops.ragged import move
from unroll.ops.torch_state import plain, tracing, transformed, unrecorded

Lengths = Tensor | Many[int] | int
Resets = Tensor | Many[Many[bool]] | Many[bool]


@dataclass(frozen=True)
class PaddedInput:
    """A padded batch, time first, and how to convert outputs back to the input's form."""

    x: Tensor
    """(T, B, D), cut to the longest row where the lengths are known here"""
    lengths: Tensor | None
    """(B,) on x's device; None: all are T"""
    resets: Tensor | None
    """(T, B) bool"""
    cut: int
    """How many steps were cut"""
    batch_first: bool
    batched: bool
    packed: PackedSequence | None
    places: tuple[Tensor, Tensor] | None
    """Index of each padded step in the packed data, and the inverse."""

    def back(self, y: Tensor) -> Any:
        """Convert outputs (T, B, R) to the form of the input."""
        if self.packed is not None and self.places is not None:
            data = move(y.flatten(0, 1), self.places[1], self.places[0])
            return PackedSequence(data, *self.packed[1:])
        if self.cut:
            y = torch.cat([y, y.new_zeros(self.cut, *y.shape[1:])])
        if not self.batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y

    def state_in(self, state: Tensor) -> Tensor:
        """Reorder a state (L, B, H) to the row order of `x`."""
        if not self.batched:
            return state.unsqueeze(1)
        if self.packed is not None and self.packed.sorted_indices is not None:
            return state.index_select(1, self.packed.sorted_indices)
        return state

    def state_out(self, state: Tensor) -> Tensor:
        """Reorder a state (L, B, H) to the caller's row order."""
        if not self.batched:
            return state.squeeze(1)
        if self.packed is not None and self.packed.unsorted_indices is not None:
            return state.index_select(1, self.packed.unsorted_indices)
        return state


def read(x: Tensor | PackedSequence, batch_first: bool, lengths: Lengths | None, resets: Resets | None) -> PaddedInput:
    """Convert an input to a padded, time-first batch.

    Raises:
        OptionError: lengths or resets do not fit the input.
    """
    if isinstance(x, PackedSequence):
        return _unpacked(x, lengths, resets)
    batched = x.dim() == 3
    if not batched:
        x = x.unsqueeze(1)
    elif batch_first:
        x = x.transpose(0, 1)
    if resets is not None:
        resets = unrecorded(_resets, resets, x, batched)
    cut = 0
    if lengths is not None:
        rows = _lengths(lengths, x, batched)
        if _known(rows):
            steps, B = x.shape[:2]
            _check(rows, steps)
            T = max(1, int(rows.max())) if B else steps
            cut = steps - T
            x, resets = x[:T], None if resets is None else resets[:T]
            lengths = None if bool((rows == T).all()) else rows.to(x.device)
        else:
            lengths = rows.to(x.device)
    return PaddedInput(x, lengths, resets, cut, batch_first, batched, None, None)


def _unpacked(packed: PackedSequence, lengths: Lengths | None, resets: Resets | None) -> PaddedInput:
    if tracing():
        raise OptionError("torch.jit.trace cannot follow a PackedSequence; give the padded input and lengths=")
    if lengths is not None:
        raise OptionError("lengths cannot be given with a PackedSequence, which has its own")
    data, sizes = packed.data, packed.batch_sizes
    T, B = len(sizes), int(sizes[0])
    row = torch.arange(B)
    begins = sizes.cumsum(0) - sizes
    inside = row < sizes.unsqueeze(1)  # (T, B)
    to_packed = torch.where(inside, begins.unsqueeze(1) + row, -1).flatten()
    to_padded = inside.flatten().nonzero().squeeze(1)
    places = to_packed.to(data.device), to_padded.to(data.device)
    x = move(data, *places).view(T, B, *data.shape[1:])
    if resets is not None:
        resets = _resets(resets, x, True)
        if packed.sorted_indices is not None:
            resets = resets.index_select(1, packed.sorted_indices)
    rows = None if int(sizes[-1]) == B else inside.sum(0).to(data.device)
    return PaddedInput(x, rows, resets, 0, False, True, packed, places)


def _lengths(lengths: Lengths, x: Tensor, batched: bool) -> Tensor:
    if tracing() and not isinstance(lengths, Tensor):
        raise OptionError(
            "torch.jit.trace would keep these lengths: make them a tensor, and an input of what is traced"
        )
    try:
        rows = lengths if isinstance(lengths, Tensor) else torch.as_tensor(lengths)
    except (TypeError, ValueError) as error:
        raise OptionError(f"lengths must be whole numbers, one for each row: {error}") from error
    if not batched and rows.dim() == 0:
        rows = rows.unsqueeze(0)
    unrecorded(_check_form, rows, x)
    if tracing():  # what is traced checks this itself when it is called
        rows = rows.reshape(x.shape[1])
    return rows.to(torch.int64)


def _check_form(rows: Tensor, x: Tensor) -> None:
    if rows.numel() and (rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool):
        raise OptionError(f"lengths must be whole numbers, got {rows.dtype}")
    if rows.shape != x.shape[1:2]:
        raise OptionError(f"lengths must have the shape ({x.shape[1]},), one for each row, got {tuple(rows.shape)}")


def _known(rows: Tensor) -> bool:
    """Whether the values can be read here without device synchronization and without breaking a trace."""
    return rows.device.type == "cpu" and plain(rows) and transformed() is None


def _check(rows: Tensor, T: int) -> None:
    wrong = ((rows < 0) | (rows > T)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise OptionError(f"lengths[{row}] is {int(rows[row])}; the input has {T} steps, so 0 to {T} would do")


def _resets(given: Resets, x: Tensor, batched: bool) -> Tensor:
    T, B = x.shape[:2]
    try:
        resets = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptionError(f"resets must be true or false for each step of each row: {error}") from error
    if not batched and resets.dim() == 1:
        resets = resets.unsqueeze(0)
    if resets.dtype != torch.bool:
        raise OptionError(f"resets must be of type torch.bool, got {resets.dtype}")
    if resets.shape != (B, T):
        raise OptionError(f"resets must have the shape (batch, steps) = ({B}, {T}), got {tuple(resets.shape)}")
    return resets.t().to(x.device)
