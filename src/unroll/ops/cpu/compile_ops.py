"""The compiled kernels as operators for graphs: `unroll::cpu_forward` and `unroll::cpu_backward`.

`torch.compile` and `torch.export` cannot see through calls by address; an operator they put into their graph as
it is, for any number of rows and steps. Outside of them the kernels are called directly, which is quicker.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unroll.errors import OptionError
from unroll.ops.autograd import exact_gradients, no_autocast
from unroll.ops.call import Call, CallSpec, Result
from unroll.ops.cpu import kernels
from unroll.ops.cpu.extension import missing
from unroll.ops.cpu.kernels import Inputs
from unroll.ops.cpu.support import RECURRENCES, unfit
from unroll.ops.gated import WEIGHTS

_INPUTS = (
    "Tensor x, Tensor? lengths, Tensor? resets, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, "
    "Tensor? w_hr, Tensor h0, Tensor? c0, Tensor? reset_h, Tensor? reset_c"
)
_FORM = "str cell, bool reverse, bool recompute, int width"


def run(call: Call) -> Result:
    """The outputs and the final state, by the operator."""
    form, inputs = call.form, Inputs.of(call)
    # An exported program is mostly run without a gradient; asked for one, it computes the gates again.
    keep = torch.is_grad_enabled() and not torch.compiler.is_exporting()
    keep = keep and any(t is not None and t.requires_grad for t in inputs)
    y, h, c, _ = cpu_forward(
        *inputs,
        cell=form.recurrence.name,
        reverse=form.reverse,
        recompute=form.recompute,
        # Told, not found out by the operator: compiled graphs are kept on disk, for other versions of the kernels too.
        width=kernels.width(form, inputs) if keep else 0,
    )
    return Result(y, (h, c)[: len(call.state)])


def _form(inputs: Inputs, cell: str, reverse: bool, recompute: bool) -> CallSpec:
    names = tuple(name for name, weight in zip(WEIGHTS, inputs[3:8], strict=True) if weight is not None)
    return CallSpec(RECURRENCES[cell], names, inputs.reset_h is not None, reverse, recompute)


def _check(form: CallSpec, inputs: Inputs) -> None:
    """Raise where the kernels must not be called: an operator can be called by anyone."""
    reason = missing() or unfit(form.call(inputs.tensors(form)))
    if reason is not None:
        raise OptionError(f"unroll::cpu_forward cannot serve this call: {reason}")
    lengths, T = inputs.lengths, inputs.x.shape[0]
    if lengths is not None and bool(((lengths < 0) | (lengths > T)).any()):
        raise OptionError(f"lengths must be from 0 to {T}, the number of steps, got {lengths.tolist()}")


@torch.library.custom_op(
    "unroll::cpu_forward",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_INPUTS}, *, {_FORM}) -> (Tensor y, Tensor h, Tensor c, Tensor saved)",
)
def cpu_forward(
    *tensors: Any, cell: str, reverse: bool, recompute: bool, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The outputs, the final state (c is empty where there is none) and `width` elements a step for the gradient."""
    inputs = Inputs(*tensors)
    form = _form(inputs, cell, reverse, recompute)
    _check(form, inputs)
    T, B, _ = inputs.x.shape
    keep = 0 < width == kernels.width(form, inputs)
    outputs, saved = kernels.forward(form, inputs, keep=keep, rows_first=False)
    y, h, c = (*outputs, inputs.x.new_empty(0))[:3]
    if saved is None:
        saved = inputs.x.new_zeros(T * B * width)
    elif inputs.lengths is not None:
        # The kernels leave the rest as it was; what an operator gives must not depend on that.
        saved[int(inputs.lengths.sum()) * width :] = 0
    return y, h, c, saved


@cpu_forward.register_fake
def _(*tensors: Any, cell: str, reverse: bool, recompute: bool, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, h0, c0 = tensors[0], tensors[8], tensors[9]
    T, B, _ = x.shape
    c = x.new_empty(0 if c0 is None else c0.shape)
    return x.new_empty(T, B, h0.shape[1]), x.new_empty(h0.shape), c, x.new_empty(T * B * width)


@torch.library.custom_op(
    "unroll::cpu_backward",
    mutates_args=(),
    device_types="cpu",
    schema=(
        f"({_INPUTS}, Tensor y, Tensor saved, Tensor? dy, Tensor? dh, Tensor? dc, *, {_FORM}, bool[] needed)"
        " -> Tensor[]"
    ),
)
def cpu_backward(
    *tensors: Any, cell: str, reverse: bool, recompute: bool, width: int, needed: list[bool]
) -> list[Tensor]:
    """The gradients of those tensors that need one, in their order; what was not kept is computed again."""
    inputs = Inputs(*tensors[:12])
    form = _form(inputs, cell, reverse, recompute)
    _check(form, inputs)
    y, saved, *grads = tensors[12:]
    if width == kernels.width(form, inputs):
        saved = saved.clone()  # the kernels overwrite what they are given; an operator must not
    else:
        _, saved = kernels.forward(form, inputs, keep=True, rows_first=False)
    found = kernels.backward(form, inputs, y, saved, tuple(grads), needed, rows_first=False)
    return [gradient for gradient in found if gradient is not None]


@cpu_backward.register_fake
def _(*tensors: Any, cell: str, reverse: bool, recompute: bool, width: int, needed: list[bool]) -> list[Tensor]:
    return [t.new_empty(t.shape) for t, n in zip(tensors[:12], needed, strict=True) if n]


def _setup(ctx: Any, inputs: tuple[Any, ...], keyword_only_inputs: dict[str, Any], output: tuple[Tensor, ...]) -> None:
    y, _, _, saved = output
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(saved)
    ctx.save_for_backward(*inputs, y, saved)
    ctx.keywords = keyword_only_inputs


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    *tensors, y, saved = ctx.saved_tensors
    inputs, needed = Inputs(*tensors), list(ctx.needs_input_grad)
    if torch.is_grad_enabled():
        form = _form(inputs, **{name: value for name, value in ctx.keywords.items() if name != "width"})
        wanted = Inputs(*needed).tensors(form)  # type: ignore[arg-type]  # whether, for each tensor
        outputs = grads[: 1 + len(form.recurrence.states)]
        found = exact_gradients(form, inputs.tensors(form), wanted, outputs, no_autocast)
        return tuple(Inputs.of(form.call(found)))
    if inputs.resets is None:  # the state after a reset is not used
        needed[10:] = False, False
    if not any(needed) or all(g is None for g in grads[:3]):
        return (None,) * len(needed)
    gradients = iter(cpu_backward(*tensors, y, saved, *grads[:3], **ctx.keywords, needed=needed))
    return tuple(next(gradients) if n else None for n in needed)


cpu_forward.register_autograd(_backward, setup_context=_setup)
