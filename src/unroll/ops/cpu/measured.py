"""Where PyTorch's kernels have been measured to be the faster, which is where `auto` takes them."""

from __future__ import annotations

import torch

from unroll.ops import half, onednn, torch_backend
from unroll.ops.call import Call
from unroll.ops.lstm import LSTM
from unroll.ops.torch_state import compiling


def slower_in_16_bits(call: Call) -> str | None:
    """Why oneDNN's LSTM is to be taken for this call of 16 bits, or None.

    It multiplies in bfloat16 where the processor does, twice as fast as in float32. Its time over the compiled kernels'
    (medians, the same for weights in bfloat16 and under autocast within a tenth; one thread, AVX512-BF16, D = H, T 64;
    rows of unequal lengths 0.7 to 1.9; a GRU 1.1 to 2.8; an RNN 1.2 to 2.6):

                  inference, H 64   128   256   512  1024     training, H 64   128   256   384   512  1024
        B  1                 1.2   1.0   0.8   0.6   0.7                  1.8   1.7   1.8   1.8   5     8
        B  4                 1.0   0.8   0.7   0.7   0.6                  1.4   1.2   1.0   1.2   4     3
        B 16                 0.8   0.7   0.6   0.5   0.6                  1.0   0.8   0.7   0.8   1.4   1.4
        B 64                 0.7   0.6   0.5   0.6   0.9                  0.8   0.7   0.8   0.8   0.8   1.0
    """
    x = call.x
    if compiling():  # PyTorch's kernels cannot serve there, and a size that is asked for is kept in the graph
        return None
    if not half.concerns(x) or call.recurrence.name != LSTM.name or "weight_hr" in call.weights:
        return None
    if call.lengths is not None or call.resets is not None:
        return None
    if (half.autocast_dtype() or x.dtype) is not torch.bfloat16 or x.dtype is torch.float16:
        return None
    B, H = call.state[-1].shape
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in call.tensors):
        wide = H <= 384 or (B >= 64 and H <= 512)
        faster = not call.recompute and B >= 16 and H >= 64 and B * H >= 2048 and wide
    else:
        faster = H >= 64 and B * H >= 512
    if not faster or torch_backend.refuse(call) is not None or not onednn.multiplies_bfloat16():
        return None
    return "oneDNN's LSTM is faster for so many rows and units in bfloat16, which this processor multiplies"
