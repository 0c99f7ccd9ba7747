"""A call served by the GPU kernels."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from unroll.ops.autograd import KernelFunction, Needed, Outputs, differentiable
from unroll.ops.call import Call, CallSpec, Result, Tensors
from unroll.ops.triton.launch import Kept, backward, forward, on_device


def run(call: Call) -> Result:
    """The outputs and the final state; under autocast everything in its lower precision."""
    kind = call.x.device.type
    if torch.is_autocast_enabled(kind):
        low = torch.get_autocast_dtype(kind)
        cast = (None if t is None else t.to(low) if t.is_floating_point() else t for t in call.tensors)
        call = call.form.call(tuple(cast))
    with torch.autocast(kind, enabled=False):
        return differentiable(_Kernels(call.form, kind), call)


class _Kernels(KernelFunction):
    """The rule of the GPU kernels: they keep the gates, over which their gradients are written."""

    def __init__(self, form: CallSpec, kind: str) -> None:
        self.form = form
        self.kind = kind
        self.kept = False

    def autocast(self) -> AbstractContextManager[object]:
        """None: what is cast was cast before."""
        return torch.autocast(self.kind, enabled=False)

    def value(self, tensors: Tensors) -> Outputs:
        call = self.form.call(tensors)
        with on_device(call.x):
            y, state, _ = forward(call, keep=False)
        return (y, *state)

    def forward(self, tensors: Tensors, needed: Needed) -> tuple[Outputs, tuple[Tensor | None, ...]]:
        call = self.form.call(tensors)
        if self.form.recompute:
            outputs = self.value(tensors)
            return outputs, (outputs[0], None, None)
        with on_device(call.x):
            y, state, kept = forward(call, keep=True)
        self.kept = True
        return (y, *state), (y, *kept)

    def gradients(self, tensors: Tensors, kept: tuple[Any, ...], grads: Tensors, needed: Needed) -> Tensors:
        call = self.form.call(tensors)
        with self.autocast(), on_device(call.x):
            y, *saved = kept
            intact, self.kept = self.kept, False  # taken: another thread may come for the same graph
            again = self.form.recurrence.gates > 1 and not intact
            gates = forward(call, keep=True)[2] if again else Kept(*saved)
            return backward(call, y, gates, grads, needed)
