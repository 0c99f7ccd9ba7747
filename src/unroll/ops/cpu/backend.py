"""A call served by the compiled kernels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unroll.ops import half
from unroll.ops.autograd import KernelFunction, Needed, Outputs, differentiable, no_autocast
from unroll.ops.call import Call, CallSpec, Result, Tensors
from unroll.ops.cpu import compile_ops
from unroll.ops.cpu.kernels import Inputs, backward, forward
from unroll.ops.torch_state import compiling


def run(call: Call) -> Result:
    """The outputs and the final state; of a call of 16 bits in float32."""
    if half.concerns(call.x):
        call = half.widened(call)
    if compiling():
        return compile_ops.run(call)
    return differentiable(_Kernels(call.form), call)


class _Kernels(KernelFunction):
    """The rule of the compiled kernels: they keep the gates, in whose place the gradient's parts are written."""

    autocast = staticmethod(no_autocast)

    def __init__(self, form: CallSpec) -> None:
        self.form = form
        self.kept = False

    def value(self, tensors: Tensors) -> Outputs:
        return self._forward(Inputs.of(self.form.call(tensors)), keep=False)[0]

    def forward(self, tensors: Tensors, needed: Needed) -> tuple[Outputs, Tensors]:
        outputs, saved = self._forward(Inputs.of(self.form.call(tensors)), keep=True)
        self.kept = True
        return outputs, (outputs[0], saved)

    def gradients(self, tensors: Tensors, kept: tuple[Any, ...], grads: Tensors, needed: Needed) -> Tensors:
        inputs = Inputs.of(self.form.call(tensors))
        y, saved = kept
        intact, self.kept = self.kept, False  # taken: another thread may come for the same graph
        if not intact:
            saved = self._forward(inputs, keep=True)[1]
        wanted: Any = Inputs.of(self.form.call(needed))  # type: ignore[arg-type]  # whether, for each tensor
        found = backward(self.form, inputs, y, saved, grads, wanted, rows_first=_rows_first(inputs))
        return found.tensors(self.form)

    def _forward(self, inputs: Inputs, *, keep: bool) -> tuple[Outputs, Tensor | None]:
        return forward(self.form, inputs, keep=keep, rows_first=_rows_first(inputs))


def _rows_first(inputs: Inputs) -> bool:
    """Whether a row's steps lie side by side, as in a batch-first tensor: then so shall those of the outputs."""
    x_time, x_row, _ = inputs.x.stride()
    return x_row > x_time
