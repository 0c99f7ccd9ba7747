"""Tensors handed to the compiled kernels by their addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unroll.ops.autograd import Outputs
from unroll.ops.call import Call, CallSpec, Tensors
from unroll.ops.cpu.extension import kernels
from unroll.ops.gated import WEIGHTS
from unroll.ops.torch_state import constant_when_compiled


class Inputs(NamedTuple):
    """A call's tensors, or what stands for them (their gradients, ...), each in a place of its own."""

    x: Tensor
    lengths: Tensor | None
    resets: Tensor | None
    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None
    w_hr: Tensor | None
    h0: Tensor
    c0: Tensor | None
    reset_h: Tensor | None
    reset_c: Tensor | None

    @classmethod
    def of(cls, call: Call) -> Inputs:
        """Those of the call."""
        weights = [call.weights.get(name) for name in WEIGHTS]
        state, back = (*call.state, None)[:2], (*(call.reset_state or ()), None, None)[:2]
        return cls(call.x, call.lengths, call.resets, *weights, *state, *back)  # type: ignore[arg-type]

    def tensors(self, form: CallSpec) -> tuple[Any, ...]:
        """The same in the order of `Call.tensors`."""
        k = len(form.recurrence.states)
        weights: dict[str, Any] = dict(zip(WEIGHTS, self[3:8], strict=True))
        back = (self.reset_h, self.reset_c)[:k] if form.resettable else ()
        return (*self[:3], None, *(weights[name] for name in form.weights), *(self.h0, self.c0)[:k], *back)


def forward(form: CallSpec, inputs: Inputs, *, keep: bool, rows_first: bool) -> tuple[Outputs, Tensor | None]:
    """The outputs, and with `keep` what the gradient needs of the gates.

    The kernels look at nothing but addresses: `refusals.unfit` must have found no fault in the tensors.
    `rows_first`: each row's outputs lie side by side.
    """
    inputs = _ready(inputs)
    x, h0, c0 = inputs.x, inputs.h0, inputs.c0
    T, B, _ = x.shape
    y = _rows(x, h0.shape[1], rows_first)
    h, c = torch.empty_like(h0), None if c0 is None else torch.empty_like(c0)
    outputs = (y, h) if c is None else (y, h, c)
    if B == 0:
        return outputs, x.new_empty(0) if keep else None
    fields = _fields(form, inputs)
    saved = x.new_empty(T * B * width(form, inputs)) if keep else None
    kernels.forward(
        **fields,
        y=y.data_ptr(),
        y_time=y.stride(0),
        y_row=y.stride(1),
        h=h.data_ptr(),
        c=_at(c),
        saved=_at(saved),
    )
    return outputs, saved


def backward(
    form: CallSpec,
    inputs: Inputs,
    y: Tensor,
    saved: Tensor | None,
    grads: Tensors,
    needed: Sequence[bool],
    *,
    rows_first: bool,
) -> Inputs:
    """The gradients that are needed, from the outputs' (None is zeros). What stood in `saved` is lost."""
    inputs = _ready(inputs)
    x = inputs.x
    dx = _rows(x, x.shape[2], rows_first) if needed[0] else None
    made = [torch.empty_like(t) if n and t is not None else None for t, n in zip(inputs[1:], needed[1:], strict=True)]
    if inputs.resets is None:  # the state after a reset is not used
        made[-2:] = None, None
    found = Inputs(dx, *made)  # type: ignore[arg-type]
    if x.shape[1] == 0:
        for gradient in found:
            if gradient is not None:
                gradient.zero_()
        return found
    y = _dense(y)
    dy, dh, dc = (*grads, None)[:3]
    dy, dh, dc = None if dy is None else _dense(dy), _whole(dh), _whole(dc)
    kernels.backward(
        **_fields(form, inputs),
        y=y.data_ptr(),
        y_time=y.stride(0),
        y_row=y.stride(1),
        saved=_at(saved),
        dy=_at(dy),
        dy_time=0 if dy is None else dy.stride(0),
        dy_row=0 if dy is None else dy.stride(1),
        dh=_at(dh),
        dc=_at(dc),
        dx=_at(dx),
        dx_time=0 if dx is None else dx.stride(0),
        dx_row=0 if dx is None else dx.stride(1),
        dw_ih=_at(found.w_ih),
        dw_hh=_at(found.w_hh),
        db_ih=_at(found.b_ih),
        db_hh=_at(found.b_hh),
        dw_hr=_at(found.w_hr),
        dh0=_at(found.h0),
        dc0=_at(found.c0),
        dreset_h=_at(found.reset_h),
        dreset_c=_at(found.reset_c),
    )
    return found


def width(form: CallSpec, inputs: Inputs) -> int:
    """Elements to be kept for each step of each row."""
    H = inputs.w_hh.shape[0] // form.recurrence.gates
    return _width(form.recurrence.name, H, inputs.w_hr is not None, form.recompute)


@constant_when_compiled
def _width(cell: str, H: int, projected: bool, recompute: bool) -> int:
    return kernels.saved_width(cell, H, projected, recompute)


def _ready(inputs: Inputs) -> Inputs:
    """The inputs as the kernels want them: x with its features side by side, the rest contiguous."""
    x, lengths, resets, *rest = inputs
    return Inputs(_dense(x), _whole(lengths), resets, *[t if t is None else t.contiguous() for t in rest])  # type: ignore[arg-type]


def _whole(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _dense(x: Tensor) -> Tensor:
    return x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()


def _rows(x: Tensor, width: int, rows_first: bool) -> Tensor:
    """(T, B, width), of unknown values."""
    T, B, _ = x.shape
    return x.new_empty(B, T, width).transpose(0, 1) if rows_first else x.new_empty(T, B, width)


def _at(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _fields(form: CallSpec, inputs: Inputs) -> dict[str, Any]:
    """What both kernels take."""
    x, lengths, resets, w_ih, w_hh, b_ih, b_hh, w_hr, h0, c0, reset_h, reset_c = inputs
    T, B, D = x.shape
    rows, R = w_hh.shape
    x_time, x_row, _ = x.stride()
    resets_time, resets_row = (0, 0) if resets is None else resets.stride()
    return {
        "cell": form.recurrence.name,
        "double": x.dtype is torch.float64,
        "reverse": form.reverse,
        "threads": torch.get_num_threads(),
        "recompute": form.recompute,
        "T": T,
        "B": B,
        "D": D,
        "H": rows // form.recurrence.gates,
        "R": R,
        "x": x.data_ptr(),
        "x_time": x_time,
        "x_row": x_row,
        "w_ih": w_ih.data_ptr(),
        "w_hh": w_hh.data_ptr(),
        "b_ih": _at(b_ih),
        "b_hh": _at(b_hh),
        "w_hr": _at(w_hr),
        "h0": h0.data_ptr(),
        "c0": _at(c0),
        "lengths": _at(lengths),
        "resets": _at(resets),
        "resets_time": resets_time,
        "resets_row": resets_row,
        "reset_h": _at(reset_h),
        "reset_c": _at(reset_c),
    }
