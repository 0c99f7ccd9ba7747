from __future__ import annotations

import pytest
import torch
from torch.library import opcheck

from unroll.errors import OptionError
from unroll.ops.call import CallSpec
from unroll.ops.cpu import extension, kernels
from unroll.ops.cpu.compile_ops import cpu_backward, cpu_forward
from unroll.ops.cpu.support import RECURRENCES

pytestmark = [pytest.mark.skipif(extension.missing() is not None, reason=str(extension.missing())), pytest.mark.slow]

T, B, D, H = 4, 5, 3, 6


def arguments(cell, projected=False, ragged=True, leaves=True):
    """Tensors in the order of the operators' arguments."""
    recurrence = RECURRENCES[cell]
    R, rows = 2 if projected else H, recurrence.gates * H

    def draw(*shape):
        return torch.randn(shape).requires_grad_(leaves)

    c0, reset_c = (draw(B, H), draw(H)) if len(recurrence.states) > 1 else (None, None)
    return (
        draw(T, B, D),
        torch.tensor([2, 4, 0, 1, 3]) if ragged else None,
        torch.rand(T, B) < 0.3 if ragged else None,
        draw(rows, D),
        draw(rows, R),
        draw(rows),
        draw(rows),
        draw(R, H) if projected else None,
        draw(B, R),
        c0,
        draw(R) if ragged else None,
        reset_c if ragged else None,
    )


def options(cell, given, recompute=False):
    form = CallSpec(RECURRENCES[cell], (), False, False, recompute)
    width = kernels.width(form, kernels.Inputs(*given))
    return {"cell": cell, "reverse": True, "recompute": recompute, "width": width}


CASES = [("lstm", False, True), ("lstm", True, True), ("gru", False, False), ("rnn_tanh", False, True)]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("cell", "projected", "ragged"), CASES)
def test_operators_are_what_pytorch_wants_them_to_be(cell, projected, ragged, recompute):
    given = arguments(cell, projected, ragged)
    said = options(cell, given, recompute)
    opcheck(cpu_forward, given, said)
    opcheck(cpu_forward, given, {**said, "width": 0})
    given = tuple(None if t is None else t.detach() for t in given)
    y, h, c, saved = cpu_forward(*given, **said)
    needed = [t is not None and t.is_floating_point() for t in given]
    grads = torch.randn_like(y), torch.randn_like(h), torch.randn_like(c) if given[9] is not None else None
    opcheck(cpu_backward, (*given, y, saved, *grads), {**said, "needed": needed})


def test_nothing_kept_or_kept_by_other_kernels_is_computed_again(close):
    given = arguments("lstm")
    leaves = [t for t in given if t is not None and t.requires_grad]
    said = options("lstm", given)
    found = []
    for width in (said["width"], 0, 7):
        y, h, c, _ = cpu_forward(*given, **{**said, "width": width})
        found.append(torch.autograd.grad(y.square().sum() + h.sum() + c.sum(), leaves))
    close(found[1], found[0])
    close(found[2], found[0])


def test_bad_calls_are_refused():
    given = arguments("gru", leaves=False)
    said = options("gru", given)
    with pytest.raises(OptionError, match="do not fit"):
        cpu_forward(*given[:4], torch.randn(18, 5), *given[5:], **said)
    with pytest.raises(OptionError, match=r"lengths must be from 0 to 4, the number of steps, got \[2, 5, 0, 1, 3\]"):
        cpu_forward(given[0], torch.tensor([2, 5, 0, 1, 3]), *given[2:], **said)
    half = tuple(t.bfloat16() if t is not None and t.is_floating_point() else t for t in given)
    with pytest.raises(OptionError, match=r"do not take torch\.bfloat16"):
        cpu_forward(*half, **said)
    with torch.autocast("cpu"), pytest.raises(OptionError, match="different types"):
        cpu_forward(given[0], *half[1:], **said)
    with pytest.raises(OptionError, match="both biases"):
        cpu_forward(*given[:5], None, *given[6:], **said)
